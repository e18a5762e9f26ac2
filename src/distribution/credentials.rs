use std::{collections::BTreeMap, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::config::Environment;

/// Who somebody is at one registry.
pub struct Credentials {
    user: String,
    password: SecretString,
}

/// `config.json` of Docker, Podman and others.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    /// `user:password` in Base64.
    auth: Option<String>,
}

impl Credentials {
    /// What the environment has for this registry, else what `docker login` kept. What is for one registry goes to
    /// no other one.
    pub async fn find(registry: &str, environment: &Environment) -> Option<Self> {
        let own = ["KITFOX_REGISTRY", "KITFOX_REGISTRY_USER", "KITFOX_REGISTRY_PASSWORD"];
        if let [Some(of), Some(user), Some(password)] = own.map(|it| environment.get(it))
            && of == registry
        {
            return Some(Self { user: user.to_owned(), password: password.to_owned().into() });
        }
        let folder = match (environment.get("DOCKER_CONFIG"), environment.get("HOME")) {
            (Some(folder), _) => PathBuf::from(folder),
            (None, Some(home)) => PathBuf::from(home).join(".docker"),
            (None, None) => return None,
        };
        let text = tokio::fs::read(folder.join("config.json")).await.ok()?;
        Self::of_docker(&text, registry)
    }

    fn of_docker(text: &[u8], registry: &str) -> Option<Self> {
        let config: DockerConfig = serde_json::from_slice(text).ok()?;
        let entry = config.auths.into_iter().find(|(key, _)| host(key) == registry)?;
        let pair = STANDARD.decode(entry.1.auth?).ok()?;
        let (user, password) = str::from_utf8(&pair).ok()?.split_once(':')?;
        Some(Self { user: user.to_owned(), password: password.to_owned().into() })
    }

    /// As a header that is not logged. None where there are characters that no header has.
    pub fn basic(&self) -> Option<HeaderValue> {
        let pair = format!("{}:{}", self.user, self.password.expose_secret());
        let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// `https://index.docker.io/v1/` and `ghcr.io` are keys.
fn host(key: &str) -> &str {
    let key = key.split_once("://").map_or(key, |(_, rest)| rest);
    match key.split('/').next().unwrap_or_default() {
        "index.docker.io" => "docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::Credentials;
    use crate::config::Environment;

    fn pair(found: Option<Credentials>) -> Option<(String, String)> {
        found.map(|it| (it.user, it.password.expose_secret().to_owned()))
    }

    #[test]
    fn what_docker_kept_for_a_registry_is_for_that_one_alone() {
        // `ada:a:b`
        let text = br#"{"auths": {
            "a.test:5000": {"auth": "YWRhOmE6Yg=="}, "https://index.docker.io/v1/": {"auth": "YWRhOmE6Yg=="},
            "helped.test": {}, "broken.test": {"auth": "!"}}, "credsStore": "desktop"}"#;
        let ada = Some(("ada".to_owned(), "a:b".to_owned()));
        assert_eq!(pair(Credentials::of_docker(text, "a.test:5000")), ada);
        assert_eq!(pair(Credentials::of_docker(text, "docker.io")), ada);
        for other in ["a.test", "a.test:5001", "b.test", "helped.test", "broken.test", ""] {
            assert_eq!(pair(Credentials::of_docker(text, other)), None, "{other}");
        }
        assert_eq!(pair(Credentials::of_docker(b"no json", "a.test")), None);
    }

    #[tokio::test]
    async fn the_environment_names_the_registry_that_its_password_is_for() {
        let mut environment = Environment::default();
        for (name, value) in [
            ("KITFOX_REGISTRY", "a.test"),
            ("KITFOX_REGISTRY_USER", "ada"),
            ("KITFOX_REGISTRY_PASSWORD", "secret"),
        ] {
            environment.0.insert(name.to_owned(), value.to_owned());
        }
        let ada = Some(("ada".to_owned(), "secret".to_owned()));
        assert_eq!(pair(Credentials::find("a.test", &environment).await), ada);
        assert_eq!(pair(Credentials::find("b.test", &environment).await), None);
    }
}

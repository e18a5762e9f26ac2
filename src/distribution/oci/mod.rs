//! Registries: <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>, of which pulling is all that
//! plugins need.

mod challenge;
mod manifest;
mod reference;

use anyhow::{Context, bail};
use reqwest::{
    StatusCode,
    header::{HeaderValue, WWW_AUTHENTICATE},
};
use serde::Deserialize;
use url::Url;

use crate::{
    config::Environment,
    distribution::{
        Package,
        content::{Content, stem},
        credentials::Credentials,
        source::check_scheme,
        web::{Answer, Ask, Web, origin},
    },
    plugin::ContentDigest,
};

use self::{challenge::Challenge, manifest::Layer};

pub use self::reference::Reference;

const MANIFEST_BYTES: u64 = 4 * 1024 * 1024;
const TOKEN_BYTES: u64 = 1024 * 1024;

/// Pulls a plugin. What is given has the digest that the manifest names, and the manifest the digest that the
/// reference names, or else the one that is told.
pub async fn pull(
    web: &Web,
    reference: &Reference,
    environment: &Environment,
) -> anyhow::Result<Package> {
    let mut registry = Registry { web, reference, environment, authorization: None };
    let path = format!("manifests/{}", reference.version());
    let manifest = registry.get(&path, Some(manifest::ACCEPT), MANIFEST_BYTES).await?;
    let digest = digest(&manifest.body);
    let stated = manifest.headers.get("docker-content-digest").and_then(|it| it.to_str().ok());
    for expected in [reference.digest.as_deref(), stated.filter(|it| it.starts_with("sha256:"))] {
        check_digest("manifest", expected.unwrap_or(&digest), &digest)?;
    }
    let layer = Layer::find(&manifest.body)?;

    let blob = registry.get(&format!("blobs/{}", layer.digest), None, layer.size).await?;
    if blob.body.len() as u64 != layer.size {
        bail!("the registry gave {} of {} bytes", blob.body.len(), layer.size);
    }
    check_digest("content", &layer.digest, &self::digest(&blob.body))?;
    let content = Content::of_bytes(layer.title(), &blob.body)?;
    let name = if layer.title().is_empty() { reference.name() } else { stem(layer.title()) };
    let resolved = format!("{}/{}@{digest}", reference.registry, reference.repository);
    Ok(Package { content, name: name.to_owned(), resolved: Some(resolved) })
}

struct Registry<'a> {
    web: &'a Web,
    reference: &'a Reference,
    environment: &'a Environment,
    /// Once it was asked for.
    authorization: Option<HeaderValue>,
}

impl Registry<'_> {
    /// Asks as nobody, then as whoever the registry wants.
    async fn get(
        &mut self,
        path: &str,
        accept: Option<&'static str>,
        limit: u64,
    ) -> anyhow::Result<Answer> {
        let url = self.reference.url(path)?;
        // An error is told in more words than a small layer has.
        let limit = limit.max(TOKEN_BYTES);
        let ask = Ask { accept, authorization: self.authorization.clone(), limit };
        let answer = self.web.get(&url, ask.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED || self.authorization.is_some() {
            return self.check(answer);
        }
        self.authorization = Some(self.authorize(&answer).await?);
        let ask = Ask { authorization: self.authorization.clone(), ..ask };
        self.check(self.web.get(&url, ask).await?)
    }

    fn check(&self, answer: Answer) -> anyhow::Result<Answer> {
        if matches!(answer.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            bail!(self.remedy());
        }
        answer.success()
    }

    /// What to say of oneself, by what the registry's refusal asks for.
    async fn authorize(&self, refusal: &Answer) -> anyhow::Result<HeaderValue> {
        let reference = self.reference;
        // Whoever the registry led to may not ask for what is meant for the registry.
        if refusal.url.origin() != reference.url("")?.origin() {
            bail!("`{}` wants to know who asks, and is not the registry", origin(&refusal.url));
        }
        let credentials = Credentials::find(&reference.registry, self.environment).await;
        let basic = credentials.and_then(|it| it.basic());
        let header = refusal.headers.get(WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
        match Challenge::parse(header.unwrap_or_default(), &reference.repository)? {
            Challenge::Basic => basic.with_context(|| self.remedy()),
            Challenge::Bearer(realm) => self.token(realm, basic).await,
        }
    }

    async fn token(&self, realm: Url, basic: Option<HeaderValue>) -> anyhow::Result<HeaderValue> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }

        check_scheme(&realm)?;
        let ask = Ask { accept: None, authorization: basic, limit: TOKEN_BYTES };
        let answer = self.check(self.web.get(&realm, ask).await?)?;
        let Token { token, access_token } = serde_json::from_slice(&answer.body)
            .with_context(|| format!("`{}` gave no token", origin(&realm)))?;
        let token = token.or(access_token).unwrap_or_default();
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .with_context(|| format!("`{}` gave no token", origin(&realm)))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn remedy(&self) -> String {
        let Reference { registry, repository, .. } = self.reference;
        format!(
            "`{registry}` does not give `{repository}`: if it is private, log in with `docker login {registry}`, or set \
             KITFOX_REGISTRY={registry}, KITFOX_REGISTRY_USER and KITFOX_REGISTRY_PASSWORD"
        )
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", ContentDigest::of(bytes))
}

fn check_digest(what: &str, expected: &str, found: &str) -> anyhow::Result<()> {
    if expected != found {
        bail!("the registry gave another {what} than it says: {found}, not {expected}");
    }
    Ok(())
}

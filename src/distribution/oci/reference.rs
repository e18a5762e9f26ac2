use std::{fmt, sync::LazyLock};

use anyhow::bail;
use regex::Regex;
use url::Url;

use crate::distribution::source::check_scheme;

/// `oci://registry/repository:tag`, `oci://registry/repository@sha256:…`, or both tag and digest, of which the digest
/// counts. `oci+http://` is for a registry on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    is_plain: bool,
    pub registry: String,
    pub repository: String,
    tag: Option<String>,
    /// `sha256:…`
    pub digest: Option<String>,
}

/// By <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests>.
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    let part = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
    let pattern = format!(
        "^oci(?<plain>\\+http)?://(?<registry>[a-z0-9.-]+(?::[0-9]{{1,5}})?|\\[[0-9a-f:]+\\](?::[0-9]{{1,5}})?)\
         /(?<repository>{part}(?:/{part})*)(?::(?<tag>[a-zA-Z0-9_][a-zA-Z0-9._-]{{0,127}}))?\
         (?:@(?<digest>sha256:[0-9a-f]{{64}}))?$"
    );
    Regex::new(&pattern).expect("it is a pattern")
});

impl Reference {
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let Some(found) = PATTERN.captures(text).filter(|_| text.len() < 1024) else {
            bail!(
                "`{}` is no reference to a registry: write oci://registry/repository:tag, or \
                 oci://registry/repository@sha256:…, in small letters",
                text.escape_debug()
            );
        };
        let get = |name: &str| found.name(name).map(|it| it.as_str().to_owned());
        let (tag, digest) = (get("tag"), get("digest"));
        if tag.is_none() && digest.is_none() {
            bail!(
                "`{text}` names no version: add a tag as `:1.2.0`, `:latest` where it is meant, or a digest"
            );
        }
        let registry = get("registry").unwrap_or_default();
        let repository = get("repository").unwrap_or_default();
        let is_plain = found.name("plain").is_some();
        let reference = Self { is_plain, registry, repository, tag, digest };
        check_scheme(&reference.url("")?)?;
        Ok(reference)
    }

    /// Where the registry has this of the repository.
    pub fn url(&self, path: &str) -> anyhow::Result<Url> {
        let scheme = if self.is_plain { "http" } else { "https" };
        let host = match self.registry.as_str() {
            // Its own name is a web site's.
            "docker.io" => "registry-1.docker.io",
            host => host,
        };
        Ok(Url::parse(&format!("{scheme}://{host}/v2/{}/{path}", self.repository))?)
    }

    /// What a manifest is asked for by.
    pub fn version(&self) -> &str {
        self.digest.as_deref().or(self.tag.as_deref()).unwrap_or_default()
    }

    /// What the plugin may be called: the last part of the repository.
    pub fn name(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = if self.is_plain { "+http" } else { "" };
        write!(f, "oci{plain}://{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[test]
    fn a_reference_names_registry_repository_and_version() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for text in [
            "oci://ghcr.io/ada/weather:1.2.0",
            "oci://registry.test:5000/a/b__c/d-e:latest",
            "oci+http://127.0.0.1:5000/weather:1",
            "oci+http://[::1]:5000/weather:1",
            &format!("oci://ghcr.io/weather@{digest}"),
            &format!("oci://ghcr.io/weather:1@{digest}"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), text);
        }
        let reference = Reference::parse("oci://docker.io/ada/weather:1").unwrap();
        assert_eq!(
            reference.url("manifests/1").unwrap().as_str(),
            "https://registry-1.docker.io/v2/ada/weather/manifests/1"
        );
        assert_eq!((reference.name(), reference.version()), ("weather", "1"));
    }

    #[test]
    fn what_could_lead_elsewhere_is_no_reference() {
        for text in [
            "oci://ghcr.io/weather",
            "oci://ghcr.io/../weather:1",
            "oci://ghcr.io/a/../../b:1",
            "oci://ghcr.io/a//b:1",
            "oci://ghcr.io/Weather:1",
            "oci://ghcr.io/weather:1/2",
            "oci://ghcr.io/weather:..?x=y",
            "oci://ghcr.io/weather:a b",
            "oci://ghcr.io/weather@sha256:00",
            "oci://ghcr.io/weather@sha512:00",
            "oci://ada:secret@ghcr.io/weather:1",
            "oci://ghcr.io:99999/weather:1",
            "oci:///weather:1",
            "oci+http://ghcr.io/weather:1",
            "oci+http://127.0.0.1.evil.test/weather:1",
            "oci+http://10.0.0.1:5000/weather:1",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}

use std::{
    fmt,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context, bail};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::distribution::oci::Reference;

/// Where a plugin comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or a pack's folder, from the project's folder where it is not absolute.
    Local(PathBuf),
    Url(Url),
    Oci(Reference),
}

impl Source {
    /// Reads what plugins.lock says.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            None => Ok(Self::Local(PathBuf::from(text))),
            Some("oci" | "oci+http") => Ok(Self::Oci(Reference::parse(text)?)),
            Some("http" | "https") => {
                let url = Url::parse(text).with_context(|| format!("`{text}` is no URL"))?;
                if !url.username().is_empty() || url.password().is_some() {
                    bail!(
                        "a URL with a user's name or password would be written to plugins.lock: leave them out"
                    );
                }
                check_scheme(&url)?;
                Ok(Self::Url(url))
            }
            Some(scheme) => bail!(
                "plugins do not come from `{scheme}:`: give a file, a folder, an https:// address, or \
                 oci://registry/repository:tag"
            ),
        }
    }

    /// Reads what was given on the command line, where paths are meant from `working`.
    pub fn given(text: &str, working: &Path, project: &Path) -> anyhow::Result<Self> {
        let source = Self::parse(text)?;
        let Self::Local(path) = &source else { return Ok(source) };
        if path.is_absolute() {
            return Ok(source);
        }
        let absolute = std::path::absolute(working.join(path))?;
        let absolute = absolute.canonicalize().unwrap_or(absolute);
        Ok(Self::Local(relative(&absolute, &project.canonicalize()?)))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
            Self::Oci(reference) => reference.fmt(f),
        }
    }
}

/// Refuses what anybody on the way could change: without TLS only this machine itself is asked.
pub fn check_scheme(url: &Url) -> anyhow::Result<()> {
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        "http" => bail!(
            "`{}` is asked without TLS, so that anybody on the way could change the plugin: use https",
            url.origin().ascii_serialization()
        ),
        scheme => bail!("only https can be fetched, not `{scheme}:`"),
    }
}

/// Whether this is a name of the machine itself, whatever is resolved.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What stands behind the last slash of a URL's path.
pub fn last_name(path: &str) -> String {
    let last = path.rsplit('/').find(|it| !it.is_empty()).unwrap_or_default();
    percent_decode_str(last).decode_utf8_lossy().into_owned()
}

/// The way to `path` from `folder`, both absolute.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let shared = path.components().zip(folder.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    let way: PathBuf = up.chain(path.components().skip(shared)).collect();
    // Another drive has no way from here.
    if shared == 0 { path.to_owned() } else { way }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_a_url_or_a_reference() {
        assert_eq!(Source::parse("a/b.wasm").unwrap(), Source::Local("a/b.wasm".into()));
        assert!(matches!(Source::parse("https://a.test/b.wasm").unwrap(), Source::Url(_)));
        assert!(matches!(Source::parse("HTTP://127.0.0.1:80/b.wasm").unwrap(), Source::Url(_)));
        assert!(matches!(Source::parse("oci://a.test/b:1").unwrap(), Source::Oci(_)));
        for text in [
            "http://a.test/b.wasm",
            "http://localhost.a.test/b.wasm",
            "http://127.0.0.1.a.test/b.wasm",
            "http://10.0.0.1/b.wasm",
            "https://ada:secret@a.test/b.wasm",
            "ftp://a.test/b.wasm",
            "file:///b.wasm",
            "oci+http://a.test/b:1",
        ] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_are_kept_as_the_way_from_the_project() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["project", "sources"] {
            std::fs::create_dir(root.join(name)).unwrap();
        }
        let given = |text: &str, working: &str| {
            let source = Source::given(text, &root.join(working), &root.join("project"));
            source.unwrap().to_string()
        };
        assert_eq!(given("a.rhai", "sources"), "../sources/a.rhai");
        assert_eq!(given("a.rhai", "project"), "a.rhai");
        assert_eq!(given("../sources", "project"), "../sources");
        assert_eq!(given("/a.rhai", "project"), "/a.rhai");
    }

    #[test]
    fn a_name_is_what_stands_last() {
        assert_eq!(last_name("/a/b.wasm"), "b.wasm");
        assert_eq!(last_name("/a/..%2f..%2fetc/"), "../../etc");
        assert_eq!(last_name("/"), "");
    }
}

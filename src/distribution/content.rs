use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{anyhow, bail};

use crate::{
    app::ProjectFiles,
    distribution::Package,
    plugin::{ContentDigest, PluginFiles},
};

/// What a plugin is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    Script(Arc<[u8]>),
    Component(Arc<[u8]>),
    /// By path below its folder.
    Pack(BTreeMap<String, Arc<[u8]>>),
}

/// What every component begins with.
const MAGIC: &[u8] = b"\0asm";
/// What servers give instead of a file.
pub const PAGE: &str =
    "it is a page of a web site and no plugin: give the address of the file itself";

impl Content {
    /// Tells by the first bytes and the name what a file is.
    pub fn of_bytes(name: &str, bytes: &[u8]) -> anyhow::Result<Self> {
        if bytes.starts_with(MAGIC) {
            return Ok(Self::Component(bytes.into()));
        }
        let start = bytes.trim_ascii_start();
        let start = start[..start.len().min(15)].to_ascii_lowercase();
        if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
            bail!(PAGE);
        }
        match Path::new(name).extension().and_then(|it| it.to_str()) {
            Some("rhai") => Ok(Self::Script(bytes.into())),
            Some("wasm") => {
                bail!(
                    "`{}` is no WebAssembly: it should begin with the bytes 00 61 73 6d",
                    plain(name)
                )
            }
            _ => bail!("`{}` is no plugin: it is neither WebAssembly nor named .rhai", plain(name)),
        }
    }

    /// The path in the project of a plugin of this name.
    pub fn path(&self, name: &str) -> String {
        match self {
            Self::Script(_) => format!("plugins/{name}.rhai"),
            Self::Component(_) => format!("plugins/{name}.wasm"),
            Self::Pack(_) => format!("plugins/{name}"),
        }
    }

    /// The files by their paths in the project, for a plugin of this name.
    pub fn files(&self, name: &str) -> Vec<(String, Arc<[u8]>)> {
        let path = self.path(name);
        match self {
            Self::Script(bytes) | Self::Component(bytes) => vec![(path, bytes.clone())],
            Self::Pack(files) => {
                files.iter().map(|(it, bytes)| (format!("{path}/{it}"), bytes.clone())).collect()
            }
        }
    }

    /// As a plugin of this name is loaded.
    pub fn unit(&self, name: &str) -> PluginFiles {
        let path = self.path(name);
        let files = match self {
            Self::Script(bytes) | Self::Component(bytes) => {
                let file = path.trim_start_matches("plugins/").to_owned();
                BTreeMap::from([(file, bytes.clone())])
            }
            Self::Pack(files) => files.clone(),
        };
        PluginFiles { path, name: name.to_owned(), files }
    }

    pub fn digest(&self) -> ContentDigest {
        match self {
            Self::Script(bytes) | Self::Component(bytes) => ContentDigest::of(bytes),
            Self::Pack(files) => {
                let files = files.iter();
                ContentDigest::of_pack(
                    files.map(|(it, bytes)| (it.as_str(), ContentDigest::of(bytes))),
                )
            }
        }
    }
}

/// Reads a plugin from a file or a pack's folder.
pub async fn read(path: PathBuf) -> anyhow::Result<Package> {
    let name = path.file_name().and_then(|it| it.to_str()).unwrap_or_default().to_owned();
    let metadata = tokio::fs::metadata(&path).await.map_err(unreadable)?;
    let content = if metadata.is_dir() {
        let folder = name.clone();
        let read = move || ProjectFiles::read_pack(&path, &folder);
        let files = tokio::task::spawn_blocking(read).await?.map_err(unreadable)?;
        if let Some(err) = files.errors.first() {
            bail!("{err}");
        }
        let files = files.below(&name).map(|(path, file)| (path.to_owned(), file.content.clone()));
        Content::Pack(files.collect())
    } else if !metadata.is_file() {
        bail!("it is neither a file nor a folder");
    } else if metadata.len() > super::web::MAX_BYTES {
        bail!("it has {} bytes, more than {}", metadata.len(), super::web::MAX_BYTES);
    } else {
        let bytes = tokio::fs::read(&path).await.map_err(unreadable)?;
        Content::of_bytes(&name, &bytes)?
    };
    if content == Content::Pack(BTreeMap::new()) {
        bail!("the folder is empty");
    }
    Ok(Package { content, name: stem(&name).to_owned(), resolved: None })
}

fn unreadable(err: std::io::Error) -> anyhow::Error {
    match err.kind() {
        std::io::ErrorKind::NotFound => anyhow!("there is no such file or folder"),
        _ => anyhow!(err).context("it cannot be read"),
    }
}

/// A file's name without its ending.
pub fn stem(name: &str) -> &str {
    name.strip_suffix(".rhai").or_else(|| name.strip_suffix(".wasm")).unwrap_or(name)
}

/// A name of whoever, as it can be shown.
fn plain(name: &str) -> String {
    name.chars().take(80).collect::<String>().escape_debug().to_string()
}

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    mcp::{file::ServerFile, file::Transport, tools::Listed},
    store::{KvScope, Store, StoreError},
};

/// Every tool as it was when it was listed first, kept over restarts: another description or schema is told, or
/// blocks the tool.
pub struct Pins<'a> {
    pub store: &'a Store,
    pub file: &'a ServerFile,
}

const KEY: &str = "pins";

impl Pins<'_> {
    /// Pins what is new, and gives the tools that are not as they were.
    pub async fn compare(&self, listed: &Listed) -> Result<Vec<String>, StoreError> {
        let kept = self.store.kv().get(&self.space(), &scope(), KEY).await?;
        let mut pins: BTreeMap<String, String> =
            kept.and_then(|it| serde_json::from_value(it).ok()).unwrap_or_default();
        let count = pins.len();
        let mut changed = Vec::new();
        for (name, tool) in &listed.tools {
            match pins.get(name) {
                Some(hash) if *hash == tool.hash => (),
                Some(_) => changed.push(name.clone()),
                None => {
                    pins.insert(name.clone(), tool.hash.clone());
                }
            }
        }
        if pins.len() != count {
            let pins = pins.into_iter().map(|(name, hash)| (name, Value::String(hash)));
            let pins = json!(pins.collect::<BTreeMap<_, _>>());
            self.store.kv().set(&self.space(), &scope(), KEY, &pins).await?;
        }
        Ok(changed)
    }

    /// Takes the tools as they are listed next.
    pub async fn forget(&self) -> Result<(), StoreError> {
        self.store.kv().delete(&self.space(), &scope(), KEY).await
    }

    /// Apart for each server that a file has named, and from what plugins keep: their names have no colon.
    fn space(&self) -> String {
        let target = match &self.file.transport {
            Transport::Http { url } => url.to_string(),
            Transport::Stdio(program) => {
                let words = std::iter::once(&program.command).chain(&program.arguments);
                words.map(String::as_str).collect::<Vec<_>>().join("\0")
            }
        };
        let hash = Sha256::digest(target);
        format!(
            "mcp:{}:{:02x}{:02x}{:02x}{:02x}{:02x}{:02x}",
            self.file.id, hash[0], hash[1], hash[2], hash[3], hash[4], hash[5]
        )
    }
}

const fn scope() -> KvScope {
    KvScope::All { org: None }
}

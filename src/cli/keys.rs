use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::bail;
use clap::{Args, Subcommand};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::{
    app::first_config,
    cli::output::{Output, bold, dim},
    config::Environment,
    store::Store,
    vault::{Key, Keys as KeyFile, VARIABLE, Vault},
};

#[derive(Debug, Args)]
pub struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the first key.
    New,
    /// List the keys, and how much each of them opens.
    List,
    /// Add a key and seal everything with it; a running server takes it up by itself.
    Rotate,
}

impl Keys {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let config = match first_config(&project, &environment).await {
            Ok(config) => config,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let file = project.join(&config.store.keys);
        let variable = environment.get(VARIABLE).filter(|it| !it.trim().is_empty());
        let keys = Arc::new(KeyFile::new(variable, file.clone(), false));
        if matches!(self.command, Command::New) {
            return new(&keys, &file, variable.is_some(), output).await;
        }
        let tasks = TaskTracker::new();
        let store = Store::open(&config.store.url, &tasks).await;
        store.check().await?;
        let vault = Vault::with_keys(store.clone(), keys);
        let done = match self.command {
            Command::New | Command::List => list(&vault, output).await,
            Command::Rotate => rotate(&vault, variable.is_some(), output).await,
        };
        store.close().await;
        done
    }
}

async fn new(
    keys: &Arc<KeyFile>,
    file: &std::path::Path,
    is_variable: bool,
    output: Output,
) -> anyhow::Result<ExitCode> {
    if is_variable {
        let key = Key::generate().line();
        output.line(format!(
            "{VARIABLE} holds the keys. Add this one at its end, after a comma, and then `kitfox keys rotate`:"
        ));
        output.line(key.expose_secret());
        output.value(&json!({ "key": key.expose_secret() }));
        return Ok(ExitCode::SUCCESS);
    }
    if keys.load().await.is_ok() {
        bail!("`{}` holds a key already: `kitfox keys rotate` adds another one", file.display());
    }
    let ring = keys.add().await?;
    let id = &ring.newest().id;
    output.line(format!("made {} with the key {}", bold(&file.display().to_string()), bold(id)));
    output.line(dim("keep a copy apart from the database's: without it, nothing that users entrusted can be opened"));
    output.value(&json!({ "file": file, "key": id }));
    Ok(ExitCode::SUCCESS)
}

async fn list(vault: &Vault, output: Output) -> anyhow::Result<ExitCode> {
    let ring = vault.keys().load().await?;
    let counts: BTreeMap<_, _> = vault.store().count_sealed_by_key().await?.into_iter().collect();
    let newest = &ring.newest().id;
    let mut list = Vec::new();
    for id in ring.ids() {
        let count = counts.get(id).copied().unwrap_or(0);
        let note = if id == newest { ", seals what comes" } else { "" };
        output.line(format!("{} opens {count}{note}", bold(id)));
        list.push(json!({ "id": id, "opens": count, "newest": id == newest }));
    }
    for (id, count) in counts.iter().filter(|(id, _)| ring.find(id).is_none()) {
        output.line(format!("{} is missing, and would open {count}", bold(id)));
        list.push(json!({ "id": id, "opens": count, "missing": true }));
    }
    output.value(&json!({ "keys": list }));
    Ok(ExitCode::SUCCESS)
}

async fn rotate(vault: &Vault, is_variable: bool, output: Output) -> anyhow::Result<ExitCode> {
    // The operator has added the new key.
    if !is_variable {
        vault.keys().load().await?;
        vault.keys().add().await?;
    }
    let rotated = vault.rotate().await?;
    let (id, count) = (&rotated.key_id, rotated.resealed);
    output.line(format!("the key {} seals everything: {count} were sealed anew", bold(id)));
    if rotated.unreadable > 0 {
        output.line(format!(
            "{} could not be opened by any key, and stay as they are",
            rotated.unreadable
        ));
    }
    output.value(&json!({ "key": id, "resealed": count, "unreadable": rotated.unreadable }));
    Ok(ExitCode::SUCCESS)
}

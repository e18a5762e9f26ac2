use std::process::ExitCode;

use anyhow::{anyhow, bail};
use clap::Args;
use serde_json::json;

use crate::{
    app::{App, Generation},
    cli::output::{Output, bold, known},
    distribution::{Kept, remove},
    plugin::{LOCK_FILE, Pin},
};

#[derive(Debug, Args)]
pub struct Remove {
    /// The plugin's name.
    name: String,
    /// Only take it out of plugins.lock: it becomes one of the project's own.
    #[arg(long)]
    keep_file: bool,
    /// Remove it though its file was changed since it was added.
    #[arg(long)]
    force: bool,
}

impl Remove {
    pub async fn run(self, app: &App, output: Output) -> anyhow::Result<ExitCode> {
        let name = self.name;
        let generation = app.generation();
        let pin = find_pin(&generation, &name)?.clone();
        let kept = if self.keep_file { Kept::File } else { Kept::Nothing };
        let is_changed = app.files().digest(&pin.file).is_some_and(|it| it != pin.sha256);
        if is_changed && kept == Kept::Nothing && !self.force {
            bail!(
                "{} was changed since it was added: `--force` removes it all the same, `--keep-file` makes it one of \
                 the project's own",
                pin.file
            );
        }
        let file = pin.file.clone();
        let (project, removed) = (app.project.clone(), name.clone());
        tokio::task::spawn_blocking(move || remove(&project, &removed, &pin, kept)).await??;
        output.line(match kept {
            Kept::Nothing => format!("removed {}", bold(&file)),
            Kept::File => format!("{} is one of the project's own now", bold(&file)),
        });
        output.value(&json!({ "removed": name, "file": file, "kept": kept == Kept::File }));
        Ok(ExitCode::SUCCESS)
    }
}

/// What plugins.lock has of a plugin.
pub fn find_pin<'a>(generation: &'a Generation, name: &str) -> anyhow::Result<&'a Pin> {
    if let Some(err) = generation.errors.iter().find(|err| err.file == LOCK_FILE) {
        bail!("{err}");
    }
    let lock = generation.lock.as_ref().ok_or_else(|| anyhow!("plugins.lock cannot be read"))?;
    if let Some(pin) = lock.find(name) {
        return Ok(pin);
    }
    if let Some(plugin) = generation.plugins.get(name) {
        bail!(
            "`{name}` was not added from elsewhere: {} is the project's own",
            plugin.manifest().path
        );
    }
    bail!("no plugin `{name}` was added: {}", known(lock.iter().map(|(name, _)| name)))
}

use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{
    add::{put, say_waiting, show_candidate},
    remove::find_pin,
};
use crate::{
    app::App,
    cli::output::{Output, bold, plain},
    config::Trust,
    distribution::find_update,
    plugin::{LOCK_FILE, Pin},
};

#[derive(Debug, Args)]
pub struct Update {
    /// The plugins' names; all that were added where there is none.
    names: Vec<String>,
    /// Do not ask, whatever they ask for.
    #[arg(long, short)]
    yes: bool,
}

impl Update {
    pub async fn run(self, app: &App, output: Output) -> anyhow::Result<ExitCode> {
        let generation = app.generation();
        let mut pins = Vec::new();
        for name in &self.names {
            pins.push((name.as_str(), find_pin(&generation, name)?));
        }
        if self.names.is_empty() {
            let errors: Vec<_> =
                generation.errors.iter().filter(|err| err.file == LOCK_FILE).cloned().collect();
            if !errors.is_empty() {
                bail!(super::join(&errors));
            }
            pins.extend(generation.lock.iter().flat_map(|lock| lock.iter()));
        }
        if pins.is_empty() {
            output.line("no plugin was added from elsewhere: `kitfox plugins add SOURCE` does");
        }
        let (mut updated, mut failed) = (Vec::new(), Vec::new());
        for (name, pin) in pins {
            match self.update(app, name, pin, output).await {
                Ok(value) => updated.push(value),
                // The others need not wait for it.
                Err(err) => {
                    output.line(format!("{}: {err:#}", bold(name)));
                    failed.push(json!({ "name": name, "error": format!("{err:#}") }));
                }
            }
        }
        output.value(&json!({ "plugins": updated, "failed": failed }));
        Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn update(
        &self,
        app: &App,
        name: &str,
        pin: &Pin,
        output: Output,
    ) -> anyhow::Result<Value> {
        let Some(candidate) = find_update(app, name, pin).await? else {
            output.line(format!("{} is as its source has it", bold(name)));
            return Ok(json!({ "name": name, "changed": false, "sha256": pin.sha256 }));
        };
        let (old, new) = (pin.sha256, candidate.pin.sha256);
        output.line(format!("{}: sha256 {}… → {}…", bold(name), old.short(), new.short()));
        let before = candidate.before.as_ref().context("it is in plugins.lock")?;
        let requested = &candidate.plugin.manifest().requested;
        let mut questions = Vec::new();
        if before.is_changed {
            questions.push(format!("{} was changed here, and the change goes", pin.file));
        }
        // Where the operator approves permissions, it does nothing before that.
        let approves = app.generation().config.plugins.trust == Trust::Ask;
        if candidate.asks_for_more() && !approves {
            let had = before.permissions.as_ref().map(ToString::to_string);
            let had = had.unwrap_or_else(|| "nothing that can be told".to_owned());
            questions.push(format!("it asks for {requested}, and asked for {had}"));
        }
        if !questions.is_empty() {
            show_candidate(&candidate, output);
            for question in &questions {
                output.line(plain(question));
            }
            if !self.yes && !output.confirm("update it?").await? {
                bail!("it stays as it was ({}): `--yes` updates it", plain(&questions.join("; ")));
            }
        }
        put(app, &candidate).await?;
        output.line(format!("updated {}", bold(&pin.file)));
        say_waiting(&candidate, output);
        Ok(json!({
            "name": name, "changed": true, "before": old, "sha256": new,
            "resolved": candidate.pin.resolved, "requested": requested,
            "approved": candidate.plugin.manifest().approved,
        }))
    }
}

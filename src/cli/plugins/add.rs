use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::show::{show, show_name, show_pin, to_json};
use crate::{
    app::App,
    cli::output::{Output, bold, dim, plain},
    distribution::{Candidate, Existing, Source, find_candidate, install},
};

#[derive(Debug, Args)]
pub struct Add {
    /// A file or a pack's folder, the https address of a .wasm or .rhai file, or
    /// `oci://registry/repository:tag` (`oci+http://…` for a registry on this machine).
    source: String,
    /// Its name, where the plugin does not say so itself.
    #[arg(long)]
    name: Option<String>,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Replace a plugin that has its place.
    #[arg(long)]
    force: bool,
}

impl Add {
    pub async fn run(self, app: &App, output: Output) -> anyhow::Result<ExitCode> {
        let working = std::env::current_dir()?;
        let source = Source::given(&self.source, &working, &app.project)?;
        let existing = if self.force { Existing::Replaced(None) } else { Existing::None };
        let candidate = find_candidate(app, &source, self.name.as_deref(), existing).await?;
        show_candidate(&candidate, output);
        if !self.yes && !output.confirm("put it into the project?").await? {
            bail!("nothing was changed: it is added without a question by `--yes`");
        }
        put(app, &candidate).await?;
        output.line(format!("added {} to plugins.lock", bold(&candidate.pin.file)));
        say_waiting(&candidate, output);
        let mut value = to_json(candidate.plugin.as_ref());
        value["sha256"] = json!(candidate.pin.sha256);
        value["source"] = json!(candidate.pin.source);
        value["resolved"] = json!(candidate.pin.resolved);
        output.value(&json!({ "added": value }));
        Ok(ExitCode::SUCCESS)
    }
}

/// What somebody should know before it is in the project.
pub fn show_candidate(candidate: &Candidate, output: Output) {
    let Candidate { name, pin, plugin, denied, .. } = candidate;
    show_name(name, plugin.manifest().version.as_deref(), "", &pin.file, output);
    show(plugin.as_ref(), output);
    for import in denied {
        let import = plain(import);
        output.line(dim(&format!(
            "    imports {import}, which is denied: it fails where it is called"
        )));
    }
    show_pin(pin, output);
}

pub fn say_waiting(candidate: &Candidate, output: Output) {
    if !candidate.plugin.manifest().approved {
        let name = &candidate.name;
        output
            .line(format!("it does nothing before you approve it: kitfox plugins approve {name}"));
    }
}

pub async fn put(app: &App, candidate: &Candidate) -> anyhow::Result<()> {
    let project = app.project.clone();
    let Candidate { name, content, pin, existing, .. } = candidate;
    let (name, content) = (name.clone(), content.clone());
    let (pin, existing) = (pin.clone(), existing.clone());
    let install = move || install(&project, &name, &content, &pin, &existing);
    tokio::task::spawn_blocking(install).await?
}

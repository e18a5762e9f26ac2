use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use serde_json::json;

use super::join;
use crate::{
    app::App,
    cli::output::{Output, bold, known},
    plugin::Approvals,
};

#[derive(Debug, Args)]
pub struct Approve {
    /// The plugin's name.
    name: String,
}

impl Approve {
    pub async fn run(self, app: &App, output: Output) -> anyhow::Result<ExitCode> {
        let name = self.name;
        let generation = app.generation();
        let Some(plugin) = generation.plugins.get(&name) else {
            let known = known(generation.plugins.keys().map(String::as_str));
            output.problems(&generation.errors);
            bail!("there is no plugin `{name}`: {known}");
        };
        let requested = &plugin.manifest().requested;
        let path = app.project.join("approvals.toml");
        let mut approvals = match tokio::fs::read_to_string(&path).await {
            Ok(text) => Approvals::parse(&text).map_err(|errors| anyhow!(join(&errors)))?,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => Approvals::default(),
            Err(err) => return Err(err).context("cannot read approvals.toml"),
        };
        approvals.approve(&name, requested);
        // A crash in the middle must not lose the approvals that there were.
        let draft = app.project.join(".approvals.toml.new");
        tokio::fs::write(&draft, approvals.to_toml())
            .await
            .context("cannot write approvals.toml")?;
        tokio::fs::rename(&draft, &path).await.context("cannot write approvals.toml")?;
        output.line(format!("approved {} for {requested}", bold(&name)));
        output.value(&json!({ "approved": name, "permissions": requested }));
        Ok(ExitCode::SUCCESS)
    }
}

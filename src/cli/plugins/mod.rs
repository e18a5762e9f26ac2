//! `kitfox plugins`: one file per command.

mod add;
mod approve;
mod inspect;
mod list;
mod remove;
mod show;
mod update;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    cli::{check, output::Output},
    config::Environment,
    load_error::LoadError,
};

#[derive(Debug, Args)]
pub struct Plugins {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the plugins: where they come from, what they offer, what they may do, whether they are in force.
    List,
    /// Fetch a plugin, show what it asks for, and put it into plugins/ and plugins.lock.
    Add(add::Add),
    /// Fetch plugins that were added again, and show what changed.
    Update(update::Update),
    /// Take a plugin that was added out of plugins/ and plugins.lock.
    Remove(remove::Remove),
    /// Say what a component holds: tools, schemas, permissions, imports.
    Inspect(inspect::Inspect),
    /// Approve what a plugin asks for (needed under `[plugins] trust = "ask"`).
    Approve(approve::Approve),
}

impl Plugins {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let command = match self.command.unwrap_or(Command::List) {
            // It needs no project.
            Command::Inspect(inspect) => return inspect.run(output).await,
            command => command,
        };
        let app = match check::load(project, environment).await {
            Ok(app) => app,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        match command {
            Command::List => Ok(list::run(&app, output)),
            Command::Add(add) => add.run(&app, output).await,
            Command::Update(update) => update.run(&app, output).await,
            Command::Remove(remove) => remove.run(&app, output).await,
            Command::Approve(approve) => approve.run(&app, output).await,
            Command::Inspect(inspect) => inspect.run(output).await,
        }
    }
}

fn join(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

mod leaks;
mod stand_in;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use crate::{cli::output::Output, config::Environment};

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plant canaries in place of the credentials, run a turn that calls all and says all, and look for them.
    Leaks,
}

impl Doctor {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Leaks => leaks::run(project, environment, output).await,
        }
    }
}

mod checks;
mod leaks;
mod ready;
mod stand_in;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};

use crate::{cli::output::Output, config::Environment};

#[derive(Debug, Args)]
pub struct Doctor {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plant canaries in place of the credentials, run a turn that calls all and says all, and look for them.
    Leaks,
    /// Ask a running server whether it is ready.
    Ready {
        /// The server; default: where kitfox.toml says that it listens.
        #[arg(long)]
        url: Option<String>,
    },
}

impl Doctor {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        match self.command {
            None => checks::run(project, environment, output).await,
            Some(Command::Leaks) => leaks::run(project, environment, output).await,
            Some(Command::Ready { url }) => ready::run(url, project, environment, output).await,
        }
    }
}

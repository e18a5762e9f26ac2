//! The command line: one file per command.

mod call;
mod chat;
mod check;
mod doctor;
mod export;
mod import;
mod keys;
mod language;
mod login;
mod mcp;
mod migrate;
mod new;
mod output;
mod plugins;
mod render;
mod serve;
mod users;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::{app::first_config, config::Environment, telemetry::LogPlace};

use self::output::Output;

/// A self-hosted server for OpenAI's ChatKit whose agent is made of files.
#[derive(Debug, Parser)]
#[command(name = "kitfox", version, about, max_term_width = 100)]
pub struct Arguments {
    /// The project's folder: kitfox.toml, prompts/, plugins/.
    #[arg(long, global = true, default_value = ".", value_name = "DIR")]
    project: PathBuf,
    /// Print JSON instead of text for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the project (what `kitfox` alone does).
    Serve(serve::Serve),
    /// Load the project and say what is wrong with it.
    Check,
    /// Chat with a running server in the terminal.
    Chat(chat::Chat),
    /// Call a tool of the project and print its result.
    Call(call::Call),
    /// Print a prompt as the model would get it.
    Render(render::Render),
    /// List plugins, get them from elsewhere, or approve what they may do.
    Plugins(plugins::Plugins),
    /// List the MCP servers, look at one, call its tools, log in to it.
    Mcp(mcp::Mcp),
    /// Look for what is wrong with the set-up.
    Doctor(doctor::Doctor),
    /// Make, list or rotate the keys of what users entrust to the server.
    Keys(keys::Keys),
    /// Delete or export what is kept of a user.
    Users(users::Users),
    /// Bring the database up to date, or say whether it is.
    Migrate(migrate::Migrate),
    /// Write threads, items and what belongs to them as JSON lines.
    Export(export::Export),
    /// Read what `export` wrote, or chats from elsewhere.
    Import(import::Import),
    /// Make a new plugin or agent from a template.
    New(new::New),
}

impl Arguments {
    /// What is logged unless `KITFOX_LOG` says otherwise: a server tells what it does, other commands only
    /// what goes wrong.
    pub fn default_log(&self) -> &'static str {
        match self.command {
            // What the library for MCP logs of messages is the users'.
            None | Some(Command::Serve(_)) => "info,rmcp=error",
            Some(_) => "error",
        }
    }

    /// Where a server logs, and how. What is wrong with the configuration is told later, by whoever needs it.
    pub async fn log_place(&self) -> LogPlace {
        match self.command {
            None | Some(Command::Serve(_)) => {
                let config = first_config(&self.project, &Environment::of_process()).await;
                config
                    .map(|it| LogPlace { format: it.telemetry.logs, audit: it.audit.file })
                    .unwrap_or_default()
            }
            Some(_) => LogPlace::default(),
        }
    }
}

/// Runs the command that the arguments name. Commands that fail have said why.
pub async fn run(arguments: Arguments) -> ExitCode {
    let Arguments { project, json, command } = arguments;
    let environment = Environment::of_process();
    let output = Output { json };
    let result = match command.unwrap_or(Command::Serve(serve::Serve::default())) {
        Command::Serve(serve) => serve.run(project, environment, output).await,
        Command::Check => check::run(project, environment, output).await,
        Command::Chat(chat) => chat.run(project, environment, output).await,
        Command::Call(call) => call.run(project, environment, output).await,
        Command::Render(render) => render.run(project, environment, output).await,
        Command::Plugins(plugins) => plugins.run(project, environment, output).await,
        Command::Mcp(mcp) => mcp.run(project, environment, output).await,
        Command::Doctor(doctor) => doctor.run(project, environment, output).await,
        Command::Keys(keys) => keys.run(project, environment, output).await,
        Command::Users(users) => users.run(project, environment, output).await,
        Command::Migrate(migrate) => migrate.run(project, environment, output).await,
        Command::Export(export) => export.run(project, environment, output).await,
        Command::Import(import) => import.run(project, environment, output).await,
        Command::New(new) => new.run(project, output).await,
    };
    match result {
        Ok(code) => code,
        Err(err) => {
            output.failed(&err);
            ExitCode::FAILURE
        }
    }
}

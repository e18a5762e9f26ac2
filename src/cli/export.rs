use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::Args;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::{
    app::first_config,
    chatkit::ThreadId,
    cli::output::Output,
    config::Environment,
    store::{Role, Selection, Store},
    user::UserKey,
};

/// Threads, their items, and what is known of files, as JSON lines that `kitfox import` takes.
#[derive(Debug, Args)]
pub struct Export {
    /// Where to write; the standard output if there is none.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What this user has, and nothing else. The id that the login gives, or the owner as an export writes it. Repeatable.
    #[arg(long, value_name = "ID")]
    user: Vec<String>,
    #[command(flatten)]
    login: Login,
    /// This thread, and nothing else.
    #[arg(long, value_name = "ID")]
    thread: Option<String>,
    /// What users entrusted to the server, encrypted, and the secrets that sign its cookies and links, too: to move to another database.
    #[arg(long)]
    secrets: bool,
}

/// How the users of an export or import log in: the same id of two logins is two users.
#[derive(Debug, Clone, Args)]
pub struct Login {
    /// How users log in: header, token, jwt, oidc or session. The first of `mode` in `[auth]` if nothing is said.
    #[arg(long, value_name = "METHOD")]
    pub login: Option<String>,
    /// Who issues their tokens, where somebody does.
    #[arg(long, value_name = "ISSUER", default_value = "")]
    pub issuer: String,
}

impl Login {
    /// The user whom a login knows as `id`.
    pub fn user(&self, default: &str, id: &str) -> UserKey {
        UserKey::new(self.login.as_deref().unwrap_or(default), &self.issuer, id)
    }
}

impl Export {
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
                return Ok(ExitCode::FAILURE);
            }
        };
        let method = config.auth.modes.first().map_or("session", |it| it.name());
        let mut owners = Vec::new();
        for id in &self.user {
            owners.push(id.clone());
            owners.push(self.login.user(method, id).as_str().to_owned());
        }
        let thread = self.thread.as_deref().map(ThreadId::from);
        let selection = Selection { owners, thread, secrets: self.secrets };
        let mut to: Box<dyn Write + Send> = match &self.output {
            Some(file) => Box::new(BufWriter::new(create(file)?)),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let store = Store::connect(&config.store, Role::Guest, &TaskTracker::new()).await;
        store.check().await?;
        let mut lines = 0_u64;
        let done = store.export(&selection, |line| {
            lines += 1;
            serde_json::to_writer(&mut to, line)?;
            to.write_all(b"\n")
        });
        let done = done.await;
        store.close().await;
        done?;
        to.flush()?;
        if let Some(file) = &self.output {
            output.line(format!("wrote {lines} lines to {}", file.display()));
            output.value(&json!({ "lines": lines, "file": file }));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// For nobody else to read: it holds what users wrote.
fn create(file: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).with_context(|| format!("cannot write `{}`", file.display()))
}

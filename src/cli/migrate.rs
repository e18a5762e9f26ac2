use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use crate::{
    app::first_config,
    cli::output::{Output, bold, dim},
    config::Environment,
    store::Store,
};

#[derive(Debug, Args)]
pub struct Migrate {
    /// Say what the database has and what it lacks, and change nothing.
    #[arg(long)]
    status: bool,
}

impl Migrate {
    /// Succeeds where the database is as this version needs it.
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let config = match first_config(&project, &environment).await {
            Ok(config) => config.store,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let url = Store::show_url(&config)?;
        let states = if self.status {
            Store::list_migrations(&config).await?
        } else {
            Store::migrate(&config).await?
        };
        output.line(dim(&url));
        for state in &states {
            let mark = if state.is_applied { "applied" } else { "missing" };
            output.line(format!("{:04} {} {}", state.number, bold(mark), state.about));
        }
        let missing = states.iter().filter(|it| !it.is_applied).count();
        if missing > 0 {
            output.line(format!("{missing} are missing: `kitfox migrate` applies them, and so does a server that starts"));
        }
        let list: Vec<_> = states
            .iter()
            .map(|it| json!({ "number": it.number, "about": it.about, "applied": it.is_applied }))
            .collect();
        output.value(&json!({ "database": url, "migrations": list, "missing": missing }));
        Ok(if missing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

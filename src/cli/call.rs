use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    app::{App, Options},
    cli::output::{Output, known},
    config::Environment,
    context::RequestContext,
    mcp::Caller,
    turn,
    user::User,
};

#[derive(Debug, Args)]
pub struct Call {
    /// The tool's name.
    tool: String,
    /// Its arguments as a JSON object.
    #[arg(default_value = "{}")]
    arguments: String,
    /// Who calls: what plugins keep for a user is kept for this one.
    #[arg(long, default_value = "cli")]
    user: String,
    /// Approve the call, where the tool asks for that.
    #[arg(long, short = 'y')]
    yes: bool,
}

impl Call {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let arguments: Value = serde_json::from_str(&self.arguments).with_context(|| {
            format!(
                "the arguments are not JSON: quote them, as in '{{\"text\": \"hi\"}}'; got `{}`",
                self.arguments
            )
        })?;
        if !arguments.is_object() {
            bail!("the arguments must be a JSON object, as in '{{\"text\": \"hi\"}}'");
        }
        let options = Options { project, environment, models: None, store: None, watch: false };
        let app = match App::start(options).await {
            Ok(app) => app,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let context =
            Arc::new(RequestContext::of_user(User::new("header", "", &self.user), &Map::new()));
        let mut generation = app.generation();
        if !generation.tools.0.contains_key(&self.tool) {
            let caller = Caller { request: &context, thread: None };
            generation.mcp.list_all(caller).await;
            generation = generation.offered_to(caller).await;
        }
        let Some(tool) = generation.tools.0.get(&self.tool) else {
            let known = known(generation.tools.0.keys().map(String::as_str));
            output.problems(&generation.errors);
            app.close().await;
            bail!("there is no tool `{}`: {known}", self.tool);
        };
        if tool.spec.needs_approval() && !self.yes {
            app.close().await;
            bail!("`{}` needs approval: give it with `--yes`", self.tool);
        }
        let name = &self.tool;
        let result = if self.yes {
            turn::call_approved_tool(&app, &generation, name, arguments, context).await
        } else {
            turn::call_tool(&app, &generation, name, arguments, context).await
        };
        app.close().await;
        match result {
            Ok(value) => {
                match &value {
                    Value::String(text) => output.line(text),
                    other => output.line(serde_json::to_string_pretty(other)?),
                }
                output.value(&json!({ "result": value }));
                Ok(ExitCode::SUCCESS)
            }
            Err(err) => bail!("{}: {err}", self.tool),
        }
    }
}

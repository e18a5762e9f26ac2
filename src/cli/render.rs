use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    cli::{
        check,
        output::{Output, known},
    },
    config::Environment,
    context::RequestContext,
    turn::{self, Scope},
    user::User,
};

#[derive(Debug, Args)]
pub struct Render {
    /// The agent: a file in prompts/ without `.md`.
    prompt: String,
    /// The user's id.
    #[arg(long, default_value = "cli")]
    user: String,
    /// What the page sends along, as JSON: `{"pageContext": {"title": "Home"}, "userInfo": {"name": "Ada"}}`.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    metadata: String,
}

impl Render {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let metadata: Map<String, Value> =
            serde_json::from_str(&self.metadata).context("`--metadata` is not a JSON object")?;
        let app = match check::load(project, environment).await {
            Ok(app) => app,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let generation = app.generation();
        let id = self.prompt.trim_end_matches(".md").trim_start_matches("prompts/");
        let Some(agent) = generation.prompts.find(id) else {
            let known = known(generation.prompts.agents().map(|it| it.id.as_str()));
            output.problems(&generation.errors);
            bail!("there is no agent `{id}`: {known}");
        };
        let context = RequestContext::of_user(User::new("header", "", &self.user), &metadata);
        let tools = turn::tools(&generation, agent);
        let mut credentials = generation.host.credentials.absent();
        for name in generation.in_prompt().into_keys() {
            let shown = format!("[credential {name}]");
            credentials.insert(name, Value::String(shown));
        }
        let scope = Scope {
            generation: &generation,
            request: &context,
            thread: None,
            tools: &tools,
            history: String::new(),
            vars: &Map::new(),
            credentials,
        };
        match generation.prompts.render(agent, scope.to_value()) {
            Ok(text) => {
                output.line(&text);
                output.value(&json!({ "prompt": text }));
                Ok(ExitCode::SUCCESS)
            }
            Err(err) => {
                output.problems(std::slice::from_ref(&err));
                output.value(&json!({ "errors": [err] }));
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

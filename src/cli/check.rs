use std::{path::PathBuf, process::ExitCode};

use serde_json::json;

use crate::{
    app::{App, Options},
    cli::output::Output,
    config::Environment,
    load_error::LoadError,
};

/// Loads the project and says what is wrong with it. Nothing is stored and nothing is called.
pub async fn run(
    project: PathBuf,
    environment: Environment,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let app = match load(project, environment).await {
        Ok(app) => app,
        Err(errors) => {
            output.problems(&errors);
            output.value(&json!({ "ok": false, "errors": errors }));
            return Ok(ExitCode::FAILURE);
        }
    };
    let generation = app.generation();
    let agents: Vec<_> = generation.prompts.agents().map(|it| &it.id).collect();
    let tools: Vec<_> = generation.tools.0.keys().collect();
    let plugins: Vec<_> = generation.plugins.keys().collect();
    let servers: Vec<_> = generation.mcp.0.keys().collect();
    let mut errors = generation.errors.clone();
    if let Some(problem) = app.store.blobs().problem() {
        errors.push(LoadError::new("kitfox.toml", problem));
    }
    let ok = errors.is_empty();
    output.problems(&errors);
    let widgets: Vec<_> = generation.widgets.0.keys().collect();
    output.line(format!(
        "generation {}: {} agents, {} plugins, {} tools, {} widgets{}{}",
        generation.id,
        agents.len(),
        plugins.len(),
        tools.len(),
        widgets.len(),
        match servers.len() {
            0 => String::new(),
            1 => ", 1 MCP server".to_owned(),
            count => format!(", {count} MCP servers"),
        },
        match errors.len() {
            0 => ", no errors".to_owned(),
            1 => ", 1 error".to_owned(),
            count => format!(", {count} errors"),
        }
    ));
    output.value(&json!({
        "ok": ok, "generation": *generation.id, "agents": agents, "plugins": plugins, "tools": tools,
        "mcp": servers, "widgets": widgets, "errors": errors,
    }));
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The project with a store that is gone with the process.
pub async fn load(project: PathBuf, environment: Environment) -> Result<App, Vec<LoadError>> {
    let store = Some("sqlite::memory:".to_owned());
    App::start(Options { project, environment, models: None, store, watch: false }).await
}

/// The project with its own store.
pub async fn load_with_store(
    project: PathBuf,
    environment: Environment,
) -> Result<App, Vec<LoadError>> {
    App::start(Options { project, environment, models: None, store: None, watch: false }).await
}

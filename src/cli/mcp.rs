use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::{
    app::App,
    cli::{
        check, login,
        output::{Output, bold, dim, known, red},
    },
    config::Environment,
    context::RequestContext,
    mcp::{Caller, Server, Status, Word},
    oauth::Target,
    turn,
    user::User,
};

#[derive(Debug, Args)]
pub struct Mcp {
    #[command(subcommand)]
    command: Option<Command>,
    /// As whom: with the credentials of this user.
    #[arg(long, global = true, default_value = "cli")]
    user: String,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Connect to all servers and say how they are.
    List,
    /// Connect to a server and show its tools with their schemas.
    Inspect {
        /// The server's id: its file's name without `.mcp.toml`.
        name: String,
    },
    /// Call a tool of a server and print its result.
    Call {
        /// The server's id.
        name: String,
        /// The tool's name at the server.
        tool: String,
        /// Its arguments as a JSON object.
        #[arg(default_value = "{}")]
        arguments: String,
    },
    /// Log in to a server, or for a credential, in a browser on this machine.
    Login {
        /// The server's id, or the credential's name.
        name: String,
    },
    /// Take a server's tools as they are now for what they should be.
    Pin {
        /// The server's id.
        name: String,
    },
}

impl Mcp {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        let app = match check::load_with_store(project, environment).await {
            Ok(app) => app,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let user = User::new("header", "", &self.user);
        let request = Arc::new(RequestContext::of_user(user.clone(), &Map::new()));
        let result = match self.command.unwrap_or(Command::List) {
            Command::List => list(&app, &request, output).await,
            Command::Inspect { name } => inspect(&app, &name, &request, output).await,
            Command::Call { name, tool, arguments } => {
                call(&app, &name, &tool, &arguments, request, output).await
            }
            Command::Login { name } => login::run(&app, &name, &user, output).await,
            Command::Pin { name } => pin(&app, &name, &request, output).await,
        };
        // Programs that were started end with the command, whatever came of it.
        app.close().await;
        result
    }
}

async fn list(app: &App, request: &RequestContext, output: Output) -> anyhow::Result<ExitCode> {
    let generation = app.generation();
    generation.mcp.list_all(Caller { request, thread: None }).await;
    let statuses = generation.mcp.statuses();
    if statuses.is_empty() {
        output.line("there are no MCP servers: add plugins/NAME.mcp.toml");
    }
    for status in &statuses {
        show(status, output);
    }
    output.problems(&generation.errors);
    output.value(&json!({ "servers": statuses, "errors": generation.errors }));
    let is_good = generation.errors.is_empty() && statuses.iter().all(is_ready);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn inspect(
    app: &App,
    name: &str,
    request: &RequestContext,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let server = find(app, name, output)?;
    let listing = server.list(Caller { request, thread: None }).await;
    let status = server.status();
    show(&status, output);
    let (tools, problem) = match &listing {
        Ok(listing) => {
            let tools = listing.listed.tools.values().map(|it| it.spec.clone());
            (tools.collect::<Vec<_>>(), None)
        }
        Err(fault) => (Vec::new(), Some(fault.to_string())),
    };
    if let Some(problem) = problem.as_ref().filter(|it| status.reason.as_ref() != Some(it)) {
        output.line(format!("    {}", red(problem)));
    }
    if problem.is_some() {
        hint_at_login(app, name, request, output);
    }
    for spec in &tools {
        output.line(format!("{}: {}", bold(&spec.name), spec.description));
        output.line(format!("    {}", dim(&spec.parameters.to_string())));
        if !spec.annotations.is_empty() {
            output.line(format!("    {}", dim(&json!(spec.annotations).to_string())));
        }
    }
    output.value(&json!({ "server": status, "tools": tools, "error": problem }));
    Ok(if listing.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn call(
    app: &App,
    name: &str,
    tool: &str,
    arguments: &str,
    request: Arc<RequestContext>,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let arguments: Value = serde_json::from_str(arguments).with_context(|| {
        format!("the arguments are not JSON: quote them, as in '{{\"text\": \"hi\"}}'; got `{arguments}`")
    })?;
    if !arguments.is_object() {
        bail!("the arguments must be a JSON object, as in '{{\"text\": \"hi\"}}'");
    }
    let server = find(app, name, output)?;
    let caller = Caller { request: &request, thread: None };
    let listing = match server.list(caller).await {
        Ok(listing) => listing,
        Err(fault) => {
            hint_at_login(app, name, &request, output);
            bail!("{name}: {fault}");
        }
    };
    let Some(found) = listing.listed.tools.get(tool) else {
        let known = known(listing.listed.tools.keys().map(String::as_str));
        bail!("`{name}` has no tool `{tool}`: {known}");
    };
    let full_name = found.spec.name.clone();
    // Whoever sits at the terminal has approved it.
    let generation = app.generation();
    let result = turn::call_approved_tool(app, &generation, &full_name, arguments, request).await;
    match result {
        Ok(value) => {
            match &value {
                Value::String(text) => output.line(text),
                other => output.line(serde_json::to_string_pretty(other)?),
            }
            output.value(&json!({ "result": value }));
            Ok(ExitCode::SUCCESS)
        }
        Err(err) => bail!("{full_name}: {err}"),
    }
}

async fn pin(
    app: &App,
    name: &str,
    request: &RequestContext,
    output: Output,
) -> anyhow::Result<ExitCode> {
    let server = find(app, name, output)?;
    server.forget_pins().await?;
    let listing = server
        .list(Caller { request, thread: None })
        .await
        .map_err(|fault| anyhow::anyhow!("{name}: {fault}"))?;
    let count = listing.listed.tools.len();
    output.line(format!("pinned the {count} tools of {}", bold(name)));
    output.value(&json!({ "pinned": listing.listed.tools.keys().collect::<Vec<_>>() }));
    Ok(ExitCode::SUCCESS)
}

/// Whoever lacks a login is told how to log in from here.
fn hint_at_login(app: &App, name: &str, request: &RequestContext, output: Output) {
    let key = Target::of_server(name);
    let generation = app.generation();
    let mut targets = generation.login_targets();
    if targets.any(|it| it.key == key && it.has_logins()) {
        let user = request.user.as_ref().map(|it| it.id.as_str()).unwrap_or_default();
        output.line(format!(
            "    where it is a login that is missing: `kitfox mcp login {name} --user {user}`"
        ));
    }
}

fn find(app: &App, name: &str, output: Output) -> anyhow::Result<Arc<Server>> {
    let generation = app.generation();
    let Some(server) = generation.mcp.0.get(name) else {
        output.problems(&generation.errors);
        let known = known(generation.mcp.0.keys().map(String::as_str));
        bail!("there is no MCP server `{name}`: {known}");
    };
    Ok(server.clone())
}

fn is_ready(status: &Status) -> bool {
    status.state == Word::Ready && status.reason.is_none()
}

fn show(status: &Status, output: Output) {
    let state = status.state.name();
    let state = if is_ready(status) { dim(state) } else { red(state) };
    output.line(format!("{} {state} {}", bold(&status.id), dim(&status.target)));
    if let Some(protocol) = &status.protocol {
        let server = status.server.as_deref().unwrap_or("a server without a name");
        output.line(format!("    {server}, protocol {protocol}"));
    }
    if let Some(reason) = &status.reason {
        output.line(format!("    {}", red(reason)));
    }
    if !status.tools.is_empty() {
        output.line(format!("    tools: {}", status.tools.join(", ")));
    }
    for warning in &status.warnings {
        output.line(format!("    {}", red(warning)));
    }
    for tool in &status.changed {
        let message = format!(
            "the tool `{tool}` is not as it was when it was listed first: `kitfox mcp pin {}` takes it as it is",
            status.id
        );
        output.line(format!("    {}", red(&message)));
    }
}

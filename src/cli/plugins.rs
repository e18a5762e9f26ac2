use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    cli::{
        check,
        output::{Output, bold, dim, known},
    },
    config::Environment,
    load_error::LoadError,
    plugin::{Approvals, Inspection, Plugin, inspect},
};

#[derive(Debug, Args)]
pub struct Plugins {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the plugins with what they offer and what they may do.
    List,
    /// Say what a component holds: tools, schemas, permissions, imports.
    Inspect {
        /// A .wasm file.
        file: PathBuf,
    },
    /// Approve what a plugin asks for (needed under `[plugins] trust = "ask"`).
    Approve {
        /// The plugin's name.
        name: String,
    },
}

impl Plugins {
    pub async fn run(
        self,
        project: PathBuf,
        environment: Environment,
        output: Output,
    ) -> anyhow::Result<ExitCode> {
        if let Some(Command::Inspect { file }) = &self.command {
            return inspect_file(file, output).await;
        }
        let folder = project.clone();
        let app = match check::load(project, environment).await {
            Ok(app) => app,
            Err(errors) => {
                output.problems(&errors);
                output.value(&json!({ "errors": errors }));
                return Ok(ExitCode::FAILURE);
            }
        };
        let generation = app.generation();
        match self.command.unwrap_or(Command::List) {
            // It needs no project.
            Command::Inspect { file } => inspect_file(&file, output).await,
            Command::List => {
                let mut list = Vec::new();
                for plugin in generation.plugins.values() {
                    list.push(describe(plugin.as_ref(), output));
                }
                if list.is_empty() {
                    output.line("there are no plugins: `kitfox new rhai hello` makes one");
                }
                output.problems(&generation.errors);
                output.value(&json!({ "plugins": list, "errors": generation.errors }));
                Ok(ExitCode::SUCCESS)
            }
            Command::Approve { name } => {
                let Some(plugin) = generation.plugins.get(&name) else {
                    let known = known(generation.plugins.keys().map(String::as_str));
                    output.problems(&generation.errors);
                    bail!("there is no plugin `{name}`: {known}");
                };
                let requested = &plugin.manifest().requested;
                let path = folder.join("approvals.toml");
                let mut approvals = match tokio::fs::read_to_string(&path).await {
                    Ok(text) => Approvals::parse(&text).map_err(|errors| anyhow!(join(&errors)))?,
                    Err(err) if err.kind() == std::io::ErrorKind::NotFound => Approvals::default(),
                    Err(err) => return Err(err).context("cannot read approvals.toml"),
                };
                approvals.approve(&name, requested);
                // A crash in the middle must not lose the approvals that there were.
                let draft = folder.join(".approvals.toml.new");
                tokio::fs::write(&draft, approvals.to_toml())
                    .await
                    .context("cannot write approvals.toml")?;
                tokio::fs::rename(&draft, &path).await.context("cannot write approvals.toml")?;
                output.line(format!("approved {} for {requested}", bold(&name)));
                output.value(&json!({ "approved": name, "permissions": requested }));
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

async fn inspect_file(file: &Path, output: Output) -> anyhow::Result<ExitCode> {
    let bytes =
        tokio::fs::read(file).await.with_context(|| format!("cannot read {}", file.display()))?;
    let path = file.display().to_string();
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Compiling takes seconds where a component is large.
    let inspection = tokio::task::spawn_blocking(move || inspect(&path, &name, &bytes)).await?;
    let inspection = match inspection {
        Ok(inspection) => inspection,
        Err(err) => {
            output.problems(std::slice::from_ref(&err));
            output.value(&json!({ "errors": [err] }));
            return Ok(ExitCode::FAILURE);
        }
    };
    let Inspection { is_plugin, declaration, registration, imports } = &inspection;
    output.line(match is_plugin {
        true => "a plugin of the world kitfox:plugin/plugin",
        false => "a component of another world: its functions are tools",
    });
    let agents = registration.agent_tools.iter().map(|it| &it.spec);
    let clients = registration.client_tools.iter().map(|it| &it.spec);
    for spec in registration.tools.iter().map(|(spec, _)| spec).chain(agents).chain(clients) {
        output.line(format!("{}: {}", bold(&spec.name), spec.description));
        output.line(format!("    {}", dim(&spec.parameters.to_string())));
    }
    for (event, _) in &registration.hooks {
        output.line(format!("on {}", event.name()));
    }
    for (action, _) in &registration.actions {
        output.line(format!("{} {}", action.kind.function(), action.r#type));
    }
    for (route, _) in &registration.routes {
        output.line(format!("{} {}", route.method, route.path));
    }
    output.line(format!("asks for {}", declaration.permissions));
    for (import, offered) in imports {
        let note = if *offered { "" } else { " (denied: it fails where it is called)" };
        output.line(dim(&format!("imports {import}{note}")));
    }
    output.value(&inspection.to_json());
    Ok(ExitCode::SUCCESS)
}

fn join(errors: &[LoadError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn describe(plugin: &dyn Plugin, output: Output) -> Value {
    let manifest = plugin.manifest();
    let registration = plugin.registration();
    let tools: Vec<_> = registration.tools.iter().map(|(spec, _)| spec.name.as_str()).collect();
    let agent_tools: Vec<_> =
        registration.agent_tools.iter().map(|it| it.spec.name.as_str()).collect();
    let client_tools: Vec<_> =
        registration.client_tools.iter().map(|it| it.spec.name.as_str()).collect();
    let routes: Vec<_> = registration
        .routes
        .iter()
        .map(|(route, _)| format!("{} /x/{}{}", route.method, manifest.name, route.path))
        .collect();
    let state = if manifest.approved { "" } else { " (waits for approval)" };
    output.line(format!("{}{state} {}", bold(&manifest.name), dim(&manifest.path)));
    if let Some(description) = &manifest.description {
        output.line(format!("    {description}"));
    }
    if !tools.is_empty() {
        output.line(format!("    tools: {}", tools.join(", ")));
    }
    if !agent_tools.is_empty() {
        output.line(format!("    agents as tools: {}", agent_tools.join(", ")));
    }
    if !client_tools.is_empty() {
        output.line(format!("    tools of the page: {}", client_tools.join(", ")));
    }
    if !registration.hooks.is_empty() {
        output.line(format!("    hooks: {}", registration.hooks.len()));
    }
    for route in &routes {
        output.line(format!("    {route}"));
    }
    output.line(format!("    asks for {}", manifest.requested));
    json!({
        "name": manifest.name, "path": manifest.path, "version": manifest.version,
        "description": manifest.description, "approved": manifest.approved,
        "permissions": manifest.permissions, "requested": manifest.requested,
        "tools": tools, "agent_tools": agent_tools, "client_tools": client_tools, "routes": routes,
    })
}

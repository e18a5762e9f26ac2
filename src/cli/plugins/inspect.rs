use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Args;
use serde_json::json;

use crate::{
    cli::output::{Output, bold, dim, plain},
    plugin::{Inspection, inspect},
};

#[derive(Debug, Args)]
pub struct Inspect {
    /// A .wasm file.
    file: PathBuf,
}

impl Inspect {
    pub async fn run(self, output: Output) -> anyhow::Result<ExitCode> {
        let file = self.file;
        let bytes = tokio::fs::read(&file)
            .await
            .with_context(|| format!("cannot read {}", file.display()))?;
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
            output.line(format!("{}: {}", bold(&plain(&spec.name)), plain(&spec.description)));
            output.line(format!("    {}", dim(&plain(&spec.parameters.to_string()))));
        }
        for (event, _) in &registration.hooks {
            output.line(format!("on {}", event.name()));
        }
        for (action, _) in &registration.actions {
            output.line(format!("{} {}", action.kind.function(), plain(&action.r#type)));
        }
        for (route, _) in &registration.routes {
            output.line(format!("{} {}", route.method, plain(&route.path)));
        }
        output.line(format!("asks for {}", plain(&declaration.permissions.to_string())));
        for (import, offered) in imports {
            let note = if *offered { "" } else { " (denied: it fails where it is called)" };
            output.line(dim(&format!("imports {}{note}", plain(import))));
        }
        output.value(&inspection.to_json());
        Ok(ExitCode::SUCCESS)
    }
}

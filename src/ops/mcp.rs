//! Plugin tools for MCP clients.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use futures::FutureExt;
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::{
    app::{App, Generation},
    context::RequestContext,
    tool::{ToolError, ToolSpec},
    turn,
};

/// The tools that MCP clients may call, in the order of their names: those that say so and need nobody's approval,
/// which cannot be asked for here.
pub fn mcp_tools(generation: &Generation) -> Vec<Arc<ToolSpec>> {
    let tools = generation.tools.0.values().map(|it| &it.spec);
    tools.filter(|it| is_offered(it)).cloned().collect()
}

/// The one of them that has this name.
pub fn find_mcp_tool<'a>(generation: &'a Generation, name: &str) -> Option<&'a Arc<ToolSpec>> {
    generation.tools.0.get(name).map(|it| &it.spec).filter(|it| is_offered(it))
}

fn is_offered(spec: &ToolSpec) -> bool {
    spec.mcp && !spec.needs_approval()
}

/// Calls one of these tools, and gives its result, or what to tell whoever called it. It is told to stop when this is
/// dropped.
pub async fn call_mcp_tool(
    app: &App,
    generation: &Arc<Generation>,
    spec: &ToolSpec,
    arguments: Map<String, Value>,
    context: Arc<RequestContext>,
    progress: mpsc::Sender<String>,
) -> Result<Value, String> {
    let begin = Instant::now();
    let (name, arguments) = (&spec.name, Value::Object(arguments));
    let call = turn::call_tool_for_mcp(app, generation, name, arguments, context, progress);
    // Whoever waits for the answer would wait for ever.
    let result = AssertUnwindSafe(call).catch_unwind().await;
    let milliseconds = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Ok(result) = result else {
        error!(tool = %name, "tool {name} panicked");
        return Err(format!("`{name}`: the server failed: its log says why"));
    };
    match result {
        Ok(value) => {
            info!(tool = %name, milliseconds, "called tool {name} for an MCP client");
            Ok(value)
        }
        Err(err) => {
            warn!(tool = %name, milliseconds, "tool {name} failed for an MCP client");
            Err(match err {
                ToolError::Failed(message) | ToolError::Turn { message, .. } => {
                    format!("`{name}`: {message}")
                }
                ToolError::Ended => format!("`{name}` needs a chat, and there is none here"),
                ToolError::Cancelled => format!("`{name}` was stopped"),
            })
        }
    }
}

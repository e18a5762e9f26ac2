//! MCP servers whose tools the agent uses.

mod calls;
pub mod fake;
mod files;
mod hostile;
mod lists;
mod peer;
#[cfg(target_os = "linux")]
mod stdio;

use serde_json::Value;

use crate::tests::harness::Server;

/// A file for a server at this URL whose tools need no approval, with these lines beside.
fn file(url: &str, more: &str) -> String {
    format!("transport = \"http\"\nurl = \"{url}\"\napproval = \"never\"\n{more}\n")
}

/// A project with one server `notes` at this URL.
async fn with(url: &str, more: &str) -> Server {
    Server::start(&[("plugins/notes.mcp.toml", &file(url, more))]).await
}

/// The names of the tools that the model was told of last.
fn tools(server: &Server) -> Vec<String> {
    let requests = server.model.requests();
    requests.last().unwrap().tools.iter().map(|it| it.name.clone()).collect()
}

/// What became of the only server of a project.
fn status(server: &Server) -> Value {
    let statuses = server.app.generation().mcp.statuses();
    serde_json::to_value(&statuses[0]).unwrap()
}

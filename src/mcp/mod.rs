//! MCP servers whose tools the agent uses: plugins/*.mcp.toml, connections, tools, calls.

mod asking;
mod call;
mod clean;
mod connection;
mod elicitation;
mod fault;
mod file;
mod handler;
mod hub;
mod identity;
mod link;
mod pins;
mod result;
mod schema;
mod server;
mod status;
mod tools;
mod transport;
mod view;

use std::{collections::BTreeMap, sync::Arc};

use futures::future::join_all;

use crate::tool::{Tool, ToolSet};

use self::call::ServerTool;
pub use self::{
    fault::Fault,
    file::{ENDING, ServerFile, Surroundings, Transport},
    hub::Hub,
    server::{Caller, Server, address_rules, nobody},
    status::{Status, Word},
    tools::ListedTool,
};

/// The servers of a generation, by their ids.
#[derive(Clone, Default)]
pub struct Servers(pub BTreeMap<String, Arc<Server>>);

impl Servers {
    /// Begins to connect to all that are the same for everyone.
    pub fn start(&self) {
        for server in self.0.values() {
            server.start();
        }
    }

    /// These tools and those that the servers offer the caller, and what they say of how theirs are used, each with its
    /// id. Servers that are about to list theirs are waited for a moment, side by side.
    pub async fn offer(
        &self,
        tools: &Arc<ToolSet>,
        caller: Caller<'_>,
    ) -> (Arc<ToolSet>, Vec<(String, String)>) {
        if self.0.is_empty() {
            return (tools.clone(), Vec::new());
        }
        let offered = join_all(self.0.values().map(|server| server.offered(caller))).await;
        let (mut all, mut instructions) = (ToolSet::clone(tools), Vec::new());
        for ((id, server), offered) in self.0.iter().zip(offered) {
            for tool in offered.tools {
                add(&mut all, server, tool);
            }
            instructions.extend(offered.instructions.map(|it| (id.clone(), it)));
        }
        (Arc::new(all), instructions)
    }

    /// Has all servers list their tools for the caller, however long that takes them.
    pub async fn list_all(&self, caller: Caller<'_>) {
        join_all(self.0.values().map(|server| server.list(caller))).await;
    }

    /// These tools and those that any caller was offered last, for the operator.
    pub fn known(&self, tools: &ToolSet) -> ToolSet {
        let mut all = tools.clone();
        for server in self.0.values() {
            for listing in server.listings() {
                for tool in server.admitted(Some(listing)) {
                    add(&mut all, server, tool);
                }
            }
        }
        all
    }

    pub fn statuses(&self) -> Vec<Status> {
        self.0.values().map(|it| it.status()).collect()
    }
}

/// A plugin's tool of the same name stays what it is.
fn add(tools: &mut ToolSet, server: &Arc<Server>, tool: Arc<ListedTool>) {
    let name = tool.spec.name.clone();
    let (spec, server) = (tool.spec.clone(), server.clone());
    let provider = Arc::new(ServerTool { server, tool });
    tools.0.entry(name).or_insert(Tool { spec, provider });
}

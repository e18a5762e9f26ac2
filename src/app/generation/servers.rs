use std::{collections::BTreeMap, sync::Arc};

use sha2::{Digest, Sha256};

use crate::{
    app::files::ProjectFiles,
    credential::OwnLogin,
    load_error::LoadError,
    mcp::{self, Caller, Server, Servers},
    oauth::Target,
    plugin::Host,
};

use super::{Generation, Part, Surroundings};

/// What of kitfox.toml no MCP server depends on: a change of the rest makes them all anew.
const NOT_OF_SERVERS: &[&str] = &[
    "project",
    "providers",
    "models",
    "agents",
    "prompts",
    "plugins",
    "routes",
    "transcribe",
    "limits",
];

/// Tells what of kitfox.toml MCP servers are made with.
pub fn settings_of(files: &ProjectFiles) -> [u8; 32] {
    let text = files.text("kitfox.toml").and_then(Result::ok).unwrap_or_default();
    let mut table: toml::Table = text.parse().unwrap_or_default();
    for name in NOT_OF_SERVERS {
        table.remove(*name);
    }
    Sha256::digest(table.to_string()).into()
}

/// Loads the MCP servers that changed. One that did not keeps its connections; one whose file went is dropped, and
/// its connections close when its last call is done.
pub fn load_servers(
    files: &ProjectFiles,
    previous: Option<&Generation>,
    host: &Arc<Host>,
    server_settings: [u8; 32],
    surroundings: &Surroundings<'_>,
    parts: &mut BTreeMap<String, Part>,
) -> Servers {
    let mut servers = Servers::default();
    let same_settings = previous.is_some_and(|it| it.server_settings == server_settings);
    let settings = mcp::Surroundings {
        config: &host.config,
        credentials: &host.credentials,
        project: surroundings.project,
        variable: &|name| surroundings.environment.0.get(name).cloned(),
    };
    let load = |path: &str, text: Arc<str>| Server::load(path, text, surroundings.mcp, &settings);
    for (path, file) in files.below("plugins").filter(|(path, _)| is_server(path)) {
        let path = format!("plugins/{path}");
        let before = previous.and_then(|it| it.parts.get(&path));
        let last_good = previous.and_then(|it| it.mcp.0.values().find(|it| it.file().path == path));
        let unchanged = before.filter(|part| {
            same_settings && part.tried == file.hash && !part.errors.iter().any(is_id_conflict)
        });
        let (mut part, server) = match unchanged {
            Some(part) => (part.clone(), last_good.cloned()),
            None => match files
                .text(&path)
                .unwrap_or_else(|| Ok(Arc::from("")))
                .map_err(|err| vec![err])
                .and_then(|text| load(&path, text))
            {
                Ok(server) => (part(file.hash, Some(file.hash), Vec::new()), Some(server)),
                Err(errors) => {
                    // Under the configuration of now: what the operator forbids is forbidden to it too.
                    let server = match last_good {
                        Some(server) if same_settings => Some(server.clone()),
                        Some(server) => load(&path, server.text.clone()).ok(),
                        None => None,
                    };
                    let in_force = before.and_then(|it| it.in_force).filter(|_| server.is_some());
                    (part(file.hash, in_force, errors), server)
                }
            },
        };
        if let Some(server) = server {
            let id = server.file().id.clone();
            if let Some(rival) = servers.0.get(&id) {
                part = self::part(file.hash, None, vec![id_conflict(&path, rival)]);
            } else {
                servers.0.insert(id, server);
            }
        }
        parts.insert(path, part);
    }
    servers
}

impl Generation {
    /// What users may log in to. Whether it has logins at all is known of most: see [`Target::has_logins`].
    pub fn login_targets(&self) -> impl Iterator<Item = Target> {
        let logins = self.mcp.0.values().filter_map(|it| it.file().rules.login());
        let servers = logins.map(OwnLogin::target);
        servers.chain(self.host.credentials.targets())
    }

    /// This generation with the tools that MCP servers offer the caller.
    pub async fn offered_to(self: &Arc<Self>, caller: Caller<'_>) -> Arc<Self> {
        if self.mcp.0.is_empty() {
            return self.clone();
        }
        let (tools, instructions) = self.mcp.offer(&self.tools, caller).await;
        let server_instructions = Arc::from(instructions);
        Arc::new(Self { tools, server_instructions, ..Self::clone(self) })
    }
}

/// Directly in plugins/, or directly in a pack.
pub fn is_server(path: &str) -> bool {
    path.ends_with(mcp::ENDING) && path.matches('/').count() <= 1
}

const fn part(tried: [u8; 32], in_force: Option<[u8; 32]>, errors: Vec<LoadError>) -> Part {
    Part { tried, in_force, plugin: None, errors }
}

const CONFLICT: &str = "is the id of the server in";

fn id_conflict(path: &str, rival: &Server) -> LoadError {
    let file = rival.file();
    LoadError::new(path, format!("`{}` {CONFLICT} {} as well", file.id, file.path))
        .remedy("rename one of the two files")
}

fn is_id_conflict(err: &LoadError) -> bool {
    err.message.contains(CONFLICT)
}

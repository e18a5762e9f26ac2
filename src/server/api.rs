//! What is in force, for the operator and for developers.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{broadcast::error::RecvError, mpsc};

use crate::{
    app::{App, Generation, Inspection},
    config::{AuthConfig, AuthMode, Config},
    plugin::Manifest,
    tool::{Tool, ToolSpec},
    user::User,
};

use super::{
    Server,
    auth::{self, NewSession},
    error::ApiError,
    guard::Reach,
    sse::{self, Encoder},
};

/// Events that a slow watcher may lag behind.
const WAITING_EVENTS: usize = 16;

/// `GET /api/generation`
pub async fn generation(
    State(server): State<Server>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let user = admit(&server, &headers).await?;
    Ok(fresh(show_generation(&server.app.generation().seen_by(user.as_ref()))))
}

/// `GET /api/tools`
pub async fn tools(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    let user = admit(&server, &headers).await?;
    Ok(fresh(show_tools(&server.app.generation().seen_by(user.as_ref()))))
}

/// `GET /api/mcp`
pub async fn mcp(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    let user = admit(&server, &headers).await?;
    Ok(fresh(json!(server.app.generation().seen_by(user.as_ref()).mcp.statuses())))
}

/// `GET /api/events`: each generation that comes into force, and the tool calls in the caller's threads.
pub async fn events(
    State(server): State<Server>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let user = admit(&server, &headers).await?;
    let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
    server.app.tasks.spawn(watch(server.app.clone(), user, sender));
    Ok(sse::response(receiver, WatchEncoder))
}

/// Who may look: an operator; anybody, while only this machine can reach the server and nobody logs in.
async fn admit(server: &Server, headers: &HeaderMap) -> Result<Option<User>, ApiError> {
    let config = server.app.generation().config.clone();
    let caller = auth::authenticate(server, headers, NewSession::Never).await;
    if is_open(server.reach, &config) {
        return Ok(caller.ok().map(|it| it.user));
    }
    let user = caller?.user;
    if user.roles.iter().any(|it| it == "operator") {
        return Ok(Some(user));
    }
    Err(ApiError::forbidden(
        "this is for users with the role `operator`, or for everyone while the server can be reached \
         from its own machine only",
    ))
}

fn is_open(reach: Reach, config: &Config) -> bool {
    reach.is_private(&config.server) && nobody_logs_in(&config.auth)
}

fn nobody_logs_in(auth: &AuthConfig) -> bool {
    auth.modes.iter().all(|it| match it {
        AuthMode::Session | AuthMode::Header => true,
        AuthMode::Token | AuthMode::Jwt | AuthMode::Oidc => false,
    })
}

fn fresh(body: Value) -> Response {
    let mut response = Json(body).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What a watcher is told.
enum Watched {
    Generation(Value),
    Tool(Inspection),
}

/// Tells `sender` what happens until the watcher leaves or the server stops.
async fn watch(app: App, user: Option<User>, sender: mpsc::Sender<Watched>) {
    let mut changes = app.changes();
    let mut servers = app.mcp.changes();
    let mut inspections = app.inspector.subscribe();
    let shown = || show_generation(&app.generation().seen_by(user.as_ref()));
    let mut next = Watched::Generation(shown());
    loop {
        if sender.send(next).await.is_err() {
            return;
        }
        next = loop {
            tokio::select! {
                () = sender.closed() => return,
                () = app.stopping.cancelled() => return,
                result = changes.changed() => match result {
                    Ok(()) => break Watched::Generation(shown()),
                    Err(_) => return,
                },
                Ok(()) = servers.changed() => {
                    break Watched::Generation(shown());
                }
                inspection = inspections.recv() => match inspection {
                    Ok(it) if user.as_ref().is_some_and(|user| user.key == it.user) => {
                        break Watched::Tool(it);
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => (),
                    Err(RecvError::Closed) => return,
                },
            }
        };
    }
}

struct WatchEncoder;

impl Encoder for WatchEncoder {
    type Event = Watched;

    fn encode(&mut self, event: Watched, frames: &mut Vec<u8>) {
        match event {
            Watched::Generation(it) => sse::write_frame(frames, Some("generation"), &it),
            Watched::Tool(it) => sse::write_frame(frames, Some("tool"), &it),
        }
    }

    fn finish(&mut self, _frames: &mut Vec<u8>) {}
}

fn show_generation(generation: &Generation) -> Value {
    let agents: Vec<_> = generation
        .prompts
        .agents()
        .map(|it| {
            json!({
                "id": it.id,
                "name": it.front.name,
                "model": it.front.model.as_deref().unwrap_or("default"),
            })
        })
        .collect();
    let plugins: Vec<_> =
        generation.plugins.values().map(|it| show_plugin(it.manifest())).collect();
    json!({
        "id": generation.id,
        "created_at": generation.created_at,
        "agents": agents,
        "tools": show_tools(generation),
        "plugins": plugins,
        "mcp": generation.mcp.statuses(),
        "errors": generation.errors,
    })
}

fn show_tools(generation: &Generation) -> Value {
    generation.mcp.known(&generation.tools).0.values().map(show_tool).collect()
}

fn show_tool(tool: &Tool) -> Value {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        spec: &'a ToolSpec,
        origin: &'a str,
    }
    json!(Shown { spec: &tool.spec, origin: tool.provider.origin() })
}

fn show_plugin(manifest: &Manifest) -> Value {
    json!({
        "name": manifest.name,
        "path": manifest.path,
        "version": manifest.version,
        "description": manifest.description,
        "approved": manifest.approved,
        "permissions": manifest.permissions,
        "requested": manifest.requested,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::BoxFuture;

    use crate::{
        plugin::Permissions,
        tool::{Approval, CallContext, ToolError, ToolProvider},
        user::{Allow, UserKey},
    };

    use super::*;

    struct Nobody;

    impl ToolProvider for Nobody {
        fn call(
            &self,
            _: &str,
            _: Value,
            _: CallContext,
        ) -> BoxFuture<'static, Result<Value, ToolError>> {
            Box::pin(async { Err(ToolError::Cancelled) })
        }

        fn origin(&self) -> &'static str {
            "plugins/hello.rhai"
        }
    }

    #[test]
    fn a_tool_is_shown_with_its_schema_and_where_it_comes_from() {
        let spec = ToolSpec {
            name: "hello".to_owned(),
            description: "Says hello.".to_owned(),
            parameters: json!({ "type": "object" }),
            examples: Vec::new(),
            stop: false,
            parallel: true,
            approval: Approval::Never,
            annotations: serde_json::Map::new(),
            timeout: None,
            mcp: false,
            server: None,
            allow: Allow::default(),
        };
        let tool = Tool { spec: Arc::new(spec), provider: Arc::new(Nobody) };
        insta::assert_snapshot!(show_tool(&tool), @r#"{"name":"hello","description":"Says hello.","parameters":{"type":"object"},"stop":false,"parallel":true,"approval":"never","mcp":false,"origin":"plugins/hello.rhai"}"#);
    }

    #[test]
    fn a_plugin_is_shown_with_what_it_may_do() {
        let requested = Permissions { model: true, ..Permissions::default() };
        let manifest = Manifest {
            name: "cats".to_owned(),
            path: "plugins/cats".to_owned(),
            version: None,
            description: None,
            permissions: Permissions::default(),
            requested,
            allow: Allow::default(),
            approved: false,
        };
        let shown = show_plugin(&manifest);
        assert_eq!(shown["approved"], false);
        assert_eq!(shown["permissions"], json!({}));
        assert_eq!(shown["requested"], json!({ "model": true }));
    }

    #[test]
    fn a_tool_call_is_a_frame_without_its_user() {
        let mut frames = Vec::new();
        let inspection = Inspection {
            user: UserKey::new("session", "", "secret"),
            thread_id: "thr_1".to_owned(),
            tool: "hello".to_owned(),
            arguments: "{}".to_owned(),
            output: "hi".to_owned(),
            failed: false,
            milliseconds: 3,
        };
        WatchEncoder.encode(Watched::Tool(inspection), &mut frames);
        insta::assert_snapshot!(String::from_utf8(frames).unwrap(), @r#"
        event: tool
        data: {"thread_id":"thr_1","tool":"hello","arguments":"{}","output":"hi","failed":false,"milliseconds":3}
        "#);
    }
}

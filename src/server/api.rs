//! What is in force, for the operator and for developers.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderValue, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc},
    time::{Instant, sleep_until},
};

use crate::{
    app::{App, Generation, TimelineEvent, Traced, TracedTurn},
    config::{AuthConfig, AuthMode, Config},
    plugin::Manifest,
    tool::{Tool, ToolSpec},
    user::{User, UserKey},
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
/// So long a watcher is told before who they are is asked again.
const WATCH: Duration = Duration::from_mins(30);

/// Who looks, and why they may.
pub struct Viewer {
    pub user: Option<User>,
    /// Else it is because nobody else can reach the server.
    is_operator: bool,
}

/// `GET /api/generation`
pub async fn generation(
    State(server): State<Server>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let viewer = admit(&server, &headers).await?;
    Ok(fresh(show(&server.app, &viewer)))
}

/// `GET /api/tools`
pub async fn tools(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    let user = admit(&server, &headers).await?.user;
    Ok(fresh(show_tools(&server.app.generation().seen_by(user.as_ref()))))
}

/// `GET /api/mcp`
pub async fn mcp(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    let user = admit(&server, &headers).await?.user;
    Ok(fresh(json!(server.app.generation().seen_by(user.as_ref()).mcp.statuses())))
}

/// `GET /api/events`: each generation that comes into force, and what turns do in the caller's threads.
pub async fn events(
    State(server): State<Server>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let viewer = admit(&server, &headers).await?;
    let (sender, receiver) = mpsc::channel(WAITING_EVENTS);
    server.app.tasks.spawn(watch(server.clone(), viewer, sender));
    Ok(sse::response(receiver, WatchEncoder))
}

/// Who may look: an operator; anybody, while only this machine can reach the server and nobody logs in.
pub async fn admit(server: &Server, headers: &HeaderMap) -> Result<Viewer, ApiError> {
    let config = server.app.generation().config.clone();
    let caller = auth::authenticate(server, headers, NewSession::Never).await;
    let is_operator =
        caller.as_ref().is_ok_and(|it| it.user.roles.iter().any(|role| role == "operator"));
    if is_operator || is_open(server.reach, &config) {
        return Ok(Viewer { user: caller.ok().map(|it| it.user), is_operator });
    }
    caller?;
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
    /// One that began before they came, with its steps.
    Turn(TracedTurn),
    Event(Arc<TimelineEvent>),
}

/// Tells `sender` what happens until the watcher leaves, may look no more, or the server stops.
async fn watch(server: Server, viewer: Viewer, sender: mpsc::Sender<Watched>) {
    let app = &server.app;
    let mut changes = app.changes();
    let mut servers = app.mcp.changes();
    // What happens between the two is told twice, and known by its number.
    let mut events = app.timeline.subscribe();
    let end = Instant::now() + WATCH;
    if sender.send(Watched::Generation(show(app, &viewer))).await.is_err()
        || tell_turns(app, &viewer, &sender).await.is_err()
    {
        return;
    }
    loop {
        let next = tokio::select! {
            () = sender.closed() => return,
            () = app.stopping.cancelled() => return,
            () = sleep_until(end) => return,
            result = changes.changed() => match result {
                Ok(()) if viewer.is_operator || is_open(server.reach, &app.generation().config) => {
                    Watched::Generation(show(app, &viewer))
                }
                Ok(()) | Err(_) => return,
            },
            Ok(()) = servers.changed() => Watched::Generation(show(app, &viewer)),
            event = events.recv() => match event {
                Ok(it) if viewer.is(it.user()) => Watched::Event(it),
                Ok(_) => continue,
                Err(RecvError::Lagged(_)) => match tell_turns(app, &viewer, &sender).await {
                    Ok(()) => continue,
                    Err(_) => return,
                },
                Err(RecvError::Closed) => return,
            },
        };
        if sender.send(next).await.is_err() {
            return;
        }
    }
}

/// Tells what is kept of the watcher's own turns.
async fn tell_turns(
    app: &App,
    viewer: &Viewer,
    sender: &mpsc::Sender<Watched>,
) -> Result<(), mpsc::error::SendError<Watched>> {
    let Some(user) = &viewer.user else { return Ok(()) };
    for turn in app.timeline.of(&user.key) {
        sender.send(Watched::Turn(turn)).await?;
    }
    Ok(())
}

impl Viewer {
    fn is(&self, user: &UserKey) -> bool {
        self.user.as_ref().is_some_and(|it| it.key == *user)
    }
}

struct WatchEncoder;

impl Encoder for WatchEncoder {
    type Event = Watched;

    fn encode(&mut self, event: Watched, frames: &mut Vec<u8>) {
        match event {
            Watched::Generation(it) => sse::write_frame(frames, Some("generation"), &it),
            Watched::Turn(it) => sse::write_frame(frames, Some("turn"), &it),
            Watched::Event(it) => match &*it {
                TimelineEvent::Turn(turn) => sse::write_frame(frames, Some("turn"), turn),
                TimelineEvent::Step(_, step) => {
                    let name = match &step.what {
                        Traced::Model(_) => "model",
                        Traced::Tool(_) => "tool",
                    };
                    sse::write_frame(frames, Some(name), &**step);
                }
            },
        }
    }

    fn finish(&mut self, _frames: &mut Vec<u8>) {}
}

/// What is in force, where its files are, and who looks at it.
fn show(app: &App, viewer: &Viewer) -> Value {
    let generation = app.generation().seen_by(viewer.user.as_ref());
    let config = &generation.config;
    let mut shown = show_generation(&generation);
    let modes: Vec<_> = config.auth.modes.iter().map(|it| it.name()).collect();
    let user = viewer.user.as_ref();
    shown["project"] = json!({ "name": config.project.name, "folder": app.project });
    shown["version"] = json!(env!("CARGO_PKG_VERSION"));
    shown["viewer"] = json!({
        "user": user.map(|it| json!({ "id": it.id, "name": it.name, "roles": it.roles })),
        "auth": { "modes": modes, "header": config.auth.header },
    });
    shown
}

fn show_generation(generation: &Generation) -> Value {
    let files: Vec<_> = generation.files().filter(|it| is_seen(it, generation)).collect();
    let agents: Vec<_> = generation
        .prompts
        .agents()
        .map(|it| {
            let path = format!("prompts/{}.md", it.id);
            json!({
                "id": it.id,
                "name": it.front.name,
                "model": it.front.model.as_deref().unwrap_or("default"),
                // Where there is none, it was built in.
                "path": files.contains(&path.as_str()).then_some(path),
            })
        })
        .collect();
    let plugins: Vec<_> =
        generation.plugins.values().map(|it| show_plugin(it.manifest())).collect();
    json!({
        "id": generation.id,
        "created_at": generation.created_at,
        "agents": agents,
        "default_agent": generation.config.agents.default,
        "demo": generation.config.uses_demo_model(),
        "tools": show_tools(generation),
        "plugins": plugins,
        "mcp": generation.mcp.statuses(),
        "files": files,
        "errors": generation.errors,
    })
}

/// Whether a file is no agent's and no server's that the viewer does not see.
fn is_seen(path: &str, generation: &Generation) -> bool {
    if let Some(name) = path.strip_prefix("prompts/").and_then(|it| it.strip_suffix(".md")) {
        return name.starts_with('_') || generation.prompts.agents().any(|it| it.id == name);
    }
    let server = path.strip_suffix(".mcp.toml").and_then(|it| it.rsplit('/').next());
    server.is_none_or(|it| generation.mcp.0.contains_key(it))
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
    use futures::future::BoxFuture;

    use crate::{
        app::{TracedStep, TracedTool},
        plugin::Permissions,
        tool::{Approval, CallContext, ToolError, ToolProvider},
        user::Allow,
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
        let step = TracedStep {
            turn: "1".into(),
            thread_id: "thr_1".into(),
            step: 0,
            at: 2,
            milliseconds: 3,
            failed: false,
            what: Traced::Tool(TracedTool {
                tool: "hello".to_owned(),
                arguments: "{}".to_owned(),
                output: "hi".to_owned(),
            }),
        };
        let user = UserKey::new("session", "", "secret");
        let event = Arc::new(TimelineEvent::Step(user, Arc::new(step)));
        WatchEncoder.encode(Watched::Event(event), &mut frames);
        insta::assert_snapshot!(String::from_utf8(frames).unwrap(), @r#"
        event: tool
        data: {"turn":"1","thread_id":"thr_1","step":0,"at":2,"milliseconds":3,"failed":false,"kind":"tool","tool":"hello","arguments":"{}","output":"hi"}
        "#);
    }
}

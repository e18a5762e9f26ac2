//! What a call of an MCP tool costs beside the server's own work, over loopback HTTP on a warm connection; what a server that
//! hangs costs a turn; and 200 calls of two users at one time, on one connection.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{Json, Router, http::HeaderMap, routing::post};
use criterion::{Criterion, criterion_group, criterion_main};
use futures::{StreamExt, stream};
use kitfox::{
    app::{App, Options},
    config::Environment,
    context::RequestContext,
    mcp::Caller,
    turn,
    user::User,
};
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_util::task::TaskTracker;

/// How often somebody connected.
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

/// A server of 2025-11-25 without sessions, with one tool that says at once who calls.
async fn answer(headers: HeaderMap, Json(request): Json<Value>) -> Json<Value> {
    let result = match request["method"].as_str() {
        Some("initialize") => {
            CONNECTIONS.fetch_add(1, Ordering::Relaxed);
            json!({
                "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
                "serverInfo": { "name": "bench", "version": "1" },
            })
        }
        Some("tools/list") => {
            json!({ "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] })
        }
        Some("tools/call") => {
            let user = headers.get("x-user").and_then(|it| it.to_str().ok()).unwrap_or("hi");
            json!({ "content": [{ "type": "text", "text": user }] })
        }
        _ => {
            let error = json!({ "code": -32601, "message": "no" });
            return Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }));
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
    TaskTracker::new()
        .spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    url
}

/// A project with one server at this URL.
async fn start(folder: &Path, url: &str, more: &str) -> App {
    fs::create_dir_all(folder.join("plugins")).expect("a folder");
    let file = format!("transport = \"http\"\nurl = \"{url}\"\napproval = \"never\"\n{more}\n");
    fs::write(folder.join("plugins/bench.mcp.toml"), file).expect("a file");
    let options = Options {
        project: folder.to_owned(),
        environment: Environment::default(),
        models: None,
        store: Some("sqlite::memory:".to_owned()),
        watch: false,
    };
    App::start(options).await.expect("it starts")
}

fn context(user: &str) -> Arc<RequestContext> {
    Arc::new(RequestContext::of_user(User::new("bench", "", user), &Map::new()))
}

async fn call(app: &App, request: Arc<RequestContext>) -> Value {
    let generation = app.generation();
    turn::call_tool(app, &generation, "bench__echo", json!({}), request).await.expect("it answers")
}

fn calls(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let url = runtime.block_on(serve(Router::new().route("/mcp", post(answer))));
    let app = runtime.block_on(start(folder.path(), &url, ""));
    let request = context("ada");
    criterion.bench_function("mcp/call", |bench| {
        bench.to_async(&runtime).iter(|| call(&app, request.clone()));
    });
    let client = reqwest::Client::new();
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": "echo", "arguments": {} },
    });
    criterion.bench_function("mcp/the same request by hand", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let response = client.post(&url).json(&body).send().await.expect("an answer");
            response.json::<Value>().await.expect("JSON")
        });
    });
    runtime.block_on(app.close());
}

/// One connection serves both users, and each is called as themselves.
fn users(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let url = runtime.block_on(serve(Router::new().route("/mcp", post(answer))));
    let header = "headers = { X-User = \"{{ user.id }}\" }";
    let app = runtime.block_on(start(folder.path(), &url, header));
    let users = ["ada", "bob"].map(|it| (it, context(it)));
    // Whoever comes first finds out that the server keeps no sessions.
    runtime.block_on(call(&app, users[0].1.clone()));
    CONNECTIONS.store(0, Ordering::Relaxed);
    criterion.bench_function("mcp/200 calls of two users", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let calls = (0..200).map(|index| {
                let (user, request) = &users[index % 2];
                let app = &app;
                async move { assert_eq!(call(app, request.clone()).await, Value::from(*user)) }
            });
            stream::iter(calls).buffer_unordered(50).collect::<Vec<_>>().await
        });
    });
    assert_eq!(CONNECTIONS.load(Ordering::Relaxed), 0, "they shared the connection that was there");
    runtime.block_on(app.close());
}

/// What a turn waits for the tools of a server that takes connections and says nothing.
fn hangs(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let silent = post(async || std::future::pending::<()>().await);
    let url = runtime.block_on(serve(Router::new().route("/mcp", silent)));
    let app = runtime.block_on(start(folder.path(), &url, ""));
    let request = context("ada");
    let offered = async || {
        let caller = Caller { request: &request, thread: None };
        app.generation().offered_to(caller).await
    };
    // The first turn after the start gives it a moment.
    runtime.block_on(offered());
    criterion.bench_function("mcp/offer beside a server that hangs", |bench| {
        bench.to_async(&runtime).iter(offered);
    });
    runtime.block_on(app.close());
}

criterion_group!(benches, calls, users, hangs);
criterion_main!(benches);

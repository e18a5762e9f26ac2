//! What a call of an MCP tool costs beside the server's own work, over loopback HTTP on a warm connection.

use std::sync::Arc;

use axum::{Json, Router, routing::post};
use criterion::{Criterion, criterion_group, criterion_main};
use kitfox::{
    app::{App, Options},
    config::Environment,
    context::RequestContext,
    turn,
    user::User,
};
use serde_json::{Map, Value, json};

/// A server of 2025-11-25 without sessions, with one tool that answers at once.
async fn answer(Json(request): Json<Value>) -> Json<Value> {
    let result = match request["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "bench", "version": "1" },
        }),
        Some("tools/list") => {
            json!({ "tools": [{ "name": "echo", "inputSchema": { "type": "object" } }] })
        }
        Some("tools/call") => json!({ "content": [{ "type": "text", "text": "hi" }] }),
        _ => {
            let error = json!({ "code": -32601, "message": "no" });
            return Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error }));
        }
    };
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
}

fn calls(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let url = runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let router = Router::new().route("/mcp", post(answer));
        let server = async move { axum::serve(listener, router).await.expect("it serves") };
        tokio_util::task::TaskTracker::new().spawn(server);
        url
    });
    std::fs::create_dir(folder.path().join("plugins")).expect("a folder");
    std::fs::write(
        folder.path().join("plugins/bench.mcp.toml"),
        format!("transport = \"http\"\nurl = \"{url}\"\napproval = \"never\"\n"),
    )
    .expect("a file");
    let app = runtime.block_on(async {
        let options = Options {
            project: folder.path().to_owned(),
            environment: Environment::default(),
            models: None,
            store: Some("sqlite::memory:".to_owned()),
            watch: false,
        };
        App::start(options).await.expect("it starts")
    });
    let request = Arc::new(RequestContext::of_user(User::new("bench", "", "ada"), &Map::new()));
    criterion.bench_function("mcp/call", |bench| {
        bench.to_async(&runtime).iter(|| async {
            let generation = app.generation();
            let request = request.clone();
            turn::call_tool(&app, &generation, "bench__echo", json!({}), request)
                .await
                .expect("it answers")
        });
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

criterion_group!(benches, calls);
criterion_main!(benches);

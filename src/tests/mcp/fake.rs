//! A server that is told what to answer, word for word.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

/// A server on loopback; it ends with its value.
pub struct Fake {
    pub url: String,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub headers: HeaderMap,
    pub body: Value,
}

type Answer = Arc<dyn Fn(Seen) -> BoxFuture<'static, Response> + Send + Sync>;

#[derive(Clone)]
struct Told {
    answer: Answer,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Fake {
    /// One that answers each request so.
    #[expect(clippy::disallowed_methods, reason = "the task ends with the test")]
    pub async fn start<F>(answer: impl Fn(Seen) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let answer: Answer = Arc::new(move |seen| Box::pin(answer(seen)));
        let told = Told { answer, seen: seen.clone() };
        let router = Router::new().fallback(respond).with_state(told);
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen, task }
    }

    /// One with these tools, whose calls are answered so.
    pub async fn with_tools<F>(
        tools: Value,
        call: impl Fn(Seen) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        Self::start(move |seen| {
            let usual = usual(&seen.body, &tools);
            let call = usual.is_none().then(|| call(seen));
            async move {
                match (usual, call) {
                    (Some(response), _) => response,
                    (None, Some(call)) => call.await,
                    (None, None) => StatusCode::ACCEPTED.into_response(),
                }
            }
        })
        .await
    }

    /// One with a tool `echo` that says the arguments.
    pub async fn echo() -> Self {
        Self::with_tools(json!([tool("echo")]), |seen| async move {
            text(&seen.body, &seen.body["params"]["arguments"].to_string())
        })
        .await
    }

    /// How often a method was asked.
    pub fn count(&self, method: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|it| it.body["method"] == method).count()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn respond(
    State(told): State<Told>,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let seen = Seen { method, headers, body };
    told.seen.lock().unwrap().push(seen.clone());
    if seen.method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    (told.answer)(seen).await
}

/// What a server of 2025-11-25 without sessions answers; None: it is a call.
pub fn usual(request: &Value, tools: &Value) -> Option<Response> {
    Some(match request["method"].as_str()? {
        "server/discover" => {
            let error = json!({ "code": -32601, "message": "Method not found" });
            Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })).into_response()
        }
        "initialize" => result(
            request,
            json!({
                "protocolVersion": "2025-11-25",
                "capabilities": { "tools": { "listChanged": true } },
                "serverInfo": { "name": "fake", "version": "1.0" },
            }),
        ),
        "tools/list" => result(request, json!({ "tools": tools })),
        "tools/call" => return None,
        _ => StatusCode::ACCEPTED.into_response(),
    })
}

#[expect(clippy::needless_pass_by_value, reason = "tests write it where they pass it")]
pub fn result(request: &Value, result: Value) -> Response {
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result })).into_response()
}

/// A result of one text.
pub fn text(request: &Value, text: &str) -> Response {
    result(request, json!({ "content": [{ "type": "text", "text": text }] }))
}

pub fn tool(name: &str) -> Value {
    json!({ "name": name, "description": format!("The tool {name}."), "inputSchema": {
        "type": "object", "properties": { "text": { "type": "string" } },
    } })
}

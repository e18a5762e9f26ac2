//! Servers that ask the user something in the middle of a call, in both eras.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json,
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, InputRequests,
        InputRequiredResult, ListToolsResult, PaginatedRequestParams, ServerCapabilities,
        ServerConfig, Tool,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

use crate::tests::mcp::fake::{Fake, tool, usual};

/// One whose tool `ask` asks this, and says what came back.
pub struct Asker {
    pub url: String,
    _server: Running,
}

enum Running {
    Legacy { _fake: Fake },
    Modern(JoinHandle<()>),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Modern(task) = self {
            task.abort();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    Legacy,
    Modern,
}

impl Asker {
    pub async fn start(era: Era, params: Value) -> Self {
        match era {
            Era::Legacy => {
                let fake = legacy(vec![params]).await;
                Self { url: fake.url.clone(), _server: Running::Legacy { _fake: fake } }
            }
            Era::Modern => {
                let (url, task) = modern(vec![params]).await;
                Self { url, _server: Running::Modern(task) }
            }
        }
    }
}

type Replies = Arc<Mutex<HashMap<String, oneshot::Sender<(Value, Option<String>)>>>>;

/// A server of 2025-11-25 that asks these one after the other on the stream of the call's answer. It knows its questions by
/// their numbers and by who called, whose name it says with the replies.
pub async fn legacy(questions: Vec<Value>) -> Fake {
    let replies = Replies::default();
    let questions = Arc::new(questions);
    Fake::start(move |seen| {
        let (replies, questions) = (replies.clone(), questions.clone());
        async move {
            let user = seen.headers.get("x-user").map(|it| it.to_str().unwrap().to_owned());
            if seen.body["method"].is_null() {
                let key = seen.body["id"].to_string();
                let reply = seen.body.get("result").or_else(|| seen.body.get("error"));
                let waiting = replies.lock().unwrap().remove(&key);
                if let Some(waiting) = waiting {
                    let _ = waiting.send((reply.unwrap().clone(), user));
                }
                return StatusCode::ACCEPTED.into_response();
            }
            if let Some(response) = usual(&seen.body, &json!([tool("ask")])) {
                return response;
            }
            let id = seen.body["id"].clone();
            let stream = async_stream::stream! {
                let mut said = Vec::new();
                for (index, params) in questions.iter().enumerate() {
                    let number = json!(format!("{}-{id}-{index}", user.as_deref().unwrap_or("q")));
                    let (sender, reply) = oneshot::channel();
                    replies.lock().unwrap().insert(number.to_string(), sender);
                    let ask = json!({ "jsonrpc": "2.0", "id": number, "method": "elicitation/create", "params": params });
                    yield Ok::<_, std::io::Error>(format!("data: {ask}\n\n"));
                    let Ok((reply, by)) = reply.await else { return };
                    said.push(match by {
                        Some(by) => format!("{by}: {reply}"),
                        None => reply.to_string(),
                    });
                }
                let content = json!([{ "type": "text", "text": said.join("\n") }]);
                let answer = json!({ "jsonrpc": "2.0", "id": id, "result": { "content": content } });
                yield Ok(format!("data: {answer}\n\n"));
            };
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(Body::from_stream(stream))
                .unwrap()
        }
    })
    .await
}

/// The library's server, of 2026-07-28, that asks these in one round each.
#[expect(clippy::disallowed_methods, reason = "the task ends with the test")]
pub async fn modern(rounds: Vec<Value>) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let handler = Rounds(Arc::new(rounds));
    let service = StreamableHttpService::new(
        move || Ok(handler.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let router = axum::Router::new().nest_service("/mcp", service);
    let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, task)
}

#[derive(Clone)]
struct Rounds(Arc<Vec<Value>>);

impl ServerHandler for Rounds {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let schema = json!({ "type": "object" }).as_object().unwrap().clone();
        Ok(ListToolsResult::with_all_items(vec![Tool::new("ask", "Asks.", schema)]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let state = request.request_state.unwrap_or_default();
        let mut said: Vec<String> = state.lines().map(str::to_owned).collect();
        for (_, response) in request.input_responses.unwrap_or_default() {
            said.push(response.to_string());
        }
        let Some(questions) = self.0.get(said.len()) else {
            return Ok(CallToolResult::success(vec![ContentBlock::text(said.join("\n"))]).into());
        };
        let ask = json!({ "method": "elicitation/create", "params": questions });
        let requests: InputRequests = serde_json::from_value(json!({ "question": ask })).unwrap();
        Ok(InputRequiredResult::new(Some(requests), Some(said.join("\n"))).into())
    }
}

/// An answer of the protocol's that is an error.
pub fn error(request: &Value, code: i64, data: &Value) -> Response {
    let error = json!({ "code": code, "message": "no", "data": data });
    Json(json!({ "jsonrpc": "2.0", "id": request["id"], "error": error })).into_response()
}

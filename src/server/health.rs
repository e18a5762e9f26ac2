use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::json;

use crate::{app::App, mcp::Word};

use super::Server;

/// A store that does not answer within this is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// A part of what serves chats.
#[derive(Debug, Serialize)]
struct Component {
    name: &'static str,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Chats are served, and something is missing in them.
    Degraded,
    /// No chat is served.
    Down,
}

impl Component {
    /// One without which nothing works.
    fn needed(name: &'static str, result: Result<(), String>) -> Self {
        match result {
            Ok(()) => Self { name, status: Status::Ok, reason: None },
            Err(reason) => Self { name, status: Status::Down, reason: Some(reason) },
        }
    }

    fn useful(name: &'static str, problem: Option<String>) -> Self {
        match problem {
            None => Self { name, status: Status::Ok, reason: None },
            Some(_) => Self { name, status: Status::Degraded, reason: problem },
        }
    }
}

/// `GET /healthz`: the process lives.
pub async fn live() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /readyz`: whether it can serve chats, and what of it is how. Files that fail to load do not keep it from that,
/// nor do MCP servers that are away.
pub async fn ready(State(server): State<Server>) -> Response {
    let app = &server.app;
    let stopping = app.stopping.is_cancelled().then(|| "the server is stopping".to_owned());
    answer(&[
        Component::needed("server", stopping.map_or(Ok(()), Err)),
        Component::needed("store", store(app).await),
        Component::needed("attachments", attachments(app).await),
        Component::useful("files", files(app)),
        Component::useful("models", models(app)),
        Component::useful("mcp", servers(app)),
    ])
}

/// Why the store cannot be used, if so.
pub async fn store(app: &App) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, app.store.check()).await {
        Ok(result) => result.map_err(|err| err.to_string()),
        Err(_) => Err("the store does not answer".to_owned()),
    }
}

/// The same of where attachments are kept.
pub async fn attachments(app: &App) -> Result<(), String> {
    match tokio::time::timeout(PATIENCE, app.store.blobs().check()).await {
        Ok(result) => result,
        Err(_) => Err("the place of attachments does not answer".to_owned()),
    }
}

/// Which, and why, is for operators: `/api/generation`.
fn files(app: &App) -> Option<String> {
    match app.generation().errors.len() {
        0 => None,
        1 => Some("1 error keeps a file from being in force".to_owned()),
        count => Some(format!("{count} errors keep files from being in force")),
    }
}

fn models(app: &App) -> Option<String> {
    let chosen = app.generation().models.choose(None);
    chosen.is_err().then(|| "no model is configured".to_owned())
}

fn servers(app: &App) -> Option<String> {
    let statuses = app.generation().mcp.statuses();
    let failed = statuses.iter().filter(|it| it.state == Word::Failed).count();
    (failed > 0).then(|| format!("{failed} of {} MCP servers cannot be reached", statuses.len()))
}

fn answer(components: &[Component]) -> Response {
    let down = components.iter().filter(|it| it.status == Status::Down);
    let reasons: Vec<_> = down.filter_map(|it| it.reason.as_ref()).collect();
    if reasons.is_empty() {
        return Json(json!({ "status": "ready", "components": components })).into_response();
    }
    let body = json!({ "status": "unready", "reasons": reasons, "components": components });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn shown(components: &[Component]) -> String {
        let response = answer(components);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        format!("{status} {}", String::from_utf8_lossy(&body))
    }

    #[tokio::test]
    async fn a_server_is_ready_while_nothing_that_it_needs_is_away() {
        let mcp = || Component::useful("mcp", Some("1 of 2 MCP servers is away".to_owned()));
        let up = [Component::needed("store", Ok(())), mcp()];
        insta::assert_snapshot!(shown(&up).await, @r#"200 {"status":"ready","components":[{"name":"store","status":"ok"},{"name":"mcp","status":"degraded","reason":"1 of 2 MCP servers is away"}]}"#);
        let away = Err("the store is not available".to_owned());
        let down = [Component::needed("store", away), mcp()];
        insta::assert_snapshot!(shown(&down).await, @r#"503 {"status":"unready","reasons":["the store is not available"],"components":[{"name":"store","status":"down","reason":"the store is not available"},{"name":"mcp","status":"degraded","reason":"1 of 2 MCP servers is away"}]}"#);
    }
}

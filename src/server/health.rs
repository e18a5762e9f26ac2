use std::time::Duration;

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::Server;

/// A store that does not answer within this is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// `GET /healthz`: the process lives.
pub async fn live() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /readyz`: whether it can serve chats. Files that fail to load do not keep it from that.
pub async fn ready(State(server): State<Server>) -> Response {
    let mut reasons = Vec::new();
    if server.app.stopping.is_cancelled() {
        reasons.push("the server is stopping".to_owned());
    }
    match tokio::time::timeout(PATIENCE, server.app.store.check()).await {
        Ok(Ok(())) => (),
        Ok(Err(err)) => reasons.push(err.to_string()),
        Err(_) => reasons.push("the store does not answer".to_owned()),
    }
    match tokio::time::timeout(PATIENCE, server.app.store.blobs().check()).await {
        Ok(Ok(())) => (),
        Ok(Err(reason)) => reasons.push(reason),
        Err(_) => reasons.push("the place of attachments does not answer".to_owned()),
    }
    answer(&reasons)
}

fn answer(reasons: &[String]) -> Response {
    if reasons.is_empty() {
        return Json(json!({ "status": "ready" })).into_response();
    }
    let body = json!({ "status": "unready", "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_while_nothing_speaks_against_it() {
        assert_eq!(answer(&[]).status(), StatusCode::OK);
        let away = ["the store is not available".to_owned()];
        assert_eq!(answer(&away).status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

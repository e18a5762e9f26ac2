//! `/mcp`: plugin tools for other MCP clients, without sessions, in all revisions of the protocol.

mod content;
pub mod metadata;
mod tools;

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, HOST},
    },
    response::{IntoResponse, Response},
};
use http_body_util::Full;
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
};
use serde_json::{Value, json};

use self::tools::Tools;

use super::{
    Server,
    auth::{self, NewSession},
    body, chatkit, context,
    error::ApiError,
    limits,
};

/// JSON-RPC's codes for what is no JSON, and for JSON that is no request.
const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;

/// `POST /mcp`
pub async fn answer(State(server): State<Server>, request: Request) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    body::require_json(&parts.headers).map_err(ApiError::closing)?;
    let caller = match auth::authenticate(&server, &parts.headers, NewSession::Never).await {
        Ok(caller) => caller,
        Err(err) => {
            let mut response = err.closing().into_response();
            metadata::point_to(&server.app.generation().config, &mut response);
            return Ok(response);
        }
    };
    limits::admit_user(&server, &caller.user).await.map_err(ApiError::closing)?;
    let context = Arc::new(context::gather(&server, &parts.headers, Some(&caller), &[]));
    let generation = server.app.generation().seen_by(Some(&caller.user));
    let limit = generation.config.limits.body_bytes;
    let body = body::read(&parts.headers, body, limit).await?;
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_max_request_body_bytes(limit)
        // The guard has looked at host and origin, by the configuration in force.
        .disable_allowed_hosts();
    let tools = Tools { app: server.app, generation, context };
    let sessions = Arc::new(NeverSessionManager::default());
    let service = StreamableHttpService::new(move || Ok(tools.clone()), sessions, config);
    parts.headers = headers_of_mcp(&parts.headers);
    let response = service.handle(Request::from_parts(parts, Full::new(body.clone()))).await;
    // What the body says of itself was looked at above: this is about what it holds.
    if response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return Ok(no_request(&body));
    }
    Ok(chatkit::for_caller(response.map(Body::new), None))
}

/// The headers that the protocol reads. It is clear by now who calls: credentials go no further.
fn headers_of_mcp(headers: &HeaderMap) -> HeaderMap {
    let is_of_mcp = |name: &HeaderName| {
        [ACCEPT, CONTENT_TYPE, HOST].contains(name) || name.as_str().starts_with("mcp-")
    };
    let own = headers.iter().filter(|(name, _)| is_of_mcp(name));
    own.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The answer to a body that is no request of JSON-RPC.
fn no_request(body: &[u8]) -> Response {
    let (id, code, message) = match serde_json::from_slice::<Value>(body) {
        Ok(value) => {
            let message = "the body is no request of JSON-RPC 2.0: one object with `jsonrpc`, `id` and `method`";
            let id = value.get("id").filter(|it| it.is_string() || it.is_number());
            (id.cloned(), INVALID_REQUEST, message.to_owned())
        }
        Err(err) => (None, PARSE_ERROR, format!("the body is not JSON: {err}")),
    };
    let error = json!({ "code": code, "message": message });
    let answer = json!({ "jsonrpc": "2.0", "id": id, "error": error });
    (StatusCode::BAD_REQUEST, Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header::AUTHORIZATION};

    use super::*;

    #[test]
    fn credentials_go_no_further() {
        let all = [
            (ACCEPT, "application/json"),
            (AUTHORIZATION, "Bearer secret"),
            (HeaderName::from_static("cookie"), "kitfox_session=secret"),
            (HeaderName::from_static("x-session-id"), "secret"),
            (HeaderName::from_static("mcp-method"), "tools/call"),
        ];
        let headers =
            all.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        let kept = headers_of_mcp(&headers);
        let mut names: Vec<_> = kept.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "mcp-method"]);
    }
}

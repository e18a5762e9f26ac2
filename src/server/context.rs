use axum::http::HeaderMap;
use serde_json::{Map, Value};

use crate::context::{ContextSources, RequestContext};

use super::{Server, auth::Caller};

/// What the request brings beside its operation: its headers, and what the client sent as `metadata`.
pub fn gather(
    server: &Server,
    headers: &HeaderMap,
    caller: Option<&Caller>,
    metadata: &[Map<String, Value>],
) -> RequestContext {
    let config = server.app.generation().config.clone();
    RequestContext::gather(ContextSources {
        user: caller.map(|it| it.user.clone()),
        session_id: caller.and_then(|it| it.session_id.clone()),
        header: &|name| std::str::from_utf8(headers.get(name)?.as_bytes()).ok(),
        visible_headers: &config.server.visible_headers,
        metadata: &metadata.iter().collect::<Vec<_>>(),
    })
}

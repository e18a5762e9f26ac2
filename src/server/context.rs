use axum::http::HeaderMap;
use serde_json::{Map, Value};

use crate::context::{ContextSources, RequestContext};

use super::{
    Server, address,
    auth::{ACCESS_TOKEN, Caller},
};

/// What the request brings beside its operation: its headers, and what the client sent as `metadata`.
pub fn gather(
    server: &Server,
    headers: &HeaderMap,
    caller: Option<&Caller>,
    metadata: &[Map<String, Value>],
) -> RequestContext {
    let generation = server.app.generation();
    let secret_names = generation.host.credentials.secret_names();
    let token = caller.and_then(|it| it.access_token.clone());
    // Unless the operator says so, it stays here.
    let token = token.filter(|_| secret_names.fields.iter().any(|it| it == ACCESS_TOKEN));
    let login_secrets = token.map(|it| (ACCESS_TOKEN.to_owned(), it)).into_iter().collect();
    let context = RequestContext::gather(ContextSources {
        user: caller.map(|it| it.user.clone()),
        session_id: caller.and_then(|it| it.session_id.clone()),
        header: &|name| std::str::from_utf8(headers.get(name)?.as_bytes()).ok(),
        visible_headers: &generation.config.server.visible_headers,
        secret_names,
        login_secrets,
        metadata: &metadata.iter().collect::<Vec<_>>(),
    });
    RequestContext { address: address::current(), ..context }
}

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};
use tracing::warn;

use crate::{
    app::{App, Generation},
    chatkit::ThreadId,
    config::document::one_line,
    context::RequestContext,
    ops::OpError,
    plugin::{CallError, HandlerId, Plugin},
    store::StoreError,
    turn,
};

/// A request to a plugin's route.
pub struct RouteRequest {
    /// Upper case.
    pub method: String,
    /// As the plugin wrote it, beginning with `/`.
    pub path: String,
    /// `method`, `path`, `query`, `headers`, `body`, `json` as the handler sees them; `params` is added.
    pub request: Value,
}

/// What a plugin's route answered with.
pub struct RouteResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: RouteBody,
}

pub enum RouteBody {
    Json(Value),
    Text(String),
}

/// Whether the route that `plugin` has for this is public. [`OpError::NotFound`] where it has none.
pub fn find_route(app: &App, plugin: &str, method: &str, path: &str) -> Result<bool, OpError> {
    let generation = app.generation();
    Ok(find(&generation, plugin, method, path)?.public)
}

/// Runs a plugin's route, in the thread that it names, if it names one.
pub async fn call_route(
    app: &App,
    plugin: &str,
    route_request: RouteRequest,
    context: Arc<RequestContext>,
    thread: Option<ThreadId>,
) -> Result<RouteResponse, OpError> {
    let RouteRequest { method, path, mut request } = route_request;
    let generation = app.generation().seen_by(context.user.as_ref());
    let route = find(&generation, plugin, &method, &path)?;
    // It was public in the generation that let a stranger in, and is no more.
    if context.user.is_none() && !route.public {
        return Err(OpError::NotFound("route"));
    }
    let thread_id = route.params.get("thread_id").map(|id| ThreadId::from(id.as_str())).or(thread);
    let thread = match (thread_id, &context.user) {
        (None, _) => None,
        (Some(id), Some(user)) => match app.store.of(&user.key).load_thread(&id).await {
            Ok(thread) => Some(thread),
            Err(StoreError::NotFound) => return Err(OpError::NotFound("thread")),
            Err(err) => return Err(err.into()),
        },
        (Some(_), None) => return Err(OpError::NotFound("thread")),
    };
    let params = route.params.into_iter().map(|(name, value)| (name, Value::String(value)));
    if let Value::Object(request) = &mut request {
        request.insert("params".to_owned(), Value::Object(params.collect()));
    }
    let call =
        turn::call_handler(app, &generation, route.plugin, route.handler, request, context, thread);
    match call.await {
        Ok(answer) => response(plugin, answer),
        Err(CallError::User { message, .. }) => Err(OpError::BadRequest(message)),
        Err(CallError::Cancelled) => Err(OpError::Unavailable("the server is stopping".to_owned())),
        Err(err @ (CallError::Thrown(_) | CallError::Limit(_) | CallError::Ended)) => {
            let err = one_line(&err.to_string());
            warn!(%plugin, "a route of plugin `{plugin}` failed: {err}");
            Ok(RouteResponse {
                status: 500,
                headers: Vec::new(),
                body: RouteBody::Json(serde_json::json!({ "message": "the plugin failed" })),
            })
        }
    }
}

struct Route {
    plugin: Arc<dyn Plugin>,
    handler: HandlerId,
    public: bool,
    params: BTreeMap<String, String>,
}

/// The route for this, the one with the fewest parameters where several match.
fn find(generation: &Generation, plugin: &str, method: &str, path: &str) -> Result<Route, OpError> {
    let not_found = || OpError::NotFound("route");
    let plugin = generation
        .plugins
        .get(plugin)
        .filter(|plugin| plugin.manifest().approved)
        .ok_or_else(not_found)?;
    plugin
        .registration()
        .routes
        .iter()
        .filter(|(route, _)| route.method == method)
        .filter_map(|(route, handler)| {
            let params = match_path(&route.path, path)?;
            Some(Route { plugin: plugin.clone(), handler: *handler, public: route.public, params })
        })
        .min_by_key(|route| route.params.len())
        .ok_or_else(not_found)
}

/// The parameters of `path` by `pattern`, where it matches. A parameter is one segment, not empty.
fn match_path(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let mut params = BTreeMap::new();
    let mut segments = path.trim_end_matches('/').split('/');
    for part in pattern.trim_end_matches('/').split('/') {
        let segment = segments.next()?;
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(_) if segment.is_empty() => return None,
            Some(name) => {
                let value = percent_encoding::percent_decode_str(segment).decode_utf8().ok()?;
                params.insert(name.to_owned(), value.into_owned());
            }
            None if part == segment => (),
            None => return None,
        }
    }
    segments.next().is_none().then_some(params)
}

/// A map of none but `status`, `headers` and `body` is a response; all else is a body.
fn response(plugin: &str, answer: Value) -> Result<RouteResponse, OpError> {
    let map = match answer {
        Value::Object(map) if is_response(&map) => map,
        Value::String(text) => return Ok(ok(RouteBody::Text(text))),
        other => return Ok(ok(RouteBody::Json(other))),
    };
    let invalid = |what: &str| {
        warn!(%plugin, "a route of plugin `{plugin}` answered with a bad {what}");
        OpError::Failed(anyhow::anyhow!("bad {what} from a plugin's route"))
    };
    let status = map.get("status").and_then(Value::as_u64).unwrap_or(200);
    let status = u16::try_from(status).ok().filter(|it| (200..600).contains(it));
    let mut headers = Vec::new();
    if let Some(Value::Object(given)) = map.get("headers") {
        for (name, value) in given {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            headers.push((name.clone(), value));
        }
    }
    Ok(RouteResponse {
        status: status.ok_or_else(|| invalid("status"))?,
        headers,
        body: match map.get("body") {
            None | Some(Value::Null) => RouteBody::Text(String::new()),
            Some(Value::String(text)) => RouteBody::Text(text.clone()),
            Some(other) => RouteBody::Json(other.clone()),
        },
    })
}

fn is_response(map: &Map<String, Value>) -> bool {
    map.get("status").is_some_and(Value::is_u64)
        && map.keys().all(|key| ["status", "headers", "body"].contains(&key.as_str()))
}

fn ok(body: RouteBody) -> RouteResponse {
    RouteResponse { status: 200, headers: Vec::new(), body }
}

#[cfg(test)]
mod tests {
    use super::match_path;

    #[track_caller]
    fn check(pattern: &str, path: &str, expected: Option<&[(&str, &str)]>) {
        let found = match_path(pattern, path);
        let expected = expected.map(|pairs| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        });
        assert_eq!(found, expected, "{pattern} {path}");
    }

    #[test]
    fn a_parameter_is_one_decoded_segment() {
        check("/cats", "/cats", Some(&[]));
        check("/cats", "/cats/", Some(&[]));
        check("/cats/{id}", "/cats/a%20b", Some(&[("id", "a b")]));
        check("/cats/{id}", "/cats/", None);
        check("/cats/{id}", "/cats/1/2", None);
        check("/cats/{id}/toys", "/cats/1", None);
        check("/", "/", Some(&[]));
    }
}

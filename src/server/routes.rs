//! Routes of plugins: `/x/PLUGIN/path`, and the paths that kitfox.toml mounts.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::Request,
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tracing::warn;

use crate::{
    chatkit::ThreadId,
    ops::{self, RouteBody, RouteRequest, RouteResponse},
};

use super::{
    Server,
    auth::{self, NewSession},
    body, chatkit, context,
    error::ApiError,
    limits,
};

/// Credentials for this server are no business of plugins.
const HIDDEN_FROM_PLUGINS: &[&str] =
    &["cookie", "authorization", "proxy-authorization", "x-session-id"];

/// What is not a plugin's to say: it shares this origin with the chat, and the connection with everyone.
const NOT_FROM_PLUGINS: &[&str] = &[
    "set-cookie",
    "set-cookie2",
    "clear-site-data",
    "service-worker-allowed",
    "alt-svc",
    "strict-transport-security",
    "content-security-policy",
    "content-security-policy-report-only",
    "x-content-type-options",
    "content-encoding",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Where a request to a plugin goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    pub plugin: String,
    /// As it was sent, beginning with `/`.
    pub path: String,
}

/// The target of `/x/PLUGIN/path`: the route is what follows the name.
pub fn below_x(path: &str) -> Result<Target, ApiError> {
    let rest = path.strip_prefix("/x/").unwrap_or_default();
    let (plugin, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    if plugin.is_empty() {
        return Err(ApiError::no_such_path());
    }
    Ok(Target { plugin: decode(plugin)?, path: path.to_owned() })
}

/// The target of a path that is mounted, which is the whole path. The longest mount wins.
pub fn mounted(mounts: &BTreeMap<String, String>, path: &str) -> Option<Target> {
    let (_, plugin) = mounts
        .iter()
        .filter(|(mount, _)| is_below(path, mount.trim_end_matches('/')))
        .max_by_key(|(mount, _)| mount.len())?;
    Some(Target { plugin: plugin.clone(), path: path.to_owned() })
}

/// Whether `path` is `prefix`, or further down.
pub fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the plugin answers with.
pub async fn answer(
    server: &Server,
    target: Target,
    request: Request,
) -> Result<Response, ApiError> {
    let Target { plugin, path } = target;
    let (parts, body) = request.into_parts();
    // HEAD is GET without the body, which the connection leaves out.
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method };
    let public = ops::find_route(&server.app, &plugin, method.as_str(), &path)?;
    let new_session = if method == Method::GET { NewSession::Never } else { NewSession::Make };
    let caller = if public {
        None
    } else {
        Some(auth::authenticate(server, &parts.headers, new_session).await?)
    };
    if let Some(caller) = &caller {
        limits::admit_user(server, &caller.user).await?;
    }
    let context = context::gather(server, &parts.headers, caller.as_ref(), &[]);
    let limit = server.app.generation().config.limits.body_bytes;
    let body = body::read(&parts.headers, body, limit).await?;
    let body = std::str::from_utf8(&body)
        .map_err(|_| ApiError::unsupported("the body must be UTF-8 text"))?;
    let query = query(&parts.uri);
    let thread = query.get("thread_id").and_then(Value::as_str).map(ThreadId::from);
    let mut headers = parts.headers.clone();
    for name in &server.app.generation().host.credentials.secret_names().headers {
        // Of a public route the authorization is its own.
        if !(public && name == AUTHORIZATION.as_str()) {
            headers.remove(name.as_str());
        }
    }
    let fields = [
        ("method", method.as_str().into()),
        ("path", decode(&path)?.into()),
        ("query", query.into()),
        ("headers", visible_headers(&headers, public).into()),
        ("body", body.into()),
        ("json", serde_json::from_str(body).unwrap_or(Value::Null)),
    ];
    let request = fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    let request = RouteRequest { method: method.as_str().to_owned(), path, request };
    let response =
        ops::call_route(&server.app, &plugin, request, Arc::new(context), thread).await?;
    let response = convert(&plugin, response)?;
    Ok(chatkit::for_caller(response, caller.and_then(|it| it.set_cookie)))
}

fn decode(text: &str) -> Result<String, ApiError> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| ApiError::bad_request("the path is not UTF-8"))
}

/// The last of several values counts.
fn query(uri: &Uri) -> Map<String, Value> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}

/// The headers as a handler sees them: by lower-case name, without the credentials for this server. A
/// public route has none to hide but a browser's cookies, and checks its caller's authorization itself.
fn visible_headers(headers: &HeaderMap, public: bool) -> Map<String, Value> {
    let mut visible = Map::new();
    for name in headers.keys() {
        if HIDDEN_FROM_PLUGINS.contains(&name.as_str()) && !(public && name == AUTHORIZATION) {
            continue;
        }
        let values: Vec<_> =
            headers.get_all(name).iter().map(|it| String::from_utf8_lossy(it.as_bytes())).collect();
        visible.insert(name.as_str().to_owned(), values.join(", ").into());
    }
    visible
}

fn convert(plugin: &str, answer: RouteResponse) -> Result<Response, ApiError> {
    let RouteResponse { status, headers, body } = answer;
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|it| (200..600).contains(&it.as_u16()))
        .ok_or_else(|| {
        ApiError::failed(format_args!(
            "a route of plugin `{plugin}` answered with status {status}: it must be 200 to 599"
        ))
    })?;
    let mut response = match body {
        RouteBody::Json(value) => Json(value).into_response(),
        RouteBody::Text(text) => text.into_response(),
    };
    *response.status_mut() = status;
    for (name, value) in headers {
        match (HeaderName::try_from(&name), HeaderValue::try_from(&value)) {
            (Ok(name), Ok(value)) if is_allowed(&name) => {
                response.headers_mut().insert(name, value);
            }
            (Ok(_), Ok(_)) => (),
            (Err(_), _) | (_, Err(_)) => {
                warn!(%plugin, "a route of plugin `{plugin}` sets a header that cannot be sent");
            }
        }
    }
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !is_inert(headers) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    Ok(response)
}

fn is_allowed(name: &HeaderName) -> bool {
    let name = name.as_str();
    !NOT_FROM_PLUGINS.contains(&name) && !name.starts_with("access-control-")
}

/// What no browser runs as a page of this origin.
fn is_inert(headers: &HeaderMap) -> bool {
    let inert = ["application/json", "text/plain"];
    body::content_type(headers).is_some_and(|it| inert.iter().any(|x| it.eq_ignore_ascii_case(x)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(plugin: &str, path: &str) -> Target {
        Target { plugin: plugin.to_owned(), path: path.to_owned() }
    }

    #[test]
    fn a_plugin_answers_below_its_name() {
        assert_eq!(below_x("/x/cats/a/b").unwrap(), target("cats", "/a/b"));
        assert_eq!(below_x("/x/cats/").unwrap(), target("cats", "/"));
        assert_eq!(below_x("/x/cats").unwrap(), target("cats", "/"));
        assert_eq!(below_x("/x/cats/caf%C3%A9%20x").unwrap(), target("cats", "/caf%C3%A9%20x"));
        assert!(below_x("/x//a").is_err());
        assert_eq!(below_x("/x/c%61ts/a").unwrap(), target("cats", "/a"));
        assert!(below_x("/x/%ff/a").is_err());
    }

    #[test]
    fn a_mount_serves_its_path_and_all_below_it() {
        let mounts = BTreeMap::from([
            ("/cats".to_owned(), "cat-lounge".to_owned()),
            ("/cats/big/".to_owned(), "lions".to_owned()),
        ]);
        let find = |path| mounted(&mounts, path);
        assert_eq!(find("/cats"), Some(target("cat-lounge", "/cats")));
        assert_eq!(find("/cats/1"), Some(target("cat-lounge", "/cats/1")));
        assert_eq!(find("/cats/big/1"), Some(target("lions", "/cats/big/1")));
        assert_eq!(find("/catsup"), None);
        assert_eq!(find("/"), None);
        let everything = BTreeMap::from([("/".to_owned(), "site".to_owned())]);
        assert_eq!(mounted(&everything, "/a"), Some(target("site", "/a")));
    }

    #[test]
    fn the_last_value_of_a_query_counts() {
        let query = query(&Uri::from_static("/x/cats?a=1&b=x%20y&a=2"));
        assert_eq!(Value::Object(query), json!({ "a": "2", "b": "x y" }));
    }

    #[test]
    fn a_plugin_sees_no_credentials_for_this_server() {
        let mut headers = HeaderMap::new();
        for name in ["cookie", "authorization", "x-session-id", "x-hub-signature", "accept"] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("a"));
        }
        headers.append("accept", HeaderValue::from_static("b"));
        let seen = visible_headers(&headers, false);
        assert_eq!(Value::Object(seen), json!({ "x-hub-signature": "a", "accept": "a, b" }));
        let seen = visible_headers(&headers, true);
        assert!(seen.contains_key("authorization") && !seen.contains_key("cookie"));
    }

    fn converted(status: u16, headers: &[(&str, &str)], body: RouteBody) -> String {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let response = convert("cats", RouteResponse { status, headers, body }).unwrap();
        let mut lines: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        format!("{}\n{}", response.status().as_u16(), lines.join("\n"))
    }

    #[test]
    fn json_and_text_are_answered_as_what_they_are() {
        insta::assert_snapshot!(converted(200, &[], RouteBody::Json(json!({}))), @r"
        200
        cache-control: no-store
        content-type: application/json
        x-content-type-options: nosniff
        ");
        insta::assert_snapshot!(converted(404, &[("X-Cat", "1"), ("Cache-Control", "max-age=9")], RouteBody::Text("no".to_owned())), @r"
        404
        cache-control: max-age=9
        content-type: text/plain; charset=utf-8
        x-cat: 1
        x-content-type-options: nosniff
        ");
    }

    #[test]
    fn a_page_of_a_plugin_is_kept_apart_from_the_chat() {
        let headers = [
            ("Content-Type", "text/html"),
            ("Set-Cookie", "kitfox_session=stolen"),
            ("Content-Security-Policy", "default-src *"),
            ("Access-Control-Allow-Origin", "*"),
            ("Transfer-Encoding", "chunked"),
            ("X Bad", "1"),
            ("X-Split", "a\r\nset-cookie: x"),
        ];
        insta::assert_snapshot!(converted(200, &headers, RouteBody::Text("<p>".to_owned())), @r"
        200
        cache-control: no-store
        content-security-policy: sandbox
        content-type: text/html
        x-content-type-options: nosniff
        ");
    }

    #[test]
    fn a_status_that_is_no_answer_is_a_fault() {
        let response = |status| RouteResponse {
            status,
            headers: Vec::new(),
            body: RouteBody::Text(String::new()),
        };
        for status in [0, 101, 600] {
            let err = convert("cats", response(status)).unwrap_err();
            assert_eq!(err.status, StatusCode::INTERNAL_SERVER_ERROR, "{status}");
        }
    }
}

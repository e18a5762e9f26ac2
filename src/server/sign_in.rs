//! `/auth`: the way to the identity provider, the way back, and out again.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT, CACHE_CONTROL, LOCATION, REFERRER_POLICY, SET_COOKIE},
    },
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;
use tracing::warn;
use url::Url;

use crate::oauth::Callback;

use super::{
    Server,
    auth::{Provider, Refusal},
    error::ApiError,
    html::{escape, page},
};

/// Of a path, in bytes.
const LONGEST_PATH: usize = 2048;

#[derive(Deserialize)]
pub struct Begin {
    /// Where to go on afterwards: a path of this server. Default: the page.
    next: Option<String>,
}

/// `GET /auth/login`
pub async fn begin(
    State(server): State<Server>,
    Query(query): Query<Begin>,
) -> Result<Response, ApiError> {
    let provider = provider(&server)?;
    let public_url = server.app.generation().config.server.public_url.clone();
    let next = match query.next {
        Some(next) => own_path(&next, &public_url).ok_or_else(|| {
            ApiError::bad_request("`next` is not a path of this server, such as `/`")
        })?,
        None => page_path(&public_url),
    };
    match provider.begin(&server, next).await {
        Ok(leaving) => Ok(redirect(leaving.url.as_str(), [leaving.cookie])),
        Err(refusal) => refuse(refusal, &public_url),
    }
}

/// `GET /auth/callback`: where the identity provider sends the browser back to.
pub async fn callback(
    State(server): State<Server>,
    Query(callback): Query<Callback>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let provider = provider(&server)?;
    match provider.finish(&server, &headers, &callback).await {
        Ok(arrived) => Ok(redirect(&arrived.next, arrived.cookies)),
        Err(refusal) => refuse(refusal, &server.app.generation().config.server.public_url),
    }
}

/// `POST /auth/logout`: a script is told where to send its browser, a form is sent there.
pub async fn end(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    let provider = provider(&server)?;
    // The guard lets the pages through that the operator lists for the chat; whoever else has a browser post here, has
    // not asked its user.
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site == Some(b"cross-site") {
        return Err(ApiError::forbidden("users log out on this server's own page only"));
    }
    let public_url = server.app.generation().config.server.public_url.clone();
    let (cookie, end) = provider.end(&server, &headers).await?;
    let next = end.map_or_else(|| page_path(&public_url), String::from);
    let accept = headers.get(ACCEPT).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return Ok(redirect(&next, [cookie]));
    }
    let mut response = Json(json!({ "location": next })).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

fn provider(server: &Server) -> Result<Arc<Provider>, ApiError> {
    server.providers.of(&server.app.generation()).ok_or_else(ApiError::no_such_path)
}

fn redirect(to: &str, cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    match HeaderValue::try_from(to) {
        Ok(location) => headers.insert(LOCATION, location),
        Err(err) => return ApiError::failed(err).into_response(),
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

/// Nothing of what came with the request is shown.
fn refuse(refusal: Refusal, public_url: &Url) -> Result<Response, ApiError> {
    let problem = match refusal {
        Refusal::Login(problem) => problem,
        Refusal::Api(err) => return Err(err),
    };
    warn!(target: "security", "a login was refused: {problem}");
    let again = format!("{}/auth/login", page_path(public_url).trim_end_matches('/'));
    let body = format!(
        "<p class=\"problem\">{}.</p><p><a class=\"button\" href=\"{}\">Sign in again</a></p>",
        escape(&problem),
        escape(&again)
    );
    Ok(page(StatusCode::FORBIDDEN, "Not signed in", &body))
}

/// The path of the page.
fn page_path(public_url: &Url) -> String {
    format!("{}/", public_url.path().trim_end_matches('/'))
}

/// `next` as a path of this server, whatever a browser would make of it; none where it leads elsewhere.
fn own_path(next: &str, public_url: &Url) -> Option<String> {
    let is_plain = next.starts_with('/')
        && next.len() <= LONGEST_PATH
        && !next.starts_with("//")
        && !next.contains('\\')
        && !next.chars().any(|it| it.is_control() || it.is_whitespace());
    let url = public_url.join(next).ok().filter(|_| is_plain)?;
    if url.origin() != public_url.origin() {
        return None;
    }
    let path = &url[url::Position::BeforePath..];
    // What dots leave over may begin like another host.
    (path.starts_with('/') && !path.starts_with("//")).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::own_path;

    #[test]
    fn a_login_leads_to_a_path_of_this_server_and_nowhere_else() {
        let public_url = Url::parse("https://chat.example.com/").unwrap();
        let own = |next: &str| own_path(next, &public_url);
        assert_eq!(own("/").as_deref(), Some("/"));
        assert_eq!(own("/#thr_1").as_deref(), Some("/#thr_1"));
        assert_eq!(own("/a/../b?c=//d").as_deref(), Some("/b?c=//d"));
        for next in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "/..//evil.example",
            "/.//evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "https:evil.example",
            "/\u{202e}\u{a0}x",
        ] {
            assert_eq!(own(next), None, "{next:?}");
        }
        assert_eq!(own(&format!("/{}", "a".repeat(3000))), None);
    }
}

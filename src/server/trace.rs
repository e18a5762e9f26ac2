use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, header::X_CONTENT_TYPE_OPTIONS},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, debug, field::Empty, info_span};
use uuid::Uuid;

use crate::telemetry::{Traced, count};

use super::error;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids are not taken over: they end up in logs.
const MOST_CHARACTERS: usize = 128;

/// What stands for paths that nothing answers at.
const NO_ROUTE: &str = "(none)";

/// Which kind of path a response is of, where the router cannot know.
#[derive(Debug, Clone, Copy)]
pub struct Route(pub &'static str);

/// Gives the request an id, which its answer and all log lines carry, and logs, counts and traces how it went: the
/// kind of path, never the path itself, queries or bodies.
pub async fn trace(mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = find_request_id(request.headers()).unwrap_or_else(generate);
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = info_span!("request", id = id.as_str(), method, route = Empty);
    if let Some(route) = &route {
        span.record("route", route.as_str());
    }
    let traced = {
        let headers = request.headers();
        let header = |name: &str| headers.get(name)?.to_str().ok();
        Traced::continue_from(&header, method)
    };
    let value = HeaderValue::try_from(&id).expect("an id is made of what headers may have");
    request.headers_mut().insert(X_REQUEST_ID, value.clone());
    let answer = async {
        let mut response = next.run(request).await;
        error::name_request(&mut response, &id);
        response.headers_mut().insert(X_REQUEST_ID, value);
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let named = response.extensions().get::<Route>().map(|it| it.0);
        let route = named.or(route.as_ref().map(MatchedPath::as_str)).unwrap_or(NO_ROUTE);
        let (status, time) = (response.status().as_u16(), start.elapsed());
        let ms = time.as_millis();
        debug!(status, ms, "answered with {status} after {ms} ms");
        count::request(route, method, status, time);
        if traced.is_recording() {
            traced.rename(format!("{method} {route}"));
            traced.set("http.request.method", method);
            traced.set("http.route", route.to_owned());
            traced.set("http.response.status_code", i64::from(status));
            traced.set("kitfox.request.id", id.clone());
            if response.status().is_server_error() {
                traced.fail("server_error");
            }
        }
        response
    };
    traced.run(answer.instrument(span)).await
}

/// One of few: anybody may make up a method.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "_OTHER",
    }
}

fn find_request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(X_REQUEST_ID)?.to_str().ok()?;
    let sane = (1..=MOST_CHARACTERS).contains(&id.len())
        && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_.".contains(&it));
    sane.then(|| id.to_owned())
}

fn generate() -> String {
    Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, http::StatusCode, middleware::from_fn, routing::get};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use crate::server::error::ApiError;

    use super::*;

    async fn send(request_id: Option<&str>) -> Response {
        let router = Router::new()
            .route("/", get(async || ApiError::new(StatusCode::NOT_FOUND, "thread not found")))
            .layer(from_fn(trace));
        let mut request = Request::builder().uri("/");
        if let Some(id) = request_id {
            request = request.header(X_REQUEST_ID, id);
        }
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn an_answer_names_its_request_in_header_and_body() {
        let response = send(Some("web-1.a")).await;
        assert_eq!(response.headers()[X_REQUEST_ID], "web-1.a");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, r#"{"message":"thread not found","request_id":"web-1.a"}"#);
    }

    #[tokio::test]
    async fn a_request_without_a_usable_id_is_given_one() {
        for id in [None, Some("a b"), Some(""), Some(&*"x".repeat(129))] {
            let response = send(id).await;
            assert_eq!(response.headers()[X_REQUEST_ID].len(), 32, "{id:?}");
        }
    }
}

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header::X_CONTENT_TYPE_OPTIONS},
    middleware::Next,
    response::Response,
};
use tracing::{Instrument, debug, field::Empty, info_span};
use uuid::Uuid;

use super::error;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids are not taken over: they end up in logs.
const MOST_CHARACTERS: usize = 128;

/// Gives the request an id, which its answer and all log lines carry, and logs how it went: the kind of
/// path, never the path itself, queries or bodies.
pub async fn trace(mut request: Request, next: Next) -> Response {
    let start = Instant::now();
    let id = find_request_id(request.headers()).unwrap_or_else(generate);
    let method = request.method().clone();
    let span = info_span!("request", id = id.as_str(), %method, route = Empty);
    if let Some(route) = request.extensions().get::<MatchedPath>() {
        span.record("route", route.as_str());
    }
    let value = HeaderValue::try_from(&id).expect("an id is made of what headers may have");
    request.headers_mut().insert(X_REQUEST_ID, value.clone());
    async {
        let mut response = next.run(request).await;
        error::name_request(&mut response, &id);
        response.headers_mut().insert(X_REQUEST_ID, value);
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let (status, ms) = (response.status().as_u16(), start.elapsed().as_millis());
        debug!(status, ms, "answered with {status} after {ms} ms");
        response
    }
    .instrument(span)
    .await
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

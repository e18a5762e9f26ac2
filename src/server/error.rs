use std::{any::Any, fmt};

use axum::{
    body::Body,
    http::{
        HeaderValue, StatusCode,
        header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};
use tracing::error;

use crate::{
    app::Exceeded,
    chatkit::{RequestError, now},
    ops::OpError,
    store::StoreError,
};

/// Why a request has no answer: JSON with `message`, under a status that says who is to act.
///
/// The middleware `trace` adds the request's id.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    pub status: StatusCode,
    message: String,
    /// The path of the field that is wrong.
    field: Option<String>,
    header: Option<(&'static str, &'static str)>,
    /// The connection ends with it.
    closes: bool,
    /// What is wrong with who is asking.
    login: Option<Login>,
    limited: Option<Box<Limited>>,
    // Boxed, because few errors have it.
    ways: Option<Box<Ways>>,
}

/// How somebody may show who they are: what a page's login gate goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// Those of `auth.mode`, in its order.
    pub methods: Vec<&'static str>,
    /// Where a browser logs in, where there is such a place.
    pub sign_in: Option<String>,
}

/// A limit that is reached, as the body tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Limited {
    limit: &'static str,
    of: &'static str,
    most: u64,
    retry_after: u64,
    /// When there is more, where that is known.
    until: Option<String>,
}

/// Why nobody is known to be asking: what a page's login gate decides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Nothing was sent that says who is asking.
    Missing,
    /// What was sent counted once.
    Expired,
    /// What was sent never counts.
    Invalid,
}

impl Login {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Expired => "expired",
            Self::Invalid => "invalid",
        }
    }
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            field: None,
            header: None,
            closes: false,
            login: None,
            limited: None,
            ways: None,
        }
    }

    /// The same with `ways`, where nobody is known to be asking.
    #[must_use]
    pub fn with_ways(self, ways: impl FnOnce() -> Ways) -> Self {
        if self.status != StatusCode::UNAUTHORIZED {
            return self;
        }
        Self { login: self.login.or(Some(Login::Invalid)), ways: Some(Box::new(ways())), ..self }
    }

    /// As people read it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Nobody is known to be asking, and no token would change that.
    pub fn login_without_token(login: Login, message: impl Into<String>) -> Self {
        Self { login: Some(login), ..Self::unauthorized(message) }
    }

    /// Nobody is known to be asking (RFC 6750 §3).
    pub fn login(login: Login, message: impl Into<String>) -> Self {
        let challenge = match login {
            Login::Missing => "Bearer",
            Login::Expired | Login::Invalid => "Bearer error=\"invalid_token\"",
        };
        Self {
            header: Some(("www-authenticate", challenge)),
            login: Some(login),
            ..Self::unauthorized(message)
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    /// Nothing answers at this path.
    pub fn no_such_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    }

    /// `allow`: the methods that the path takes.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        Self {
            header: Some(("allow", allow)),
            ..Self::new(StatusCode::METHOD_NOT_ALLOWED, format!("this path takes {allow} only"))
        }
    }

    /// The connection ends with it, because the rest of the body is not read.
    pub fn unread(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, message).closing()
    }

    /// The same, where the rest of the body may not have been read.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// Nothing was done: the client may try again soon.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            header: Some(("retry-after", "1")),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
        }
    }

    /// A fault of ours: logged here, and not shown.
    pub fn failed(err: impl fmt::Display) -> Self {
        error!(error = %err, "a request failed: {err}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the server failed: its log says why")
    }

    fn at(self, field: String) -> Self {
        Self { field: Some(field), ..self }
    }

    fn body(&self, request_id: Option<&str>) -> Body {
        let mut body = Map::new();
        body.insert("message".to_owned(), self.message.as_str().into());
        if let Some(field) = &self.field {
            body.insert("field".to_owned(), field.as_str().into());
        }
        if let Some(login) = self.login {
            body.insert("login".to_owned(), login.as_str().into());
        }
        if let Some(limited) = &self.limited {
            let Limited { limit, of, most, retry_after, until } = &**limited;
            body.insert("limit".to_owned(), (*limit).into());
            body.insert("of".to_owned(), (*of).into());
            body.insert("most".to_owned(), (*most).into());
            body.insert("retry_after".to_owned(), (*retry_after).into());
            if let Some(until) = until {
                body.insert("available_at".to_owned(), until.as_str().into());
            }
        }
        if let Some(ways) = &self.ways {
            let Ways { methods, sign_in } = &**ways;
            body.insert("methods".to_owned(), methods.clone().into());
            if let Some(sign_in) = sign_in {
                body.insert("sign_in".to_owned(), sign_in.as_str().into());
            }
        }
        if let Some(request_id) = request_id {
            body.insert("request_id".to_owned(), request_id.into());
        }
        Body::from(Value::Object(body).to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body(None));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some((name, value)) = self.header {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Some(limited) = &self.limited {
            headers.insert(RETRY_AFTER, HeaderValue::from(limited.retry_after));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// Tells the request's id in the body too, where the response is an [`ApiError`].
pub fn name_request(response: &mut Response, request_id: &str) {
    if let Some(err) = response.extensions_mut().remove::<ApiError>() {
        *response.body_mut() = err.body(Some(request_id));
    }
}

/// The answer to a request whose handler panicked.
// By value, because that is how the layer calls it.
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic
        .downcast::<String>()
        .map(|it| *it)
        .or_else(|panic| panic.downcast::<&str>().map(|it| (*it).to_owned()))
        .unwrap_or_default();
    ApiError::failed(format_args!("panicked: {text}")).into_response()
}

impl From<OpError> for ApiError {
    fn from(err: OpError) -> Self {
        match err {
            OpError::NotFound(_) => Self::new(StatusCode::NOT_FOUND, err.to_string()),
            OpError::BadRequest(message) => Self::bad_request(message),
            OpError::TooLarge(message) => Self::new(StatusCode::PAYLOAD_TOO_LARGE, message),
            OpError::Gone(message) => Self::new(StatusCode::GONE, message),
            OpError::Conflict(message) => Self::new(StatusCode::CONFLICT, message),
            OpError::Forbidden(message) => Self::forbidden(message),
            OpError::Limited(exceeded) => exceeded.into(),
            OpError::Unavailable(message) => Self::unavailable(message),
            OpError::Failed(err) => Self::failed(format_args!("{err:#}")),
        }
    }
}

impl From<Exceeded> for ApiError {
    fn from(err: Exceeded) -> Self {
        let limited = Limited {
            limit: err.measure.name(),
            of: err.scope.name(),
            most: err.limit,
            retry_after: err.retry_after(now()),
            until: err.until.map(|it| it.to_string()),
        };
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, err.to_string());
        Self { limited: Some(Box::new(limited)), ..refusal }
    }
}

impl From<StoreError> for ApiError {
    fn from(err: StoreError) -> Self {
        OpError::from(err).into()
    }
}

impl From<RequestError> for ApiError {
    fn from(err: RequestError) -> Self {
        let refusal = Self::bad_request(err.to_string());
        match err {
            RequestError::Json(_) => refusal,
            RequestError::Field { path, problem: _ } => refusal.at(path),
            RequestError::UnknownOperation { .. } => refusal.at("type".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::RETRY_AFTER;
    use http_body_util::BodyExt;

    use super::*;

    async fn shown(err: impl Into<ApiError>) -> String {
        let mut response = err.into().into_response();
        name_request(&mut response, "r1");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let retry = parts.headers.get(RETRY_AFTER).map(|it| it.to_str().unwrap());
        let retry = retry.map(|it| format!(" retry-after {it}")).unwrap_or_default();
        format!("{}{retry} {}", parts.status.as_u16(), String::from_utf8_lossy(&body))
    }

    #[tokio::test]
    async fn every_refusal_of_an_operation_has_its_status_and_says_why() {
        let refusals = [
            OpError::NotFound("thread"),
            OpError::BadRequest("`limit` is not a number".to_owned()),
            OpError::Conflict("the thread is locked".to_owned()),
            OpError::Forbidden("not yours".to_owned()),
            OpError::Unavailable("the store is not available".to_owned()),
        ];
        let mut shown_all = Vec::new();
        for refusal in refusals {
            shown_all.push(shown(refusal).await);
        }
        insta::assert_snapshot!(shown_all.join("\n"), @r#"
        404 {"message":"thread not found","request_id":"r1"}
        400 {"message":"`limit` is not a number","request_id":"r1"}
        409 {"message":"the thread is locked","request_id":"r1"}
        403 {"message":"not yours","request_id":"r1"}
        503 retry-after 1 {"message":"the store is not available","request_id":"r1"}
        "#);
    }

    #[tokio::test]
    async fn a_fault_of_ours_shows_nothing_of_its_cause() {
        let fault = OpError::Failed(anyhow::anyhow!("no such table at /var/lib/secret.db"));
        insta::assert_snapshot!(shown(fault).await, @r#"500 {"message":"the server failed: its log says why","request_id":"r1"}"#);
        let panic = panicked(Box::new("index out of bounds in /src/x.rs"));
        let body = panic.into_body().collect().await.unwrap().to_bytes();
        insta::assert_snapshot!(String::from_utf8_lossy(&body), @r#"{"message":"the server failed: its log says why"}"#);
    }

    #[tokio::test]
    async fn a_malformed_request_is_told_the_path_of_the_field() {
        let err = RequestError::Field {
            path: "params.limit".to_owned(),
            problem: "is not a number".to_owned(),
        };
        insta::assert_snapshot!(shown(err).await, @r#"400 {"message":"`params.limit` is not a number","field":"params.limit","request_id":"r1"}"#);
    }
}

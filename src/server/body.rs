use std::time::Duration;

use axum::{
    body::Body,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    },
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::error::ApiError;

/// For the whole body: who is slower holds a connection for nothing.
const TIME: Duration = Duration::from_mins(1);

/// Refuses a body that does not say that it is JSON. A page of another origin cannot say so without
/// being asked first (CORS).
pub fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    if content_type(headers).is_some_and(|it| it.eq_ignore_ascii_case("application/json")) {
        return Ok(());
    }
    Err(ApiError::unsupported("the body must be JSON: send `content-type: application/json`"))
}

/// The content type without its parameters.
pub fn content_type(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or(value).trim())
}

/// The body, if it is no longer than `limit`, stays within its time, and is not compressed.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, ApiError> {
    read_within(headers, body, limit, TIME).await
}

async fn read_within(
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    time: Duration,
) -> Result<Bytes, ApiError> {
    if headers
        .get(CONTENT_ENCODING)
        .is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(ApiError::unsupported("the body must not be compressed"));
    }
    let too_large = || {
        let message = format!("the body is longer than {limit} bytes (`[limits] body_bytes`)");
        ApiError::unread(StatusCode::PAYLOAD_TOO_LARGE, message)
    };
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|it| it > limit as u64) {
        return Err(too_large());
    }
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(err)) if err.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(ApiError::unread(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => {
            let message = format!("the body did not arrive within {} seconds", time.as_secs());
            Err(ApiError::unread(StatusCode::REQUEST_TIMEOUT, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::http::{HeaderName, HeaderValue};
    use futures::stream;

    use super::*;

    fn headers(all: &[(HeaderName, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[track_caller]
    fn check_type(content_type: Option<&'static str>, json: bool) {
        let headers =
            headers(&content_type.map(|it| (CONTENT_TYPE, it)).into_iter().collect::<Vec<_>>());
        assert_eq!(require_json(&headers).is_ok(), json, "{content_type:?}");
    }

    #[test]
    fn json_is_what_says_that_it_is() {
        check_type(Some("application/json"), true);
        check_type(Some("Application/JSON; charset=utf-8"), true);
        check_type(Some("text/plain;charset=UTF-8"), false);
        check_type(Some("application/jsonp"), false);
        check_type(Some("application/x-www-form-urlencoded"), false);
        check_type(None, false);
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read() {
        let body = read(&HeaderMap::new(), Body::from("12345"), 5).await.unwrap();
        assert_eq!(body, "12345");
    }

    #[tokio::test]
    async fn a_longer_body_is_refused_by_its_announced_length_without_being_read() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let err = read(&headers(&[(CONTENT_LENGTH, "6")]), never, 5).await.unwrap_err();
        assert_eq!(err.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_longer_body_of_unknown_length_is_read_no_further_than_the_limit() {
        let endless = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(b"1234")));
        let err = read(&HeaderMap::new(), Body::from_stream(endless), 5).await.unwrap_err();
        assert_eq!(err.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let time = Duration::from_millis(1);
        let err = read_within(&HeaderMap::new(), never, 5, time).await.unwrap_err();
        assert_eq!(err.status, StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused() {
        let headers = headers(&[(CONTENT_ENCODING, "gzip")]);
        let err = read(&headers, Body::from("x"), 5).await.unwrap_err();
        assert_eq!(err.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}

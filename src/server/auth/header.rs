use axum::http::HeaderMap;

use crate::server::error::{ApiError, Login};

const MOST_CHARACTERS: usize = 256;

/// The user that a trusted proxy names, byte for byte.
pub fn find(headers: &HeaderMap, name: &str) -> Result<Option<String>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    // Somebody before the proxy may have put in the other one.
    if values.next().is_some() {
        return Err(ApiError::unauthorized(format!("`{name}` is there twice: send it once")));
    }
    if value.is_empty() {
        return Ok(None);
    }
    let id = std::str::from_utf8(value.as_bytes())
        .map_err(|_| ApiError::bad_request(format!("`{name}` is not UTF-8")))?;
    if id.chars().any(char::is_control) {
        return Err(ApiError::bad_request(format!("`{name}` has control characters in it")));
    }
    if id.chars().count() > MOST_CHARACTERS {
        let message = format!("`{name}` is longer than {MOST_CHARACTERS} characters");
        return Err(ApiError::bad_request(message));
    }
    Ok(Some(id.to_owned()))
}

pub fn missing(name: &str) -> ApiError {
    let message = format!(
        "`{name}` is missing: the proxy in front of this server has to send it with the user's id"
    );
    ApiError::login_without_token(Login::Missing, message)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, StatusCode};

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-user-id", HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(values: &[&[u8]], expected: Result<Option<&str>, StatusCode>) {
        let found = find(&headers(values), "X-User-ID").map_err(|err| err.status);
        assert_eq!(found, expected.map(|it| it.map(str::to_owned)));
    }

    #[test]
    fn the_user_is_what_the_proxy_says_byte_for_byte() {
        check(&[b"ada"], Ok(Some("ada")));
        check(&["ü/../x".as_bytes()], Ok(Some("ü/../x")));
        check(&[&[b'a'; 256]], Ok(Some(&"a".repeat(256))));
        check(&[], Ok(None));
        check(&[b""], Ok(None));
    }

    #[test]
    fn what_cannot_be_a_user_id_is_refused() {
        check(&[&[b'a'; 257]], Err(StatusCode::BAD_REQUEST));
        check(&[b"a\tb"], Err(StatusCode::BAD_REQUEST));
        check(&[b"\xff\xfe"], Err(StatusCode::BAD_REQUEST));
        check(&[b"ada", b"eve"], Err(StatusCode::UNAUTHORIZED));
        check(&[b"ada", b""], Err(StatusCode::UNAUTHORIZED));
    }
}

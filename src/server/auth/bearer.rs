use axum::http::{HeaderMap, header::AUTHORIZATION};

use crate::server::error::{ApiError, Login};

/// Longer ones are refused before anything is made of them.
const MOST_BYTES: usize = 16 << 10;

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1). None where the header is not there, or is of another scheme.
pub fn find(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::login(
            Login::Invalid,
            "`Authorization` is there twice: send it once",
        ));
    }
    let value = value
        .to_str()
        .map_err(|_| ApiError::login(Login::Invalid, "`Authorization` is not plain text"))?;
    let Some((scheme, token)) = value.split_once(' ') else { return Ok(None) };
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Ok(None);
    }
    if token.len() > MOST_BYTES {
        let message = format!("the token is longer than {MOST_BYTES} bytes");
        return Err(ApiError::login(Login::Invalid, message));
    }
    Ok(Some(token))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header::AUTHORIZATION};

    use super::find;

    #[track_caller]
    fn check(values: &[&str], expected: Result<Option<&str>, ()>) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(find(&headers).map_err(|_| ()), expected, "{values:?}");
    }

    #[test]
    fn a_bearer_token_is_found_and_nothing_else_is_one() {
        check(&["Bearer abc"], Ok(Some("abc")));
        check(&["bearer  abc "], Ok(Some("abc")));
        check(&[], Ok(None));
        check(&["Basic YTpi"], Ok(None));
        check(&["Bearer"], Ok(None));
        check(&["Bearer  "], Ok(None));
        check(&["Bearer a", "Bearer b"], Err(()));
        check(&[&format!("Bearer {}", "a".repeat(20_000))], Err(()));
    }
}

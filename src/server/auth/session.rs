use std::fmt::{self, Write as _};

use axum::http::{HeaderMap, HeaderValue, header::COOKIE};
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::server::error::ApiError;

pub const HEADER: &str = "x-session-id";
const COOKIE_NAME: &str = "kitfox_session";
const COOKIE_SECONDS: u32 = 365 * 24 * 60 * 60;

/// A session id is a password: shorter ones can be guessed.
const LEAST_CHARACTERS: usize = 16;
const MOST_CHARACTERS: usize = 256;

/// What a browser is known by: a password, so nothing shows or logs it.
#[derive(PartialEq)]
pub enum Session {
    /// As the page sent it.
    Header(String),
    /// Made here: 32 hexadecimal digits.
    Cookie(String),
}

/// Signs cookies and hashes session ids.
#[derive(Clone)]
pub struct SessionKey([u8; 32]);

/// The session of a request: that of the header, else that of a cookie which was signed here.
pub fn find(headers: &HeaderMap, key: &SessionKey) -> Result<Option<Session>, ApiError> {
    if let Some(session) = from_header(headers)? {
        return Ok(Some(session));
    }
    Ok(from_cookie(headers, key))
}

/// The session that the page itself keeps.
pub fn from_header(headers: &HeaderMap) -> Result<Option<Session>, ApiError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(ApiError::unauthorized("`X-Session-Id` is there twice: send it once"));
    }
    let id = std::str::from_utf8(value.as_bytes())
        .ok()
        .filter(|it| !it.chars().any(char::is_control))
        .ok_or_else(|| ApiError::unauthorized("`X-Session-Id` is not plain text"))?;
    let characters = id.chars().count();
    if characters < LEAST_CHARACTERS {
        return Err(ApiError::unauthorized(format!(
            "`X-Session-Id` has {characters} characters: it is a password, send at least \
             {LEAST_CHARACTERS} random ones"
        )));
    }
    if characters > MOST_CHARACTERS {
        return Err(ApiError::unauthorized(format!(
            "`X-Session-Id` has {characters} characters: send at most {MOST_CHARACTERS}"
        )));
    }
    Ok(Some(Session::Header(id.to_owned())))
}

/// What is forged or damaged is no session.
fn from_cookie(headers: &HeaderMap, key: &SessionKey) -> Option<Session> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(';'))
        .filter_map(|it| it.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
        .find_map(|it| key.verify(it))
        .map(Session::Cookie)
}

/// Gives the browser this session. `scheme` is that of the public URL.
pub fn cookie(session: &Session, key: &SessionKey, scheme: &str) -> HeaderValue {
    let secure = if scheme == "https" { "; Secure" } else { "" };
    let id = session.as_str();
    let cookie = format!(
        "{COOKIE_NAME}={id}.{}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}",
        hex(&key.mac("sign", id).finalize().into_bytes()),
    );
    HeaderValue::try_from(cookie).expect("it is made of ids of our own, which are hexadecimal")
}

impl Session {
    /// A new one: 128 random bits.
    pub fn generate() -> Self {
        Self::Cookie(hex(&rand::random::<[u8; 16]>()))
    }

    /// What may be shown and stored in its place.
    pub fn public_id(&self, key: &SessionKey) -> String {
        // Apart, so that nobody who reads a cookie's id can send it as a header.
        let purpose = match self {
            Self::Header(_) => "header",
            Self::Cookie(_) => "cookie",
        };
        let hash = key.mac(purpose, self.as_str()).finalize().into_bytes();
        hex(&hash[..16])
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Header(id) | Self::Cookie(id) => id,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session")
    }
}

impl SessionKey {
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The id in `ID.SIGNATURE`, if it was signed here.
    fn verify(&self, signed: &str) -> Option<String> {
        let (id, signature) = signed.split_once('.')?;
        self.mac("sign", id).verify_slice(&bytes(signature)?).ok()?;
        Some(id.to_owned())
    }

    /// Of what is kept elsewhere for this purpose.
    pub fn mac(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any length of key will do");
        mac.update(purpose.as_bytes());
        mac.update(b":");
        mac.update(text.as_bytes());
        mac
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
    }
    hex
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    if !hex.len().is_multiple_of(2) || !hex.is_ascii() {
        return None;
    }
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use axum::{http::StatusCode, response::IntoResponse};

    use super::*;

    const KEY: SessionKey = SessionKey::new([7; 32]);

    fn with_cookie(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::try_from(cookie).unwrap())])
    }

    fn with_header(value: &str) -> HeaderMap {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        HeaderMap::from_iter([(HEADER.parse().unwrap(), value)])
    }

    fn pair(cookie: &HeaderValue) -> String {
        cookie.to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_browser_is_known_again_by_the_cookie_it_was_given() {
        let session = Session::generate();
        let cookie = pair(&cookie(&session, &KEY, "http"));
        let headers = with_cookie(&format!("theme=dark; {cookie}; last=1"));
        assert_eq!(find(&headers, &KEY).unwrap(), Some(session));
    }

    #[test]
    fn a_cookie_is_kept_from_scripts_and_other_sites() {
        let session = Session::Cookie("ab".to_owned());
        let signature = "=ab.";
        let cookie = cookie(&session, &KEY, "https");
        let cookie = cookie.to_str().unwrap();
        assert!(cookie.contains(signature));
        assert!(cookie.ends_with("; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax; Secure"));
    }

    #[test]
    fn a_cookie_that_was_not_signed_here_is_no_session() {
        let cookie = pair(&cookie(&Session::generate(), &KEY, "http"));
        let (name, value) = cookie.split_once('=').unwrap();
        let (_, signature) = value.split_once('.').unwrap();
        let other = Session::generate();
        let damaged = [
            format!("{name}={}.{signature}", other.as_str()),
            format!("{name}={}", other.as_str()),
            format!("{name}={}.", other.as_str()),
            format!("{name}={}.zz", other.as_str()),
            format!("{name}={}.é", other.as_str()),
            format!("{cookie}0"),
            format!("x{cookie}"),
        ];
        for cookie in damaged {
            let value = HeaderValue::from_bytes(cookie.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(COOKIE, value)]);
            assert_eq!(find(&headers, &KEY).unwrap(), None, "{cookie}");
        }
        let elsewhere = SessionKey::new([8; 32]);
        assert_eq!(find(&with_cookie(&cookie), &elsewhere).unwrap(), None);
    }

    #[test]
    fn the_header_goes_before_the_cookie() {
        let mut headers = with_header("0123456789abcdef");
        let cookie = pair(&cookie(&Session::generate(), &KEY, "http"));
        headers.insert(COOKIE, HeaderValue::try_from(cookie).unwrap());
        let session = Session::Header("0123456789abcdef".to_owned());
        assert_eq!(find(&headers, &KEY).unwrap(), Some(session));
    }

    #[track_caller]
    fn check_refused(headers: &HeaderMap, contains: &str) {
        let err = find(headers, &KEY).unwrap_err();
        let text = format!("{err:?}");
        assert!(text.contains(contains), "{text}");
        assert_eq!(err.into_response().status(), StatusCode::UNAUTHORIZED);
    }

    #[test]
    fn a_session_id_that_can_be_guessed_is_refused() {
        check_refused(&with_header("0123456789abcde"), "has 15 characters: it is a password");
        check_refused(&with_header(""), "has 0 characters");
        check_refused(&with_header(&"x".repeat(257)), "send at most 256");
        check_refused(&with_header("0123456789\tabcdef"), "not plain text");
        let mut twice = with_header("0123456789abcdef");
        twice.append(HEADER, HeaderValue::from_static("0123456789abcdef"));
        check_refused(&twice, "is there twice");
    }

    #[test]
    fn what_is_shown_of_a_session_is_a_keyed_hash() {
        let session = Session::Header("0123456789abcdef".to_owned());
        let id = session.public_id(&KEY);
        assert_eq!(id.len(), 32);
        assert!(!id.contains("0123456789abcdef"));
        assert_eq!(id, session.public_id(&KEY));
        assert_ne!(id, session.public_id(&SessionKey::new([8; 32])));
        let cookie = Session::Cookie("0123456789abcdef".to_owned());
        assert_ne!(id, cookie.public_id(&KEY));
        assert_eq!(format!("{session:?}"), "Session");
    }
}

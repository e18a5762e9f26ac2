//! Who is asking: one file per method.

mod bearer;
mod header;
mod jwt;
mod session;
mod token;

use axum::http::{HeaderMap, HeaderValue};
use secrecy::SecretString;
use tokio::sync::OnceCell;

use crate::{
    config::{AuthConfig, AuthMode},
    server::error::{ApiError, Login},
    store::Store,
    user::User,
};

use super::Server;

use self::session::{Session, SessionKey};

pub use self::jwt::Verifiers;

/// Who is asking, and what the answer has to tell the browser about it.
#[derive(Debug)]
pub struct Caller {
    pub user: User,
    /// A keyed hash of the session id, where the client has a session.
    pub session_id: Option<String>,
    /// What the login itself was by, for a credential that names it.
    pub access_token: Option<SecretString>,
    /// For the answer: the session that was made for this browser.
    pub set_cookie: Option<HeaderValue>,
}

/// What becomes of a request without a session, in `session` mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewSession {
    /// Its browser is given one.
    Make,
    /// It is served as somebody who never comes again.
    Never,
}

/// Who is asking. Of several methods, the first whose credential is present decides.
pub async fn authenticate(
    server: &Server,
    headers: &HeaderMap,
    new_session: NewSession,
) -> Result<Caller, ApiError> {
    let config = server.app.generation().config.clone();
    for mode in &config.auth.modes {
        match mode {
            AuthMode::Session => {
                let key = server.sessions.key(&server.app.store).await?;
                if let Some(session) = session::find(headers, key)? {
                    return Ok(session_caller(&session, key, None));
                }
            }
            AuthMode::Header => {
                if let Some(id) = header::find(headers, &config.auth.header)? {
                    let session_id = find_session_id(server, headers).await?;
                    let user = User::new("header", "", &id);
                    return Ok(Caller { user, session_id, access_token: None, set_cookie: None });
                }
            }
            AuthMode::Token | AuthMode::Jwt => {
                let Some(token) = bearer::find(headers)? else { continue };
                // A token that is there decides: one that is refused is not as good as none.
                let user = find_bearer(server, &config.auth, token).await?;
                let session_id = find_session_id(server, headers).await?;
                let access_token = Some(SecretString::from(token));
                return Ok(Caller { user, session_id, access_token, set_cookie: None });
            }
        }
    }
    if !config.auth.modes.contains(&AuthMode::Session) {
        return Err(missing(&config.auth));
    }
    let key = server.sessions.key(&server.app.store).await?;
    let session = Session::generate();
    Ok(match new_session {
        NewSession::Make => {
            let cookie = session::cookie(&session, key, config.server.public_url.scheme());
            session_caller(&session, key, Some(cookie))
        }
        NewSession::Never => Caller { session_id: None, ..session_caller(&session, key, None) },
    })
}

/// Whose token this is, by the methods that take one.
async fn find_bearer(server: &Server, auth: &AuthConfig, token: &str) -> Result<User, ApiError> {
    if auth.modes.contains(&AuthMode::Token)
        && let Some(user) = token::find(token, auth)
    {
        return Ok(user);
    }
    match &auth.jwt {
        Some(jwt) if auth.modes.contains(&AuthMode::Jwt) => {
            server.verifiers.of(jwt).verify(token).await
        }
        Some(_) | None => Err(ApiError::login(Login::Invalid, "the token is nobody's")),
    }
}

fn missing(auth: &AuthConfig) -> ApiError {
    if auth.modes.contains(&AuthMode::Header) {
        return header::missing(&auth.header);
    }
    ApiError::login(
        Login::Missing,
        "nobody is logged in: send `Authorization: Bearer …` with a token",
    )
}

/// A session for a browser that has none, given to it with the page, so that its first requests share it.
/// None where sessions are not the way in, or the store is away.
pub async fn greet(server: &Server, headers: &HeaderMap) -> Option<HeaderValue> {
    let config = server.app.generation().config.clone();
    if !config.auth.modes.contains(&AuthMode::Session) {
        return None;
    }
    authenticate(server, headers, NewSession::Make).await.ok()?.set_cookie
}

/// The session beside a login of another kind: whatever is no session id is none.
async fn find_session_id(server: &Server, headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if !headers.contains_key(session::HEADER) {
        return Ok(None);
    }
    let key = server.sessions.key(&server.app.store).await?;
    Ok(session::from_header(headers).ok().flatten().map(|it| it.public_id(key)))
}

fn session_caller(session: &Session, key: &SessionKey, set_cookie: Option<HeaderValue>) -> Caller {
    let id = session.public_id(key);
    let user = User::new("session", "", &id);
    Caller { user, session_id: Some(id), access_token: None, set_cookie }
}

/// The key of all sessions, loaded when it is first needed and the store can be read.
#[derive(Debug, Default)]
pub struct Sessions(OnceCell<SessionKey>);

impl Sessions {
    async fn key(&self, store: &Store) -> Result<&SessionKey, ApiError> {
        let load = async || Ok(SessionKey::new(store.load_secret("session").await?));
        self.0.get_or_try_init(load).await
    }
}

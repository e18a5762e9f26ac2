//! Who is asking: one file per method.

mod bearer;
mod cookie;
mod header;
mod jwt;
mod oidc;
mod session;
mod token;

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, request};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::Url;

use crate::{
    app::Generation,
    config::{AuthConfig, AuthMode, Config},
    server::error::{ApiError, Login, Ways},
    store::Store,
    user::User,
};

use super::Server;

use self::session::{Session, SessionKey};

pub use self::{
    bearer::find as bearer_token,
    jwt::Verifiers,
    oidc::{Provider, Providers, Refusal},
};

/// The field of a login under which its own token is known.
pub const ACCESS_TOKEN: &str = "access_token";

/// Who is asking, and what the answer has to tell the browser about it.
#[derive(Debug)]
pub struct Caller {
    pub user: User,
    /// How it is known.
    pub method: AuthMode,
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
    let generation = server.app.generation();
    let caller = identify(server, &generation, headers, new_session).await;
    caller.map_err(|err| err.with_ways(|| ways(&generation.config)))
}

async fn identify(
    server: &Server,
    generation: &Generation,
    headers: &HeaderMap,
    new_session: NewSession,
) -> Result<Caller, ApiError> {
    let config = &generation.config;
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
                    return Ok(Caller { session_id, ..Caller::of(user, AuthMode::Header) });
                }
            }
            AuthMode::Token | AuthMode::Jwt => {
                let Some(token) = bearer::find(headers)? else { continue };
                // A token that is there decides: one that is refused is not as good as none.
                let (user, method) = find_bearer(server, &config.auth, token).await?;
                let session_id = find_session_id(server, headers).await?;
                let access_token = Some(SecretString::from(token));
                return Ok(Caller { session_id, access_token, ..Caller::of(user, method) });
            }
            AuthMode::Oidc => {
                let Some(provider) = server.providers.of(generation) else { continue };
                if let Some(caller) = provider.find_caller(server, generation, headers).await? {
                    let session_id = find_session_id(server, headers).await?;
                    return Ok(Caller { session_id, ..caller });
                }
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

impl Caller {
    /// Of whom no more is known.
    fn of(user: User, method: AuthMode) -> Self {
        Self { user, method, session_id: None, access_token: None, set_cookie: None }
    }
}

/// What a page can do for somebody who is not known.
fn ways(config: &Config) -> Ways {
    let methods = config.auth.modes.iter().map(|it| it.name()).collect();
    Ways { methods, sign_in: sign_in(config).map(String::from) }
}

fn sign_in(config: &Config) -> Option<Url> {
    let has_logins = config.auth.modes.contains(&AuthMode::Oidc);
    has_logins.then(|| oidc::below(&config.server, "/auth/login"))
}

/// What the page shows of the login: who it is and the way out, or the way in. None where nobody logs in by the page.
pub fn show_login(config: &Config, caller: &Caller) -> Option<Value> {
    let sign_in = sign_in(config)?;
    if caller.method != AuthMode::Oidc {
        return Some(json!({ "sign_in": sign_in }));
    }
    let User { name, email, .. } = &caller.user;
    let sign_out = oidc::below(&config.server, "/auth/logout");
    Some(json!({ "name": name, "email": email, "sign_out": sign_out }))
}

/// Whose token this is, by the methods that take one.
async fn find_bearer(
    server: &Server,
    auth: &AuthConfig,
    token: &str,
) -> Result<(User, AuthMode), ApiError> {
    if auth.modes.contains(&AuthMode::Token)
        && let Some(user) = token::find(token, auth)
    {
        return Ok((user, AuthMode::Token));
    }
    match &auth.jwt {
        Some(jwt) if auth.modes.contains(&AuthMode::Jwt) => {
            Ok((server.verifiers.of(jwt).verify(token).await?, AuthMode::Jwt))
        }
        Some(_) | None => Err(ApiError::login(Login::Invalid, "the token is nobody's")),
    }
}

fn missing(auth: &AuthConfig) -> ApiError {
    if auth.modes.contains(&AuthMode::Header) {
        return header::missing(&auth.header);
    }
    if !auth.modes.iter().any(|it| matches!(it, AuthMode::Token | AuthMode::Jwt)) {
        return ApiError::login_without_token(Login::Missing, "you are not signed in");
    }
    ApiError::login(
        Login::Missing,
        "nobody is logged in: send `Authorization: Bearer …` with a token",
    )
}

/// Where a request comes from, by its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Takes the header away that names the user, unless it is a trusted proxy's.
pub fn forget_untrusted(auth: &AuthConfig, request: &mut request::Parts) {
    let Some(proxies) = &auth.trusted_proxies else { return };
    let peer = request.extensions.get::<Peer>();
    if !peer.is_some_and(|Peer(address)| proxies.contains(*address)) {
        request.headers.remove(auth.header.as_str());
    }
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
    Caller { session_id: Some(id), set_cookie, ..Caller::of(user, AuthMode::Session) }
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

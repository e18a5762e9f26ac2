//! Logins of users at other servers: their beginning, their way back, and what this server is to the others.

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, COOKIE, LOCATION, REFERRER_POLICY, SET_COOKIE},
    },
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret;
use serde::Deserialize;
use tracing::warn;
use url::Url;

use crate::{
    app::Generation,
    credential::for_user,
    oauth::{Callback, ClientPlaces, OAuthError, cookie_name, metadata_document},
};

use super::{
    Server,
    auth::{self, NewSession},
    credentials::oauth_error,
    error::ApiError,
    html::{escape, page},
};

/// As long as a login may take.
const COOKIE_SECONDS: u32 = 600;

#[derive(Deserialize)]
pub struct Start {
    /// Whom the link was made for.
    r#for: Option<String>,
}

/// `GET /oauth/start/KEY`: sends the user's browser to where they log in.
pub async fn start(
    State(server): State<Server>,
    Path(key): Path<String>,
    Query(start): Query<Start>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let caller = auth::authenticate(&server, &headers, NewSession::Never).await?;
    let user = &caller.user.key;
    if start.r#for.is_none_or(|it| it != for_user(user)) {
        return Ok(refuse(
            "This link is another user's, or of another browser: open it in the browser in which you chat.",
        ));
    }
    let generation = server.app.generation().seen_by(Some(&caller.user));
    let Some(target) = generation.login_targets().find(|it| it.key == key) else {
        return Err(ApiError::no_such_path());
    };
    let places = places(&generation);
    let oauth = &generation.host.credentials.accounts().oauth;
    let begun = match oauth.begin(&target, user, &places, None).await {
        Ok(begun) => begun,
        Err(
            err
            @ (OAuthError::Refused(_) | OAuthError::Unavailable(_) | OAuthError::LoginNeeded(_)),
        ) => {
            warn!(server = %target.label, "a login at {} cannot begin: {err}", target.label);
            return Ok(refuse(&format!("{} cannot be connected: {err}.", target.label)));
        }
        Err(err @ OAuthError::Vault(_)) => return Err(oauth_error(err)),
    };
    let mut response = StatusCode::SEE_OTHER.into_response();
    let sent = response.headers_mut();
    let location = HeaderValue::try_from(begun.url.as_str()).map_err(ApiError::failed)?;
    sent.insert(LOCATION, location);
    sent.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    sent.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let cookie =
        cookie(&begun.cookie, begun.browser.expose_secret(), &places.redirect_uri, COOKIE_SECONDS);
    sent.insert(SET_COOKIE, cookie);
    Ok(response)
}

/// `GET /oauth/callback`: where the authorization server sends the browser back to.
pub async fn callback(
    State(server): State<Server>,
    Query(callback): Query<Callback>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let caller = auth::authenticate(&server, &headers, NewSession::Never).await?;
    let generation = server.app.generation();
    let oauth = &generation.host.credentials.accounts().oauth;
    let name = callback.state.as_deref().map(cookie_name).unwrap_or_default();
    let browser = find_cookie(&headers, &name);
    let finished = match oauth.finish(&caller.user.key, browser, &callback).await {
        Ok(finished) => finished,
        Err(
            err
            @ (OAuthError::Refused(_) | OAuthError::Unavailable(_) | OAuthError::LoginNeeded(_)),
        ) => {
            warn!(target: "security", "a login that came back was refused: {err}");
            return Ok(refuse(&format!("{err}.")));
        }
        Err(err @ OAuthError::Vault(_)) => return Err(oauth_error(err)),
    };
    let body = format!(
        "<p>{} is connected. Go back to the chat and choose “Continue”; this page may be closed.</p>",
        escape(&finished.label)
    );
    let mut response = page(StatusCode::OK, "Connected", &body);
    let redirect_uri = places(&generation).redirect_uri;
    response.headers_mut().insert(SET_COOKIE, cookie(&name, "", &redirect_uri, 0));
    Ok(response)
}

/// `GET /oauth/client.json`: the client id metadata document.
pub async fn client(State(server): State<Server>) -> Response {
    let document = metadata_document(&places(&server.app.generation()));
    let mut response = Json(document).into_response();
    let cache = HeaderValue::from_static("public, max-age=300");
    response.headers_mut().insert(CACHE_CONTROL, cache);
    response
}

pub fn places(generation: &Generation) -> ClientPlaces {
    ClientPlaces::new(&generation.config.project.name, &generation.config.server.public_url)
}

fn refuse(problem: &str) -> Response {
    let body = format!("<p class=\"problem\">{}</p>", escape(problem));
    page(StatusCode::FORBIDDEN, "Not connected", &body)
}

/// For the way back alone. A browser sends it along there, though another site sends it.
fn cookie(name: &str, value: &str, redirect_uri: &Url, seconds: u32) -> HeaderValue {
    let secure = if redirect_uri.scheme() == "https" { "; Secure" } else { "" };
    let path = redirect_uri.path();
    HeaderValue::try_from(format!(
        "{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"
    ))
    .expect("it is made of base64url and of a URL's path")
}

fn find_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(';'))
        .find_map(|it| it.trim().strip_prefix(name)?.strip_prefix('='))
}

//! What users entrust to this server: entered, connected, listed and taken away, never shown.

use std::{fmt::Write, sync::Arc};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, ORIGIN, SET_COOKIE},
    },
    response::{IntoResponse, Response},
};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::{
    app::Generation, credential::Accounts, oauth::OAuthError, store::SealedKind, user::User,
    vault::VaultError,
};

use super::{
    Server,
    auth::{self, NewSession},
    error::ApiError,
    html::{escape, page},
};

/// The shortest secret that can be told from other text.
const LEAST_CHARACTERS: usize = 8;
const MOST_BYTES: usize = 16 * 1024;

/// Something that the user may give.
struct Entry {
    kind: Kind,
    /// The credential's name, or the login's key.
    name: String,
    label: String,
    /// Since when it is there.
    since: Option<jiff::Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Entered,
    Login,
}

/// `GET /credentials`
pub async fn index(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    let caller = auth::authenticate(&server, &headers, NewSession::Make).await?;
    let generation = server.app.generation();
    let accounts = generation.host.credentials.accounts();
    let entries = list(&generation, &caller.user).await?;
    let mut body = String::new();
    if entries.is_empty() {
        body.push_str("<p>There is nothing to enter or connect here.</p>");
    }
    for entry in &entries {
        show(entry, accounts, &caller.user, &mut body);
    }
    let mut response = page(StatusCode::OK, "Your credentials", &body);
    if let Some(cookie) = caller.set_cookie {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

fn show(entry: &Entry, accounts: &Accounts, user: &User, body: &mut String) {
    let (name, label) = (escape(&entry.name), escape(&entry.label));
    let state = match (entry.kind, entry.since) {
        (Kind::Entered, None) => "not entered".to_owned(),
        (Kind::Login, None) => "not connected".to_owned(),
        (Kind::Entered, Some(since)) => format!("entered on {}", since.strftime("%Y-%m-%d")),
        (Kind::Login, Some(since)) => format!("connected on {}", since.strftime("%Y-%m-%d")),
    };
    let mut write = |text: std::fmt::Arguments<'_>| {
        body.write_fmt(text).expect("a string takes all");
    };
    write(format_args!("<section><h2>{label}</h2><p class=\"state\">{state}</p>"));
    match entry.kind {
        Kind::Entered => write(format_args!(
            "<form method=\"post\" action=\"credentials\"><input type=\"hidden\" name=\"name\" value=\"{name}\">\
             <input type=\"password\" name=\"value\" autocomplete=\"off\" required minlength=\"{LEAST_CHARACTERS}\" \
             aria-label=\"{label}\"> <button name=\"do\" value=\"save\">Save</button></form>"
        )),
        Kind::Login => {
            let link = escape(&accounts.link(&entry.name, &user.key));
            write(format_args!("<p><a class=\"button\" href=\"{link}\">Connect</a></p>"));
        }
    }
    if entry.since.is_some() {
        let delete = match entry.kind {
            Kind::Entered => "Delete",
            Kind::Login => "Disconnect",
        };
        write(format_args!(
            "<form method=\"post\" action=\"credentials\"><input type=\"hidden\" name=\"name\" value=\"{name}\">\
             <button name=\"do\" value=\"delete\">{delete}</button></form>"
        ));
    }
    write(format_args!("</section>"));
}

/// `POST /credentials`: what the page's forms send.
pub async fn submit(
    State(server): State<Server>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let is_form = headers
        .get(CONTENT_TYPE)
        .is_some_and(|it| it.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    if !is_form {
        return Err(ApiError::unsupported("this path takes the forms of its own page"));
    }
    let user = admit(&server, &headers).await?;
    let field = |name: &str| {
        let mut fields = form_urlencoded::parse(&body);
        fields.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let name = field("name").unwrap_or_default();
    match field("do").as_deref() {
        Some("save") => {
            let value = SecretString::from(field("value").unwrap_or_default());
            if let Err(err) = save(&server, &user, &name, &value).await {
                return match err {
                    Refusal::Value(problem) => {
                        let body = format!(
                            "<p class=\"problem\">{}</p><p><a href=\"credentials\">Back</a></p>",
                            escape(&problem)
                        );
                        Ok(page(StatusCode::BAD_REQUEST, "Not saved", &body))
                    }
                    Refusal::Api(err) => Err(err),
                };
            }
        }
        Some("delete") => delete(&server, &user, &name).await?,
        Some(_) | None => return Err(ApiError::bad_request("`do` is neither `save` nor `delete`")),
    }
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("credentials"));
    Ok(response)
}

/// `GET /api/credentials`
pub async fn all(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    let caller = auth::authenticate(&server, &headers, NewSession::Never).await?;
    let entries = list(&server.app.generation(), &caller.user).await?;
    let shown: Vec<Value> = entries
        .iter()
        .map(|it| {
            let source = match it.kind {
                Kind::Entered => "store",
                Kind::Login => "oauth",
            };
            json!({ "name": it.name, "label": it.label, "source": source, "since": it.since })
        })
        .collect();
    let mut response = Json(json!({ "credentials": shown })).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

#[derive(Deserialize)]
struct Body {
    value: SecretString,
}

/// `PUT /api/credentials/NAME` with `{"value": "…"}`
pub async fn put(
    State(server): State<Server>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<StatusCode, ApiError> {
    let user = admit(&server, &headers).await?;
    // What is wrong with it may quote it.
    let body: Body = serde_json::from_slice(&body)
        .map_err(|_| ApiError::bad_request("the body is not `{\"value\": \"…\"}`"))?;
    save(&server, &user, &name, &body.value).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/credentials/NAME`
pub async fn remove(
    State(server): State<Server>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let user = admit(&server, &headers).await?;
    delete(&server, &user, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Only for pages of our own, and for somebody who can come again.
async fn admit(server: &Server, headers: &HeaderMap) -> Result<User, ApiError> {
    let config = server.app.generation().config.clone();
    // The guard has seen to it that it is ours, or one that the operator listed for the chat.
    if let Some(origin) = headers.get(ORIGIN).and_then(|it| it.to_str().ok())
        && config.server.cors_origins.iter().any(|it| it.trim_end_matches('/') == origin)
    {
        return Err(ApiError::forbidden("credentials are entered on this server's own page only"));
    }
    let caller = auth::authenticate(server, headers, NewSession::Make).await?;
    if caller.set_cookie.is_some() {
        return Err(ApiError::unauthorized(
            "there is no session: open the page first, in the browser in which you chat",
        ));
    }
    Ok(caller.user)
}

enum Refusal {
    /// What was entered will not do.
    Value(String),
    Api(ApiError),
}

async fn save(
    server: &Server,
    user: &User,
    name: &str,
    value: &SecretString,
) -> Result<(), Refusal> {
    use secrecy::ExposeSecret;

    let generation = server.app.generation();
    let credentials = &generation.host.credentials;
    if !credentials.entered().any(|(it, _)| it == name) {
        return Err(Refusal::Api(not_found()));
    }
    let text = value.expose_secret().trim();
    if text.chars().count() < LEAST_CHARACTERS {
        return Err(Refusal::Value(format!(
            "it has fewer than {LEAST_CHARACTERS} characters, and cannot be told from other text: nothing was saved"
        )));
    }
    if text.len() > MOST_BYTES || text.chars().any(char::is_control) {
        return Err(Refusal::Value(
            "it is too long, or has control characters in it: nothing was saved".to_owned(),
        ));
    }
    let vault = credentials.accounts().vault().of(&user.key);
    vault
        .save(SealedKind::Entered, name, &text.into(), None)
        .await
        .map_err(|err| Refusal::Api(vault_error(err)))
}

/// An entered credential, or a login.
async fn delete(server: &Server, user: &User, name: &str) -> Result<(), ApiError> {
    let generation = server.app.generation();
    let accounts = generation.host.credentials.accounts();
    let deleted = if name.contains(':') {
        accounts.oauth.forget(name, &user.key).await.map_err(oauth_error)?
    } else {
        let vault = accounts.vault().of(&user.key);
        vault.forget(SealedKind::Entered, name).await.map_err(vault_error)?
    };
    if deleted { Ok(()) } else { Err(not_found()) }
}

async fn list(generation: &Arc<Generation>, user: &User) -> Result<Vec<Entry>, ApiError> {
    let credentials = &generation.host.credentials;
    let vault = credentials.accounts().vault().of(&user.key);
    let entered = vault.list(SealedKind::Entered).await.map_err(vault_error)?;
    let tokens = vault.list(SealedKind::Tokens).await.map_err(vault_error)?;
    let since = |all: &[crate::store::Sealed], name: &str| {
        all.iter().find(|it| it.name == name).map(|it| it.created_at)
    };
    let mut entries = Vec::new();
    for (name, label) in credentials.entered() {
        let since = since(&entered, name);
        let (name, label) = (name.to_owned(), label.to_owned());
        entries.push(Entry { kind: Kind::Entered, name, label, since });
    }
    for target in generation.seen_by(Some(user)).login_targets() {
        let since = since(&tokens, &target.key);
        if since.is_none() && !target.has_logins() {
            continue;
        }
        entries.push(Entry { kind: Kind::Login, name: target.key, label: target.label, since });
    }
    Ok(entries)
}

fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is no such credential")
}

pub fn vault_error(err: VaultError) -> ApiError {
    match err {
        VaultError::NoKeys(problem) => ApiError::unavailable(problem),
        VaultError::Unreadable { .. } => ApiError::failed(err),
        VaultError::Store(err) => err.into(),
    }
}

pub fn oauth_error(err: OAuthError) -> ApiError {
    match err {
        OAuthError::Vault(err) => vault_error(err),
        OAuthError::LoginNeeded(_) | OAuthError::Refused(_) => ApiError::forbidden(err.to_string()),
        OAuthError::Unavailable(_) => ApiError::unavailable(err.to_string()),
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Value(problem) => Self::bad_request(problem),
            Refusal::Api(err) => err,
        }
    }
}

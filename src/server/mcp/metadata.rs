//! Where clients of /mcp log in: RFC 9728's metadata of a protected resource, for tokens that an identity provider signs.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE},
    response::Response,
};
use serde_json::{Value, json};

use crate::{
    config::Config,
    server::{Server, error::ApiError},
};

/// `GET /.well-known/oauth-protected-resource/mcp`
pub async fn answer(State(server): State<Server>) -> Result<Json<Value>, ApiError> {
    let config = server.app.generation().config.clone();
    let Some(issuer) = issuer(&config) else { return Err(ApiError::no_such_path()) };
    Ok(Json(json!({
        "resource": place(&config, "mcp"),
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": config.project.name,
    })))
}

/// Adds to a 401 where its client learns how to log in.
pub fn point_to(config: &Config, response: &mut Response) {
    if response.status() != StatusCode::UNAUTHORIZED || issuer(config).is_none() {
        return;
    }
    let url = place(config, ".well-known/oauth-protected-resource/mcp");
    let headers = response.headers_mut();
    let before = headers.get(WWW_AUTHENTICATE).and_then(|it| it.to_str().ok());
    let challenge = match before {
        Some(before) if before.contains(' ') => format!("{before}, resource_metadata=\"{url}\""),
        Some(_) | None => format!("Bearer resource_metadata=\"{url}\""),
    };
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
}

/// Who gives the tokens that count here, where it says so itself by its address.
fn issuer(config: &Config) -> Option<&str> {
    let issuer = config.auth.jwt.as_ref()?.issuer.as_str();
    (issuer.starts_with("https://") || issuer.starts_with("http://")).then_some(issuer)
}

/// A place of this server, as clients reach it.
fn place(config: &Config, path: &str) -> String {
    format!("{}/{path}", config.server.public_url.as_str().trim_end_matches('/'))
}

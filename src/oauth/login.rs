//! A login, from the user's click to their tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::ToSpan;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{chatkit::now, store::SealedKind, user::UserKey};

use super::{
    At, Client, ClientPlaces, OAuth, OAuthError, Target,
    challenge::Challenge,
    discovery::{Discovered, Silent, discover, load_server},
    tokens::{Tokens, ask_for_tokens},
};

/// A login that has begun.
pub struct Begun {
    /// Where the user's browser goes.
    pub url: Url,
    /// What the browser that began has to bring back, as a cookie.
    pub browser: SecretString,
    /// What that cookie is called: see [`cookie_name`].
    pub cookie: String,
}

/// The cookie of the login that has this state: a browser may have begun several.
pub fn cookie_name(state: &str) -> String {
    format!("kitfox_login_{}", &hash(state)[..12])
}

/// What the authorization server sends the browser back with.
#[derive(Deserialize)]
pub struct Callback {
    pub state: Option<String>,
    pub code: Option<String>,
    pub iss: Option<String>,
    pub error: Option<String>,
}

/// A login that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// The target's key.
    pub key: String,
    pub label: String,
}

/// What is kept of a login until it comes back, sealed.
#[derive(Serialize, Deserialize)]
struct Login {
    key: String,
    label: String,
    audience: String,
    resource: Option<String>,
    scopes: Vec<String>,
    issuer: String,
    requires_issuer: bool,
    token_endpoint: Url,
    client: Client,
    redirect_uri: Url,
    verifier: String,
    /// A hash of what the browser has to bring back.
    browser: String,
}

const MINUTES: i64 = 10;

impl OAuth {
    /// Begins a login of this user. `challenge`: what the server wants, where it said so.
    pub async fn begin(
        &self,
        target: &Target,
        user: &UserKey,
        places: &ClientPlaces,
        challenge: Option<Challenge>,
    ) -> Result<Begun, OAuthError> {
        let discovered = self.discover(target, challenge).await?;
        let Discovered { resource, scopes, server } = discovered;
        let scopes = self.scopes(target, user, scopes, &server.scopes_supported).await?;
        let client = self.client(target, &server, places).await?;
        let (state, verifier, browser) = (random(), random(), random());

        let mut url = server.authorization_endpoint.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &client.id)
                .append_pair("redirect_uri", places.redirect_uri.as_str())
                .append_pair("state", &state)
                .append_pair("code_challenge", &hash(&verifier))
                .append_pair("code_challenge_method", "S256");
            if !scopes.is_empty() {
                query.append_pair("scope", &scopes.join(" "));
            }
            if let Some(resource) = &resource {
                query.append_pair("resource", resource);
            }
            // Without it, OpenID providers give no refresh token to who was asked before.
            if scopes.iter().any(|it| it == "offline_access") {
                query.append_pair("prompt", "consent");
            }
        }
        let login = Login {
            key: target.key.clone(),
            label: target.label.clone(),
            audience: target.audience().to_owned(),
            resource,
            scopes,
            issuer: server.issuer,
            requires_issuer: server.authorization_response_iss_parameter_supported,
            token_endpoint: server.token_endpoint,
            client,
            redirect_uri: places.redirect_uri.clone(),
            verifier,
            browser: hash(&browser),
        };
        let text = serde_json::to_string(&login).expect("texts can be written as JSON");
        let expires_at = Some(now() + MINUTES.minutes());
        self.shared
            .vault
            .of(user)
            .save(SealedKind::Login, &hash(&state), &text.into(), expires_at)
            .await?;
        Ok(Begun { url, browser: browser.into(), cookie: cookie_name(&state) })
    }

    /// Whether users could begin a login of this target: it says where they log in, and that can be relied on.
    pub async fn check(&self, target: &Target) -> Result<(), OAuthError> {
        self.discover(target, None).await.map(|_| ())
    }

    async fn discover(
        &self,
        target: &Target,
        challenge: Option<Challenge>,
    ) -> Result<Discovered, OAuthError> {
        let door = self.http.for_resource(target.base());
        match &target.at {
            At::Resource(resource) => discover(door, resource, challenge, Silent::IsItsOwn).await,
            At::Challenged { resource, challenge: heard } => {
                let challenge = challenge.or_else(|| heard.clone());
                discover(door, resource, challenge, Silent::Refused).await
            }
            At::Issuer { issuer, resource } => {
                let name = issuer.as_str().trim_end_matches('/');
                let server = load_server(door, issuer, name).await?;
                Ok(Discovered { resource: resource.clone(), scopes: Vec::new(), server })
            }
        }
    }

    /// Ends the login that `callback` belongs to, if it is this user's, in this browser, for the first time.
    pub async fn finish(
        &self,
        user: &UserKey,
        browser: Option<&str>,
        callback: &Callback,
    ) -> Result<Finished, OAuthError> {
        let unknown = || {
            OAuthError::Refused(
                "this login is not known: it is another user's, was used already, or took too long; begin it again"
                    .to_owned(),
            )
        };
        let state = hash(callback.state.as_deref().ok_or_else(unknown)?);
        let vault = self.shared.vault.of(user);
        let found = vault.find(SealedKind::Login, &state).await?.ok_or_else(unknown)?;
        if found.sealed.expires_at.is_none_or(|it| it < now()) {
            return Err(unknown());
        }
        let login: Login =
            serde_json::from_str(found.text.expose_secret()).map_err(|_| unknown())?;
        // Whoever sends a wrong issuer must not spend the login of the right one.
        check_issuer(&login, callback.iss.as_deref())?;
        if browser.is_none_or(|it| hash(it) != login.browser) {
            return Err(OAuthError::Refused(
                "this login was begun in another browser: begin it again in this one".to_owned(),
            ));
        }
        if !vault.delete(&found.sealed).await? {
            return Err(unknown());
        }
        if let Some(error) = &callback.error {
            return Err(OAuthError::Refused(refusal(&login.label, error)));
        }
        let code = callback.code.as_deref().filter(|it| !it.is_empty()).ok_or_else(|| {
            OAuthError::Refused(format!("{} sent no code back: begin the login again", login.label))
        })?;
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", login.redirect_uri.as_str()),
            ("code_verifier", login.verifier.as_str()),
        ];
        if let Some(resource) = &login.resource {
            fields.push(("resource", resource));
        }
        let base = Url::parse(&login.audience).map_err(|_| unknown())?;
        let door = self.http.for_resource(&base);
        let answer = ask_for_tokens(door, &login.token_endpoint, Some(&login.client), fields).await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(err) => {
                if err.is_about_client() {
                    self.forget_client(&login.issuer, login.redirect_uri.as_str()).await?;
                }
                return Err(err.into_error(&login.label));
            }
        };
        let tokens = Tokens {
            audience: login.audience,
            resource: login.resource,
            scopes: answer.scopes().unwrap_or(login.scopes),
            issuer: login.issuer,
            token_endpoint: login.token_endpoint,
            client: login.client,
            redirect_uri: login.redirect_uri,
            wanted: Vec::new(),
            expires_at: answer.expires_at(),
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
        };
        vault.save(SealedKind::Tokens, &login.key, &tokens.to_text(), None).await?;
        Ok(Finished { key: login.key, label: login.label })
    }

    /// What is asked for: what the operator says, else what the server wants; and what it wanted since.
    async fn scopes(
        &self,
        target: &Target,
        user: &UserKey,
        wanted: Vec<String>,
        supported: &[String],
    ) -> Result<Vec<String>, OAuthError> {
        let mut scopes = if target.scopes.is_empty() { wanted } else { target.scopes.clone() };
        if let Some(tokens) = self.find_tokens(target, user).await?
            && !tokens.wanted.is_empty()
        {
            scopes.extend(tokens.scopes.into_iter().chain(tokens.wanted));
        }
        if supported.iter().any(|it| it == "offline_access") {
            scopes.push("offline_access".to_owned());
        }
        let mut once: Vec<String> = Vec::new();
        for scope in scopes {
            if !once.contains(&scope) {
                once.push(scope);
            }
        }
        Ok(once)
    }
}

/// RFC 9207: the answer comes from the authorization server that was asked.
fn check_issuer(login: &Login, issuer: Option<&str>) -> Result<(), OAuthError> {
    match issuer {
        Some(issuer) if issuer == login.issuer => Ok(()),
        None if !login.requires_issuer => Ok(()),
        Some(_) | None => Err(OAuthError::Refused(
            "this login was not answered by the server that was asked: it is refused".to_owned(),
        )),
    }
}

fn refusal(label: &str, error: &str) -> String {
    if error == "access_denied" {
        return format!("{label} was not connected: the login was refused there");
    }
    let error: String = error.chars().filter(char::is_ascii_graphic).take(60).collect();
    format!("{label} was not connected: its login ended with `{error}`")
}

/// 256 random bits, in characters that a URL may have.
pub(super) fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// As PKCE's S256.
pub(super) fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

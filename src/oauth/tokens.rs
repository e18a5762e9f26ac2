//! A user's tokens: had, refreshed once, and given up when their server takes them no more.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};
use url::Url;

use crate::{
    chatkit::now,
    config::SECRET_CHARACTERS,
    store::{Sealed, SealedKind},
    user::UserKey,
    vault::VaultError,
};

use super::{
    Client, OAuth, OAuthError, Proof, Target,
    challenge::Challenge,
    http::{ClientProof, Door, origin},
};

/// What a login gave, sealed.
#[derive(Serialize, Deserialize)]
pub struct Tokens {
    /// The URL of the server that they may be sent to.
    pub audience: String,
    pub resource: Option<String>,
    /// What they are good for.
    pub scopes: Vec<String>,
    pub issuer: String,
    pub token_endpoint: Url,
    pub client: Client,
    pub redirect_uri: Url,
    /// What the server wanted since, beside the scopes.
    pub wanted: Vec<String>,
    /// None: nobody knows.
    pub expires_at: Option<Timestamp>,
    pub access_token: String,
    pub refresh_token: Option<String>,
}

/// What a token endpoint answers.
#[derive(Deserialize)]
pub struct TokenAnswer {
    pub access_token: String,
    token_type: Option<String>,
    expires_in: Option<f64>,
    pub refresh_token: Option<String>,
    /// Of an identity provider: who logged in.
    pub id_token: Option<String>,
    scope: Option<String>,
    /// What kind of token it is, where it was exchanged (RFC 8693 §2.2.1).
    pub issued_token_type: Option<String>,
}

/// Why there are no tokens.
pub enum TokenError {
    /// By the error code of RFC 6749 §5.2.
    Refused(String),
    Unavailable(String),
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
}

/// Refreshed this much before they end, or a tenth of their time.
const EARLY: SignedDuration = SignedDuration::from_secs(30);

/// Longer than a refresh may take: see `http::TIMEOUT`.
const LEASE: SignedDuration = SignedDuration::from_secs(45);

/// How often another process's refresh is looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl OAuth {
    /// The user's access token, refreshed where it has to be.
    pub async fn access_token(
        &self,
        target: &Target,
        user: &UserKey,
    ) -> Result<SecretString, OAuthError> {
        let needed = || OAuthError::LoginNeeded(target.label.clone());
        let tokens = self.find_tokens(target, user).await?.ok_or_else(needed)?;
        if !tokens.wanted.is_empty() {
            return Err(needed());
        }
        if tokens.is_fresh() {
            return Ok(tokens.access_token.into());
        }
        let (oauth, target, user) = (self.clone(), target.clone(), user.clone());
        // A refresh token is spent once it was sent: nobody who turns away takes the new one along.
        let task = self.shared.tasks.spawn(async move { oauth.refresh_once(&target, &user).await });
        task.await.unwrap_or_else(|_| Err(OAuthError::Unavailable("the refresh failed".to_owned())))
    }

    /// Whether the user is logged in, as far as is known without asking.
    pub async fn is_logged_in(&self, target: &Target, user: &UserKey) -> Result<bool, OAuthError> {
        let tokens = self.find_tokens(target, user).await?;
        Ok(tokens.is_some_and(|it| {
            it.wanted.is_empty() && (it.refresh_token.is_some() || it.is_fresh())
        }))
    }

    /// Takes note that the server did not take `token`: it is refreshed when it is next asked for, or the user has to
    /// log in with what the server wants.
    pub async fn reject(
        &self,
        target: &Target,
        user: &UserKey,
        token: &SecretString,
        challenge: Option<&Challenge>,
    ) -> Result<(), OAuthError> {
        let vault = self.shared.vault.of(user);
        let Some(found) = vault.find(SealedKind::Tokens, &target.key).await? else {
            return Ok(());
        };
        let Some(mut tokens) = Tokens::parse(&found.text) else { return Ok(()) };
        // There is a newer one already.
        if tokens.access_token != token.expose_secret() {
            return Ok(());
        }
        match challenge {
            Some(challenge) if challenge.error.as_deref() == Some("insufficient_scope") => {
                tokens.wanted = challenge.scopes.clone();
                if tokens.wanted.is_empty() {
                    tokens.wanted = tokens.scopes.clone();
                }
            }
            Some(_) | None => tokens.expires_at = Some(Timestamp::UNIX_EPOCH),
        }
        vault.replace(&found.sealed, &tokens.to_text(), None).await?;
        Ok(())
    }

    /// Logs the user out of the target, as far as this server goes; says whether they were logged in.
    pub async fn forget(&self, target_key: &str, user: &UserKey) -> Result<bool, OAuthError> {
        Ok(self.shared.vault.of(user).forget(SealedKind::Tokens, target_key).await?)
    }

    pub(super) async fn find_tokens(
        &self,
        target: &Target,
        user: &UserKey,
    ) -> Result<Option<Tokens>, OAuthError> {
        Ok(self.load_tokens(target, user).await?.map(|(tokens, _)| tokens))
    }

    /// Those of another URL are none: they would go to whom they were not made for.
    async fn load_tokens(
        &self,
        target: &Target,
        user: &UserKey,
    ) -> Result<Option<(Tokens, Sealed)>, OAuthError> {
        let found = match self.shared.vault.of(user).find(SealedKind::Tokens, &target.key).await {
            Ok(found) => found,
            Err(err @ VaultError::Unreadable { .. }) => {
                warn!("a login has to be done again: {err}");
                None
            }
            Err(err) => return Err(err.into()),
        };
        Ok(found
            .and_then(|it| Some((Tokens::parse(&it.text)?, it.sealed)))
            .filter(|(tokens, _)| tokens.audience == target.audience()))
    }

    /// Refreshes, or waits for who does.
    async fn refresh_once(
        &self,
        target: &Target,
        user: &UserKey,
    ) -> Result<SecretString, OAuthError> {
        let turnstile = self.turnstile(user, &target.key);
        let _here = turnstile.lock().await;
        let store = self.shared.vault.store().of(user);
        let holder = uuid::Uuid::new_v4().simple().to_string();
        let needed = || OAuthError::LoginNeeded(target.label.clone());
        loop {
            let (tokens, _) = self.load_tokens(target, user).await?.ok_or_else(needed)?;
            if !tokens.wanted.is_empty() {
                return Err(needed());
            }
            if tokens.is_fresh() {
                return Ok(tokens.access_token.into());
            }
            let until = now() + LEASE;
            let leased = store.lease_sealed(SealedKind::Tokens, &target.key, &holder, until).await;
            if leased.map_err(VaultError::from)? {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let result = self.refresh(target, user).await;
        let released = store.release_sealed(SealedKind::Tokens, &target.key, &holder).await;
        released.map_err(VaultError::from)?;
        result
    }

    /// The holder of the lease refreshes. What it read before it had the lease may be spent.
    async fn refresh(&self, target: &Target, user: &UserKey) -> Result<SecretString, OAuthError> {
        let needed = || OAuthError::LoginNeeded(target.label.clone());
        let (mut tokens, sealed) = self.load_tokens(target, user).await?.ok_or_else(needed)?;
        if tokens.is_fresh() {
            return Ok(tokens.access_token.into());
        }
        let vault = self.shared.vault.of(user);
        let Some(refresh_token) = tokens.refresh_token.clone() else {
            vault.delete(&sealed).await?;
            return Err(needed());
        };
        let client = current_client(target, &tokens);
        let mut fields =
            vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
        if let Some(resource) = &tokens.resource {
            fields.push(("resource", resource));
        }
        let door = self.http.for_resource(target.base());
        let answer = match ask_for_tokens(door, &tokens.token_endpoint, Some(&client), fields).await
        {
            Ok(answer) => answer,
            Err(err) => {
                if err.is_final() {
                    info!(server = %target.label, "a login at {} has ended: its user has to log in again", target.label);
                    if err.is_about_client() {
                        self.forget_client(&tokens.issuer, tokens.redirect_uri.as_str()).await?;
                    }
                    vault.delete(&sealed).await?;
                    return Err(needed());
                }
                return Err(err.into_error(&target.label));
            }
        };
        tokens.client = client;
        tokens.expires_at = answer.expires_at();
        tokens.scopes = answer.scopes().unwrap_or(tokens.scopes);
        tokens.access_token = answer.access_token;
        // A server that keeps the old one sends none.
        tokens.refresh_token = answer.refresh_token.or(Some(refresh_token));
        if !vault.replace(&sealed, &tokens.to_text(), None).await? {
            // The user logged in again, or out, meanwhile.
            let (newer, _) = self.load_tokens(target, user).await?.ok_or_else(needed)?;
            return Ok(newer.access_token.into());
        }
        Ok(tokens.access_token.into())
    }

    fn turnstile(&self, user: &UserKey, key: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.shared.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, it| it.strong_count() > 0);
        let entry = all.entry((user.clone(), key.to_owned())).or_default();
        if let Some(turnstile) = entry.upgrade() {
            return turnstile;
        }
        let turnstile = Arc::default();
        *entry = Arc::downgrade(&turnstile);
        turnstile
    }
}

impl Tokens {
    fn parse(text: &SecretString) -> Option<Self> {
        serde_json::from_str(text.expose_secret()).ok()
    }

    pub fn to_text(&self) -> SecretString {
        serde_json::to_string(self).expect("texts can be written as JSON").into()
    }

    fn is_fresh(&self) -> bool {
        self.expires_at.is_none_or(|it| it > now())
    }
}

impl TokenAnswer {
    /// When it should be refreshed.
    pub fn expires_at(&self) -> Option<Timestamp> {
        let seconds = self.expires_in.filter(|it| it.is_finite() && *it >= 0.0)?;
        let lifetime = SignedDuration::try_from_secs_f64(seconds.min(1e9)).ok()?;
        Some(now() + lifetime - EARLY.min(lifetime / 10))
    }

    /// None: those that were asked for.
    pub fn scopes(&self) -> Option<Vec<String>> {
        let scope = self.scope.as_deref().filter(|it| !it.trim().is_empty())?;
        Some(scope.split_whitespace().map(str::to_owned).collect())
    }
}

impl TokenError {
    /// Whether the same request would be refused again.
    fn is_final(&self) -> bool {
        match self {
            Self::Refused(code) => {
                ["invalid_grant", "invalid_client", "unauthorized_client"].contains(&code.as_str())
            }
            Self::Unavailable(_) => false,
        }
    }

    /// Whether the server does not know us any more.
    pub fn is_about_client(&self) -> bool {
        matches!(self, Self::Refused(code) if ["invalid_client", "unauthorized_client"].contains(&code.as_str()))
    }

    pub fn into_error(self, label: &str) -> OAuthError {
        match self {
            Self::Refused(code) => {
                OAuthError::Refused(format!("{label} gives no token: it answers `{code}`"))
            }
            Self::Unavailable(problem) => OAuthError::Unavailable(problem),
        }
    }
}

/// Asks a token endpoint, as this client or as nobody. Nothing of what it answers is shown beside the error's code.
pub async fn ask_for_tokens(
    door: &Door,
    endpoint: &Url,
    client: Option<&Client>,
    mut fields: Vec<(&str, &str)>,
) -> Result<TokenAnswer, TokenError> {
    let proof = match client.map(|it| (it, it.proof, &it.secret)) {
        None => ClientProof::None,
        Some((client, Proof::Basic, Some(secret))) => ClientProof::Basic(&client.id, secret),
        Some((client, Proof::Post, Some(secret))) => {
            fields.extend([("client_id", client.id.as_str()), ("client_secret", secret)]);
            ClientProof::None
        }
        Some((client, Proof::None | Proof::Basic | Proof::Post, _)) => {
            fields.push(("client_id", &client.id));
            ClientProof::None
        }
    };
    let answer = door.post_form(endpoint, proof, &fields).await.map_err(TokenError::Unavailable)?;
    if !answer.status.is_success() {
        let status = answer.status.as_u16();
        return Err(match serde_json::from_slice::<ErrorAnswer>(&answer.body) {
            Ok(ErrorAnswer { error }) if answer.status.is_client_error() => {
                TokenError::Refused(code(&error, &fields))
            }
            Ok(_) | Err(_) => {
                TokenError::Unavailable(format!("`{}` answers with {status}", origin(endpoint)))
            }
        });
    }
    let answer: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_| {
        TokenError::Unavailable(format!("`{}` answers without a token", origin(endpoint)))
    })?;
    let is_bearer = answer.token_type.as_deref().is_none_or(|it| it.eq_ignore_ascii_case("bearer"));
    if !is_bearer || answer.access_token.chars().count() < SECRET_CHARACTERS {
        return Err(TokenError::Refused("no_bearer_token".to_owned()));
    }
    Ok(answer)
}

/// The error's code, if it is one: not what was sent, said back.
fn code(error: &str, fields: &[(&str, &str)]) -> String {
    let is_code = (1..=40).contains(&error.len())
        && error.bytes().all(|it| it.is_ascii_alphabetic() || it == b'_');
    let is_sent = fields.iter().any(|(_, sent)| sent.contains(error));
    if is_code && !is_sent { error.to_owned() } else { "an unknown error".to_owned() }
}

/// Of a client that the operator registered the secret may have been changed.
fn current_client(target: &Target, tokens: &Tokens) -> Client {
    let mut client = tokens.client.clone();
    if let Some(registered) = target.client.as_ref().filter(|it| it.id == client.id) {
        client.secret = registered.secret.as_ref().map(|it| it.expose_secret().to_owned());
    }
    client
}

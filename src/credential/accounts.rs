//! What users give themselves: what they enter, and what comes of their logins elsewhere.

use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use url::Url;

use super::{Connect, CredentialError, Secret, Source};
use crate::{
    config::OAuthConfig,
    context::RequestContext,
    oauth::{At, Challenge, OAuth, OAuthError, Preregistered, Shared, Target},
    store::SealedKind,
    user::{User, UserKey},
    vault::{Vault, VaultError},
};

/// What users give themselves, of one generation.
#[derive(Clone)]
pub struct Accounts {
    pub oauth: OAuth,
    pub logins: Arc<Shared>,
    pub public_url: Url,
}

/// What an `[oauth]` credential has its users log in to.
pub fn target(name: &str, config: &OAuthConfig) -> Target {
    Target {
        key: Target::of_credential(name),
        label: config.label.clone().unwrap_or_else(|| name.to_owned()),
        at: At::Issuer { issuer: config.issuer.clone(), resource: config.resource.clone() },
        scopes: config.scopes.clone(),
        client: config.client_id.clone().map(|id| {
            let secret = config.client_secret.clone();
            Preregistered { id, secret }
        }),
    }
}

impl Accounts {
    pub fn vault(&self) -> &Vault {
        self.logins.vault()
    }

    /// A credential that the user enters.
    pub fn entered(&self, name: &str, label: Option<&str>) -> Box<dyn Source> {
        let label = label.unwrap_or(name).to_owned();
        let connect = Connect { label, link: self.page("/credentials") };
        Box::new(Entered { name: name.to_owned(), vault: self.vault().clone(), connect })
    }

    /// The access token of a login.
    pub fn login(&self, target: Target) -> Box<dyn Source> {
        Box::new(Login { accounts: self.clone(), target })
    }

    /// Where this user begins the login of this key.
    pub fn link(&self, key: &str, user: &UserKey) -> String {
        self.page(&format!("/oauth/start/{key}?for={}", for_user(user)))
    }

    fn page(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

/// Tells whose a link is, and nothing else of them.
pub fn for_user(user: &UserKey) -> String {
    let digest = Sha256::digest(format!("link:{}", user.as_str()));
    format!("{digest:x}")[..16].to_owned()
}

struct Entered {
    name: String,
    vault: Vault,
    connect: Connect,
}

impl Source for Entered {
    fn fetch<'a>(
        &'a self,
        context: &'a RequestContext,
    ) -> BoxFuture<'a, Result<Secret, CredentialError>> {
        Box::pin(async move {
            let user = user(&self.name, context)?;
            match self.vault.of(&user.key).find(SealedKind::Entered, &self.name).await {
                Ok(Some(opened)) => Ok(Secret::from(opened.text)),
                Ok(None) | Err(VaultError::Unreadable { .. }) => {
                    Err(CredentialError::Needed(self.connect.clone()))
                }
                Err(err) => Err(unusable(&self.name, &err)),
            }
        })
    }

    fn has<'a>(&'a self, context: &'a RequestContext) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Some(user) = &context.user else { return false };
            let rows = self.vault.store().of(&user.key);
            let found = rows.find_sealed(SealedKind::Entered, &self.name).await;
            found.is_ok_and(|it| it.is_some())
        })
    }

    fn expires(&self) -> bool {
        false
    }
}

struct Login {
    accounts: Accounts,
    target: Target,
}

impl Source for Login {
    fn fetch<'a>(
        &'a self,
        context: &'a RequestContext,
    ) -> BoxFuture<'a, Result<Secret, CredentialError>> {
        Box::pin(async move {
            let user = user(&self.target.label, context)?;
            match self.accounts.oauth.access_token(&self.target, &user.key).await {
                Ok(token) => Ok(Secret::from(token)),
                Err(OAuthError::LoginNeeded(_)) => Err(CredentialError::Needed(Connect {
                    label: self.target.label.clone(),
                    link: self.accounts.link(&self.target.key, &user.key),
                })),
                Err(err) => Err(unusable(&self.target.label, &err)),
            }
        })
    }

    fn has<'a>(&'a self, context: &'a RequestContext) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Some(user) = &context.user else { return false };
            let state = self.accounts.oauth.is_logged_in(&self.target, &user.key).await;
            state.unwrap_or(false)
        })
    }

    fn reject<'a>(
        &'a self,
        context: &'a RequestContext,
        token: &'a Secret,
        challenge: &'a str,
    ) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let Some(user) = &context.user else { return false };
            let challenge = Challenge::parse([challenge]);
            let token = SecretString::from(token.expose().to_owned());
            let noted =
                self.accounts.oauth.reject(&self.target, &user.key, &token, challenge.as_ref());
            if let Err(err) = noted.await {
                tracing::warn!(server = %self.target.label, "a token that was not taken is kept: {err}");
            }
            true
        })
    }
}

pub fn user<'a>(name: &str, context: &'a RequestContext) -> Result<&'a User, CredentialError> {
    context.user.as_ref().ok_or_else(|| CredentialError::Missing {
        credential: name.to_owned(),
        reason: "nobody is logged in".to_owned(),
    })
}

pub fn unusable(name: &str, err: &dyn std::error::Error) -> CredentialError {
    CredentialError::Unusable { credential: name.to_owned(), reason: err.to_string() }
}

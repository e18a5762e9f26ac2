//! Named secrets: where they come from, where they may go, what stands for them meanwhile.
//!
//! A secret is fetched at the moment of its use and goes to the wire; a model gets a handle in its place
//! ([`Seals`]), and what comes back is freed of it ([`Scrubber`]).

mod accounts;
mod exchanged;
mod own_login;
mod pass;
mod scrub;
mod seals;
mod secret;
mod source;
mod template;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    config::{Config, CredentialConfig, CredentialSource, SECRET_CHARACTERS},
    context::{RequestContext, SecretNames},
    load_error::LoadError,
    oauth::{OAuth, Shared, Target},
};

pub use self::{
    accounts::{Accounts, for_user},
    own_login::{OwnLogin, Wanted},
    pass::{Connection, Outgoing, PassRules, Pending},
    scrub::Scrubber,
    seals::{Found, InPrompt, Seals},
    secret::Secret,
    source::Source,
};

/// The credentials that kitfox.toml names, of one generation.
pub struct Credentials {
    by_name: BTreeMap<String, Credential>,
    secret_names: SecretNames,
    /// `[mcp] allow_plaintext`
    allow_plaintext: bool,
    accounts: Accounts,
}

struct Credential {
    config: CredentialConfig,
    source: Box<dyn Source>,
}

/// Why a secret does not go where it was to go. Its text is for the model: it names the credential and
/// never holds the secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Whoever asks has none.
    #[error("the user has no credential `{credential}`: {reason}")]
    Missing { credential: String, reason: String },
    /// Whoever asks has none, and can give it.
    #[error("{0}")]
    Needed(Connect),
    /// There is one, and it cannot be used.
    #[error("the credential `{credential}` cannot be used: {reason}")]
    Unusable { credential: String, reason: String },
    /// It was asked for where it must not go, or not in the way that is declared.
    #[error("{0}")]
    Refused(String),
}

/// What a user is asked to give, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the user has not connected {label} yet: they do so at {link}")]
pub struct Connect {
    /// What it is for, as people call it.
    pub label: String,
    /// A page of this server.
    pub link: String,
}

impl Credentials {
    pub fn new(config: &Config, logins: &Arc<Shared>) -> Self {
        let is_local = config.server.listens_on_loopback();
        let accounts = Accounts {
            oauth: OAuth::new(logins.clone(), &config.mcp.allow, is_local),
            logins: logins.clone(),
            public_url: config.server.public_url.clone(),
        };
        let mut secret_names = SecretNames::default();
        let mut by_name = BTreeMap::new();
        for (name, config) in &config.credentials {
            match &config.source {
                CredentialSource::Request { header } => {
                    secret_names.headers.push(header.to_lowercase());
                }
                CredentialSource::Login { field } => secret_names.fields.push(field.clone()),
                CredentialSource::Exchange(_) => {
                    secret_names.fields.push(exchanged::ACCESS_TOKEN.to_owned());
                }
                CredentialSource::Store { .. }
                | CredentialSource::Static { .. }
                | CredentialSource::OAuth(_) => (),
            }
            let source = source::of(name, config, &accounts);
            by_name.insert(name.clone(), Credential { config: config.clone(), source });
        }
        let allow_plaintext = config.mcp.allow_plaintext;
        Self { by_name, secret_names, allow_plaintext, accounts }
    }

    /// What keeps users from entering what they are to enter.
    pub fn problem(&self) -> Option<LoadError> {
        let is_kept = |it: &Credential| {
            matches!(it.config.source, CredentialSource::Store { .. } | CredentialSource::OAuth(_))
        };
        let problem = || self.accounts.logins.vault().keys().check().err();
        let err = self.by_name.values().any(is_kept).then(problem)??;
        Some(LoadError::new("kitfox.toml", err.to_string()))
    }

    /// What users give themselves.
    pub const fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The credentials that users enter, with what people call them.
    pub fn entered(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_name.iter().filter_map(|(name, it)| match &it.config.source {
            CredentialSource::Store { label } => {
                Some((name.as_str(), label.as_deref().unwrap_or(name)))
            }
            CredentialSource::Login { .. }
            | CredentialSource::Request { .. }
            | CredentialSource::Static { .. }
            | CredentialSource::OAuth(_)
            | CredentialSource::Exchange(_) => None,
        })
    }

    /// What users log in to for credentials, not for MCP servers.
    pub fn targets(&self) -> impl Iterator<Item = Target> {
        self.by_name.iter().filter_map(|(name, it)| match &it.config.source {
            CredentialSource::OAuth(config) => Some(accounts::target(name, config)),
            CredentialSource::Login { .. }
            | CredentialSource::Request { .. }
            | CredentialSource::Static { .. }
            | CredentialSource::Store { .. }
            | CredentialSource::Exchange(_) => None,
        })
    }

    /// What of a request is taken for them.
    pub const fn secret_names(&self) -> &SecretNames {
        &self.secret_names
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// What prompts see where there is no turn.
    pub fn absent(&self) -> Map<String, Value> {
        self.names().map(|name| (name.to_owned(), Value::Null)).collect()
    }

    /// The secret of whoever sent this request, for use at once.
    pub async fn fetch(
        &self,
        name: &str,
        context: &RequestContext,
    ) -> Result<Secret, CredentialError> {
        let Some(credential) = self.by_name.get(name) else {
            return Err(CredentialError::Refused(format!(
                "there is no credential `{name}`: add `[credentials.{name}]` to kitfox.toml"
            )));
        };
        let secret = credential.source.fetch(context).await?;
        long_enough(name, secret)
    }

    /// Whether [`Self::fetch`] would give one.
    pub async fn has(&self, name: &str, context: &RequestContext) -> bool {
        match self.by_name.get(name) {
            Some(credential) => credential.source.has(context).await,
            None => false,
        }
    }

    /// Whether the operator lets it go there: `destination` is the id of an MCP server, or a host.
    pub fn may_go(&self, name: &str, destination: &str) -> bool {
        let credential = self.by_name.get(name);
        credential.is_some_and(|it| it.config.destinations.iter().any(|it| it == destination))
    }

    /// The header in which it goes to hosts, with `{}` in place of the secret.
    pub fn send(&self, name: &str) -> Option<&(String, String)> {
        self.by_name.get(name)?.config.send.as_ref()
    }

    fn find(&self, name: &str) -> Option<&Credential> {
        self.by_name.get(name)
    }
}

#[cfg(test)]
mod tests;

/// What is shorter cannot be told from other text (mcp.md §4).
fn long_enough(name: &str, secret: Secret) -> Result<Secret, CredentialError> {
    if secret.expose().chars().count() < SECRET_CHARACTERS {
        return Err(CredentialError::Unusable {
            credential: name.to_owned(),
            reason: format!("it has fewer than {SECRET_CHARACTERS} characters"),
        });
    }
    Ok(secret)
}

use futures::future::BoxFuture;
use secrecy::SecretString;

use super::{Accounts, CredentialError, Secret, accounts, exchanged::Exchanged};
use crate::{
    config::{CredentialConfig, CredentialSource},
    context::RequestContext,
};

/// Where one credential comes from.
///
/// A source is made with its generation and asked at each use, so it may refresh, exchange or look up: what
/// it needs beside the request (the store, a key, a client) it holds itself.
// A trait because there are several, and who passes a secret on must not know which.
pub trait Source: Send + Sync {
    /// The secret of whoever sent this request. Whoever has none gets [`CredentialError::Missing`].
    fn fetch<'a>(
        &'a self,
        context: &'a RequestContext,
    ) -> BoxFuture<'a, Result<Secret, CredentialError>>;

    /// Whether [`Self::fetch`] would give one; asked at the beginning of each turn whose prompt may name
    /// it, so it neither refreshes nor exchanges.
    fn has<'a>(&'a self, context: &'a RequestContext) -> BoxFuture<'a, bool> {
        Box::pin(async move { self.fetch(context).await.is_ok() })
    }

    /// Takes note that a server did not take this secret, and of what it wants (`WWW-Authenticate`). Says whether
    /// something else comes of it when it is fetched again.
    fn reject<'a>(
        &'a self,
        _context: &'a RequestContext,
        _secret: &'a Secret,
        _challenge: &'a str,
    ) -> BoxFuture<'a, bool> {
        Box::pin(std::future::ready(false))
    }

    /// Whether all have the same secret.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether the secret ends by itself: one that does not is never shown to a model.
    fn expires(&self) -> bool {
        true
    }
}

/// The source that kitfox.toml names.
pub fn of(name: &str, config: &CredentialConfig, accounts: &Accounts) -> Box<dyn Source> {
    let name = name.to_owned();
    match &config.source {
        CredentialSource::Static { value } => Box::new(Static { value: Secret::from(value) }),
        CredentialSource::Request { header } => {
            Box::new(Request { name, header: header.clone(), key: header.to_lowercase() })
        }
        CredentialSource::Login { field } => Box::new(Login { name, field: field.clone() }),
        CredentialSource::Store { label } => accounts.entered(&name, label.as_deref()),
        CredentialSource::OAuth(config) => accounts.login(accounts::target(&name, config)),
        CredentialSource::Exchange(config) => {
            Box::new(Exchanged::new(name, config, accounts.oauth.clone()))
        }
    }
}

/// One for all, from kitfox.toml.
struct Static {
    value: Secret,
}

impl Source for Static {
    fn fetch<'a>(
        &'a self,
        _context: &'a RequestContext,
    ) -> BoxFuture<'a, Result<Secret, CredentialError>> {
        Box::pin(std::future::ready(Ok(self.value.clone())))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn expires(&self) -> bool {
        false
    }
}

/// A header of the chat request.
struct Request {
    name: String,
    header: String,
    key: String,
}

impl Source for Request {
    fn fetch<'a>(
        &'a self,
        context: &'a RequestContext,
    ) -> BoxFuture<'a, Result<Secret, CredentialError>> {
        let found = context.secrets.headers.get(&self.key).and_then(|value| {
            if self.key == "authorization" {
                without_bearer(value)
            } else {
                Some(Secret::from(value))
            }
        });
        let missing = || CredentialError::Missing {
            credential: self.name.clone(),
            reason: format!("the page sent no header `{}`", self.header),
        };
        Box::pin(std::future::ready(found.ok_or_else(missing)))
    }
}

/// What follows `Bearer`, whose case does not matter.
fn without_bearer(value: &SecretString) -> Option<Secret> {
    let value = Secret::from(value);
    let text = value.expose();
    let token = match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => return None,
    };
    (!token.is_empty()).then(|| Secret::from(token.to_owned()))
}

/// A field of the verified login.
struct Login {
    name: String,
    field: String,
}

impl Source for Login {
    fn fetch<'a>(
        &'a self,
        context: &'a RequestContext,
    ) -> BoxFuture<'a, Result<Secret, CredentialError>> {
        let found = context.secrets.login.get(&self.field).map(Secret::from);
        let missing = || CredentialError::Missing {
            credential: self.name.clone(),
            reason: format!("the login gave no `{}`", self.field),
        };
        Box::pin(std::future::ready(found.ok_or_else(missing)))
    }
}

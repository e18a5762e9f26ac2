//! OAuth 2.1 per user: logins at the servers that tools need, and the tokens that come of them.
//!
//! A login belongs to the user and the browser that began it. Tokens are sealed in the vault, and are refreshed once,
//! whoever asks. What a user's login here is exchanged for is kept in memory alone.

mod challenge;
mod client;
mod discovery;
mod exchange;
mod http;
mod login;
mod sign_in;
#[cfg(test)]
mod tests;
mod tokens;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;
use url::Url;

use crate::{
    user::UserKey,
    vault::{Vault, VaultError},
};

pub use self::{
    challenge::Challenge,
    client::{ClientPlaces, metadata_document},
    exchange::{Exchange, ExchangeAt},
    login::{Begun, Callback, Finished, cookie_name},
    sign_in::{IdentityProvider, SignIn, SignedIn},
};
use self::{exchange::Exchanges, http::Http};

/// Logins and tokens, by the rules of one generation. Clones share them.
#[derive(Clone)]
pub struct OAuth {
    shared: Arc<Shared>,
    http: Arc<Http>,
}

/// What lasts as long as the process.
pub struct Shared {
    vault: Vault,
    /// A refresh that was sent is finished, though nobody waits for it any more.
    tasks: TaskTracker,
    refreshing: Mutex<Refreshing>,
    exchanged: Mutex<Exchanges>,
}

/// Whose tokens of what are being refreshed: one at a time.
type Refreshing = HashMap<(UserKey, String), Weak<tokio::sync::Mutex<()>>>;

/// What a user may log in to.
#[derive(Clone)]
pub struct Target {
    /// What its tokens are kept as: see [`Target::of_server`] and [`Target::of_credential`].
    pub key: String,
    /// What the user is told it is.
    pub label: String,
    pub at: At,
    /// None: what the server asks for.
    pub scopes: Vec<String>,
    /// None: this server makes itself known.
    pub client: Option<Preregistered>,
}

/// Where a login begins.
#[derive(Clone)]
pub enum At {
    /// At this MCP server, which says who its authorization server is.
    Resource(Url),
    /// At this MCP server, of which nobody said that it has logins: only as it says itself, by its protected
    /// resource metadata.
    Challenged {
        resource: Url,
        /// None: it has not asked for a login yet.
        challenge: Option<Challenge>,
    },
    /// At this authorization server, for what is named here.
    Issuer { issuer: Url, resource: Option<String> },
}

/// What the operator registered at the authorization server.
#[derive(Clone)]
pub struct Preregistered {
    pub id: String,
    pub secret: Option<SecretString>,
}

/// What an authorization server knows this one as.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Client {
    id: String,
    secret: Option<String>,
    proof: Proof,
}

/// How a client shows that it is the one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Proof {
    None,
    Basic,
    Post,
}

#[derive(Debug, thiserror::Error)]
pub enum OAuthError {
    /// The user has to log in (again).
    #[error("the user is not logged in to {0}")]
    LoginNeeded(String),
    /// It is not as it has to be: trying again does not help.
    #[error("{0}")]
    Refused(String),
    /// It may work later.
    #[error("{0}")]
    Unavailable(String),
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Shared {
    pub fn new(vault: Vault, tasks: TaskTracker) -> Arc<Self> {
        Arc::new(Self { vault, tasks, refreshing: Mutex::default(), exchanged: Mutex::default() })
    }

    /// Over this store, with keys that go with the test.
    #[cfg(test)]
    pub fn of_tests(store: &crate::store::Store) -> Arc<Self> {
        let key = crate::vault::Key::generate().line();
        let keys = secrecy::ExposeSecret::expose_secret(&key);
        let keys = crate::vault::Keys::new(Some(keys), std::path::PathBuf::new(), false);
        Self::new(Vault::new(store.clone(), keys), TaskTracker::new())
    }

    pub const fn vault(&self) -> &Vault {
        &self.vault
    }
}

impl OAuth {
    /// `allow`: `[mcp] allow`. `is_local`: whether servers nearby may be asked too.
    pub fn new(shared: Arc<Shared>, allow: &[String], is_local: bool) -> Self {
        Self { shared, http: Arc::new(Http::new(allow, is_local)) }
    }
}

impl Target {
    /// The key of an MCP server's tokens.
    pub fn of_server(id: &str) -> String {
        format!("mcp:{id}")
    }

    /// The key of a credential's tokens.
    pub fn of_credential(name: &str) -> String {
        format!("credential:{name}")
    }

    /// The URL that tokens of this target may be sent to, as they are bound to it.
    fn audience(&self) -> &str {
        match &self.at {
            At::Resource(url) | At::Challenged { resource: url, .. } => url.as_str(),
            At::Issuer { issuer, .. } => issuer.as_str(),
        }
    }

    /// Which addresses may be asked depends on it.
    const fn base(&self) -> &Url {
        match &self.at {
            At::Resource(url) | At::Challenged { resource: url, .. } => url,
            At::Issuer { issuer, .. } => issuer,
        }
    }

    /// Whether it is known to have logins.
    pub const fn has_logins(&self) -> bool {
        !matches!(self.at, At::Challenged { challenge: None, .. })
    }
}

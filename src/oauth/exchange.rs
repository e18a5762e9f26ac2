//! What a user's login here is exchanged for: tokens for other servers (RFC 8693).

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use futures::{
    FutureExt,
    future::{self, BoxFuture},
};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{chatkit::now, user::UserKey};

use super::{
    Client, OAuth, OAuthError, Preregistered, Proof,
    client::with_secret,
    discovery::load_token_endpoint,
    http::origin,
    tokens::{TokenError, ask_for_tokens},
};

/// What logins are exchanged for, and where.
#[derive(Clone)]
pub struct Exchange {
    pub at: ExchangeAt,
    /// What the token is to be for, and good for.
    pub audience: Option<String>,
    pub resource: Option<String>,
    pub scopes: Vec<String>,
    /// None: nobody is asked who they are.
    pub client: Option<Preregistered>,
}

#[derive(Clone)]
pub enum ExchangeAt {
    /// At the token endpoint that the metadata of this authorization server name.
    Issuer(Url),
    TokenEndpoint(Url),
}

/// By what was asked for and by whom: what came of it, or is on its way.
pub type Exchanges = HashMap<[u8; 32], Flight>;

/// Whoever comes while it is on its way waits for the same answer.
type Flight = future::Shared<BoxFuture<'static, Result<Exchanged, Arc<OAuthError>>>>;

#[derive(Clone)]
pub struct Exchanged {
    token: SecretString,
    use_until: Timestamp,
}

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// How long a token is used of which nobody says when it ends.
const UNKNOWN: SignedDuration = SignedDuration::from_secs(60);
/// Tokens that are kept at one time.
const MOST: usize = 10_000;

impl OAuth {
    /// What the user's login is exchanged for: asked for once, and kept until shortly before it ends.
    pub async fn exchange(
        &self,
        exchange: &Exchange,
        user: &UserKey,
        login: &SecretString,
    ) -> Result<SecretString, Arc<OAuthError>> {
        let key = exchange.key(user, login);
        loop {
            let (flight, is_mine) = self.flight(key, exchange, login);
            let exchanged = flight.await?;
            // Of one that nobody waited for, the answer may be old.
            if is_mine || exchanged.use_until > now() {
                return Ok(exchanged.token);
            }
        }
    }

    /// Takes note that `token` was not taken; says whether it is exchanged anew when it is next asked for.
    pub fn reject_exchanged(
        &self,
        exchange: &Exchange,
        user: &UserKey,
        login: &SecretString,
        token: &str,
    ) -> bool {
        let key = exchange.key(user, login);
        let mut all = self.shared.exchanged.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&key).and_then(future::Shared::peek) {
            Some(Ok(known)) if known.token.expose_secret() == token => {
                all.remove(&key);
                true
            }
            // There is a newer one, or one is on its way.
            Some(_) | None => all.contains_key(&key),
        }
    }

    fn flight(&self, key: [u8; 32], exchange: &Exchange, login: &SecretString) -> (Flight, bool) {
        let mut all = self.shared.exchanged.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = all.get(&key).filter(|it| is_good(it)) {
            return (flight.clone(), false);
        }
        if all.len() >= MOST {
            all.retain(|_, it| is_good(it));
        }
        if all.len() >= MOST {
            all.clear();
        }
        let (oauth, exchange, login) = (self.clone(), exchange.clone(), login.clone());
        // It goes on though whoever began it turns away.
        let task = self.shared.tasks.spawn(async move { oauth.ask(&exchange, &login).await });
        let failed = || OAuthError::Unavailable("the exchange failed".to_owned());
        let flight = async move { task.await.unwrap_or_else(|_| Err(failed())).map_err(Arc::new) };
        let flight = flight.boxed().shared();
        all.insert(key, flight.clone());
        (flight, true)
    }

    async fn ask(
        &self,
        exchange: &Exchange,
        login: &SecretString,
    ) -> Result<Exchanged, OAuthError> {
        let door = self.http.for_resource(exchange.base());
        let (endpoint, methods) = match &exchange.at {
            ExchangeAt::Issuer(issuer) => load_token_endpoint(door, issuer).await?,
            ExchangeAt::TokenEndpoint(url) => (url.clone(), None),
        };
        let client = exchange.client.as_ref().map(|it| Client {
            id: it.id.clone(),
            secret: it.secret.as_ref().map(|it| it.expose_secret().to_owned()),
            proof: match it.secret {
                Some(_) => with_secret(methods.as_deref()),
                None => Proof::None,
            },
        });
        let scope = exchange.scopes.join(" ");
        let mut fields = vec![
            ("grant_type", GRANT_TYPE),
            ("subject_token", login.expose_secret()),
            ("subject_token_type", ACCESS_TOKEN),
            ("requested_token_type", ACCESS_TOKEN),
        ];
        let more = [("audience", &exchange.audience), ("resource", &exchange.resource)];
        fields.extend(more.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))));
        if !scope.is_empty() {
            fields.push(("scope", &scope));
        }
        let refused = |problem: &str| {
            OAuthError::Refused(format!(
                "`{}` does not exchange the login for one: {problem}",
                origin(&endpoint)
            ))
        };
        let answer = match ask_for_tokens(door, &endpoint, client.as_ref(), fields).await {
            Ok(answer) => answer,
            Err(TokenError::Refused(code)) => {
                return Err(refused(&format!("it answers `{code}`")));
            }
            Err(TokenError::Unavailable(problem)) => return Err(OAuthError::Unavailable(problem)),
        };
        let kind = answer.issued_token_type.as_deref();
        if kind.is_some_and(|it| it != ACCESS_TOKEN && it != JWT) {
            return Err(refused("what it gives is no access token"));
        }
        // It would go where the login must not.
        if answer.access_token == login.expose_secret() {
            return Err(refused("it gives the login itself back"));
        }
        let use_until = answer.expires_at().unwrap_or_else(|| now() + UNKNOWN);
        Ok(Exchanged { token: answer.access_token.into(), use_until })
    }
}

impl Exchange {
    /// Which addresses may be asked depends on it.
    const fn base(&self) -> &Url {
        match &self.at {
            ExchangeAt::Issuer(url) | ExchangeAt::TokenEndpoint(url) => url,
        }
    }

    /// Another login of the same user may not be good for as much.
    fn key(&self, user: &UserKey, login: &SecretString) -> [u8; 32] {
        let at = match &self.at {
            ExchangeAt::Issuer(url) => ["issuer", url.as_str()],
            ExchangeAt::TokenEndpoint(url) => ["endpoint", url.as_str()],
        };
        let said = |it: &Option<String>| it.clone().unwrap_or_default();
        let client = self.client.as_ref();
        let secret = client.and_then(|it| it.secret.as_ref());
        let scopes = self.scopes.join(" ");
        let parts = [
            at[0],
            at[1],
            &said(&self.audience),
            &said(&self.resource),
            &scopes,
            client.map_or("", |it| it.id.as_str()),
            secret.map_or("", |it| it.expose_secret()),
            user.as_str(),
            login.expose_secret(),
        ];
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

/// Whether it is on its way, or can be used.
fn is_good(flight: &Flight) -> bool {
    match flight.peek() {
        None => true,
        Some(Ok(exchanged)) => exchanged.use_until > now(),
        Some(Err(_)) => false,
    }
}

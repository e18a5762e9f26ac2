//! Logins at an identity provider, by the browser (`OpenID` Connect Core 1.0, authorization code with PKCE).
//!
//! A login is a row of the store, so that it ends for all replicas at once, when its user logs out or an operator says
//! so. The browser has a random secret, of which the store has the hash; what the provider said of the user is sealed.

mod state;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use axum::http::{HeaderMap, HeaderValue};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tracing::warn;
use url::Url;

use crate::{
    app::Generation,
    chatkit::now,
    config::{AuthMode, OidcConfig, ServerConfig},
    oauth::{At, Callback, IdentityProvider, OAuth, OAuthError, Preregistered, Shared, Target},
    server::{
        Server,
        auth::{
            Caller,
            cookie::Cookie,
            jwt::{self, Verifier},
            session::SessionKey,
        },
        credentials::vault_error,
        error::{ApiError, Login},
    },
    store::{self, SealedKind},
    user::User,
    vault::VaultError,
};

use self::state::{Begun, MINUTES, cookie_name};

/// What the provider says of itself is asked for again after this, and used no longer than that if it does not answer.
const FRESH: Duration = Duration::from_mins(10);
const USABLE: Duration = Duration::from_hours(24);
/// How exactly it is known when a login was used last.
const SEEN_WITHIN: SignedDuration = SignedDuration::from_secs(60);

const COOKIE: &str = "kitfox_user";

/// The claim of an ID token that is not one of the user's.
const PROTOCOL_CLAIMS: &[&str] = &["nonce", "at_hash", "c_hash", "azp"];

/// The provider of the configuration in force.
#[derive(Default)]
pub struct Providers(ArcSwapOption<Provider>);

/// An identity provider, as this server's users log in to it.
pub struct Provider {
    config: OidcConfig,
    redirect_uri: Url,
    verifier: Verifier,
    oauth: OAuth,
    known: Mutex<Option<(Instant, Arc<IdentityProvider>)>>,
}

/// A login that began: where its browser goes, and what it keeps.
pub struct Leaving {
    pub url: Url,
    pub cookie: HeaderValue,
}

/// A login that came to its end: where its browser goes on, and what it keeps from now on.
pub struct Arrived {
    pub next: String,
    pub cookies: Vec<HeaderValue>,
}

/// Why a login came to nothing.
pub enum Refusal {
    /// What people are told.
    Login(String),
    Api(ApiError),
}

/// What is kept of a login, sealed.
#[derive(Serialize, Deserialize)]
struct Known {
    issuer: String,
    client_id: String,
    since: Timestamp,
    claims: Map<String, Value>,
    /// The provider may want to see it when its user logs out.
    id_token: String,
}

impl Providers {
    /// The provider of this generation; none where nobody logs in to one.
    pub fn of(&self, generation: &Generation) -> Option<Arc<Provider>> {
        let config = &generation.config;
        let oidc = config.auth.oidc.as_ref();
        let oidc = oidc.filter(|_| config.auth.modes.contains(&AuthMode::Oidc))?;
        let redirect_uri = below(&config.server, "/auth/callback");
        let is_same = |it: &Arc<Provider>| it.config == *oidc && it.redirect_uri == redirect_uri;
        if let Some(provider) = self.0.load_full().filter(is_same) {
            return Some(provider);
        }
        let logins = &generation.host.credentials.accounts().logins;
        let provider = Arc::new(Provider::new(oidc.clone(), redirect_uri, logins));
        self.0.store(Some(provider.clone()));
        Some(provider)
    }
}

impl Provider {
    fn new(config: OidcConfig, redirect_uri: Url, logins: &Arc<Shared>) -> Self {
        Self {
            verifier: Verifier::new(config.tokens.clone()),
            oauth: OAuth::of_identity(logins.clone()),
            known: Mutex::default(),
            config,
            redirect_uri,
        }
    }

    /// What the provider says of itself, asked for once in a while.
    async fn load(&self) -> Result<Arc<IdentityProvider>, OAuthError> {
        let mut known = self.known.lock().await;
        let age = known.as_ref().map(|(since, _)| since.elapsed());
        if let Some((_, provider)) = known.as_ref().filter(|_| age.is_some_and(|it| it < FRESH)) {
            return Ok(provider.clone());
        }
        match self.oauth.load_provider(&self.config.tokens.issuer).await {
            Ok(provider) => {
                let provider = Arc::new(provider);
                *known = Some((Instant::now(), provider.clone()));
                Ok(provider)
            }
            Err(err) => match known.as_ref().filter(|_| age.is_some_and(|it| it < USABLE)) {
                Some((_, provider)) => {
                    warn!("the identity provider is taken as it was: {err}");
                    Ok(provider.clone())
                }
                None => Err(err),
            },
        }
    }

    /// What the tokens of this login are kept as, and where they come from.
    fn target(&self, login: &str) -> Result<Target, OAuthError> {
        let issuer = &self.config.tokens.issuer;
        let url = Url::parse(issuer);
        let issuer = url.map_err(|_| OAuthError::Refused(format!("`{issuer}` is no URL")))?;
        let (id, secret) = (self.config.client_id.clone(), self.config.client_secret.clone());
        Ok(Target {
            key: store::Login::tokens_name(login),
            label: self.config.label.clone(),
            at: At::Issuer { issuer, resource: None },
            scopes: self.config.scopes.clone(),
            client: Some(Preregistered { id, secret }),
        })
    }

    /// Begins a login that is to lead to `next`.
    pub async fn begin(&self, server: &Server, next: String) -> Result<Leaving, Refusal> {
        let provider = self.load().await.map_err(refuse)?;
        let target = self.target("").map_err(refuse)?;
        let (url, sign_in) = provider.begin(&target, &self.redirect_uri, &self.config.parameters);
        let key = server.sessions.key(&server.app.store).await.map_err(Refusal::Api)?;
        let name = cookie_name(&sign_in.state);
        let begun = Begun::new(sign_in, next, &self.config.tokens.issuer, &self.config.client_id);
        let config = server.app.generation().config.clone();
        let seconds = u64::try_from(MINUTES * 60).unwrap_or_default();
        let cookie = Cookie::new(&name, &config.server).set(&begun.sign(key), seconds);
        Ok(Leaving { url, cookie })
    }

    /// Ends the login that `callback` belongs to, if this browser began it.
    pub async fn finish(
        &self,
        server: &Server,
        headers: &HeaderMap,
        callback: &Callback,
    ) -> Result<Arrived, Refusal> {
        let generation = server.app.generation();
        let config = &generation.config.server;
        let key = server.sessions.key(&server.app.store).await.map_err(Refusal::Api)?;
        let state = callback.state.as_deref().unwrap_or_default();
        let (begun, spent) = self.find_begun(config, headers, state, key)?;
        let provider = self.load().await.map_err(refuse)?;
        if !provider.is_answer(callback.iss.as_deref()) {
            return Err(told(
                "this login was answered by another identity provider than was asked",
            ));
        }
        if let Some(error) = &callback.error {
            return Err(told(match error.as_str() {
                "access_denied" => "the identity provider did not let you in",
                _ => "the identity provider ended the login with an error",
            }));
        }
        let code = callback.code.as_deref().filter(|it| !it.is_empty());
        let code = code.ok_or_else(|| told("the identity provider sent no code back"))?;
        let target = self.target("").map_err(refuse)?;
        let signed_in = self
            .oauth
            .redeem(&provider, &target, &self.redirect_uri, &begun.sign_in, code)
            .await
            .map_err(refuse)?;
        let mut claims = self.verifier.check(&signed_in.id_token).await.map_err(|err| {
            if err.status.is_server_error() {
                return Refusal::Api(err);
            }
            told(&format!("the identity provider's ID token does not count: {}", err.message()))
        })?;
        check_claims(&claims, &begun.sign_in.nonce, &self.config.client_id)?;
        let more = self.oauth.user_info(&provider, &signed_in).await;
        // OpenID Connect Core 1.0 §5.3.2: what is said of somebody else must not be used.
        if more.get("sub") == claims.get("sub") {
            for (name, value) in more {
                claims.entry(name).or_insert(value);
            }
        }
        claims.retain(|name, _| !PROTOCOL_CLAIMS.contains(&name.as_str()));
        let user = self.user(&claims).map_err(|problem| told(&problem))?;

        let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
        let id = login_id(&secret);
        if is_token_wanted(&generation) {
            let target = self.target(&id).map_err(refuse)?;
            let id_token = signed_in.id_token.clone();
            let kept = self
                .oauth
                .keep_tokens(&provider, &target, &user.key, &self.redirect_uri, signed_in)
                .await;
            kept.map_err(refuse)?;
            self.keep(server, &id, &user, claims, id_token).await?;
        } else {
            self.keep(server, &id, &user, claims, signed_in.id_token).await?;
        }
        // Whoever was logged in before in this browser is so no longer.
        if let Err(err) = self.end_current(server, headers, config).await {
            warn!("a login that was replaced goes on until it ends by itself: {}", err.message());
        }
        let seconds = self.config.lifetime.as_secs();
        let cookies = vec![Cookie::new(COOKIE, config).set(&secret, seconds), spent];
        Ok(Arrived { next: begun.next, cookies })
    }

    /// What the browser remembers of the login with this state, and the cookie that makes it forget.
    fn find_begun(
        &self,
        config: &ServerConfig,
        headers: &HeaderMap,
        state: &str,
        key: &SessionKey,
    ) -> Result<(Begun, HeaderValue), Refusal> {
        let name = cookie_name(state);
        let cookie = Cookie::new(&name, config);
        let begun = cookie.find(headers).and_then(|it| Begun::verify(it, key));
        let begun = begun.filter(|it| it.sign_in.state == state).ok_or_else(|| {
            told("this login was not begun in this browser, was used already, or took too long")
        })?;
        if begun.issuer != self.config.tokens.issuer || begun.client_id != self.config.client_id {
            return Err(told("users log in elsewhere since this login was begun"));
        }
        Ok((begun, cookie.clear()))
    }

    fn user(&self, claims: &Map<String, Value>) -> Result<User, String> {
        let tokens = &self.config.tokens;
        // Anybody can claim an address at many providers.
        if tokens.claims.user == "email"
            && claims.get("email_verified") == Some(&Value::Bool(false))
        {
            return Err("your e-mail address is not verified at the identity provider".to_owned());
        }
        jwt::user("oidc", claims, tokens)
    }

    async fn keep(
        &self,
        server: &Server,
        id: &str,
        user: &User,
        claims: Map<String, Value>,
        id_token: String,
    ) -> Result<(), Refusal> {
        let now = now();
        let issuer = self.config.tokens.issuer.clone();
        let client_id = self.config.client_id.clone();
        let known = Known { issuer, client_id, since: now, claims, id_token };
        let text = serde_json::to_string(&known).expect("JSON can be written as JSON");
        let vault = server.app.logins.vault().of(&user.key);
        let content = vault.seal(SealedKind::Login, id, &text.into()).await;
        let content = content.map_err(|err| Refusal::Api(vault_error(err)))?;
        let lifetime = SignedDuration::try_from(self.config.lifetime);
        let expires_at = now.saturating_add(lifetime.unwrap_or(SignedDuration::MAX));
        let expires_at = expires_at.unwrap_or(Timestamp::MAX);
        let owner = user.key.clone();
        let login = store::Login { id: id.to_owned(), owner, content, seen_at: now, expires_at };
        server.app.store.add_login(&login).await.map_err(|err| Refusal::Api(err.into()))
    }

    /// Whose login this browser has; none where it has none. One that has ended is not as good as none.
    pub async fn find_caller(
        &self,
        server: &Server,
        generation: &Generation,
        headers: &HeaderMap,
    ) -> Result<Option<Caller>, ApiError> {
        let config = &generation.config.server;
        let Some(secret) = Cookie::new(COOKIE, config).find(headers) else { return Ok(None) };
        let ended =
            || ApiError::login_without_token(Login::Expired, "your login has ended: sign in again");
        let id = login_id(secret);
        let Some(login) = server.app.store.find_login(&id).await? else { return Err(ended()) };
        let now = now();
        let unused = now.duration_since(login.seen_at);
        if now >= login.expires_at || is_over(unused, self.config.idle_timeout) {
            return Err(ended());
        }
        let Some(known) = open(server, &login).await? else { return Err(ended()) };
        let is_ours = known.issuer == self.config.tokens.issuer
            && known.client_id == self.config.client_id
            && !is_over(now.duration_since(known.since), self.config.lifetime);
        // Under the configuration of now, the claims may name another user, or none.
        let user = self.user(&known.claims).ok().filter(|it| is_ours && it.key == login.owner);
        let Some(user) = user else { return Err(ended()) };
        if unused > SEEN_WITHIN.min(quarter(self.config.idle_timeout)) {
            server.app.store.touch_login(&id, now).await?;
        }
        let access_token = self.access_token(generation, &id, &user).await;
        Ok(Some(Caller {
            user,
            method: AuthMode::Oidc,
            session_id: None,
            access_token,
            set_cookie: None,
        }))
    }

    /// The login's access token, where a credential names it and the provider gave one.
    async fn access_token(
        &self,
        generation: &Generation,
        id: &str,
        user: &User,
    ) -> Option<SecretString> {
        if !is_token_wanted(generation) {
            return None;
        }
        match self.oauth.access_token(&self.target(id).ok()?, &user.key).await {
            Ok(token) => Some(token),
            // It ended at the provider, or was not kept: the credential says so.
            Err(OAuthError::LoginNeeded(_)) => None,
            Err(err) => {
                warn!("a login's access token is not to be had: {err}");
                None
            }
        }
    }

    /// Logs this browser out: the cookie that makes it forget, and where it says so to the provider.
    pub async fn end(
        &self,
        server: &Server,
        headers: &HeaderMap,
    ) -> Result<(HeaderValue, Option<Url>), ApiError> {
        let config = server.app.generation().config.clone();
        let known = self.end_current(server, headers, &config.server).await?;
        let cookie = Cookie::new(COOKIE, &config.server).clear();
        let Some(known) = known else { return Ok((cookie, None)) };
        // Who cannot be asked is not told: here the user is logged out.
        let provider = self.load().await.ok();
        let end = provider.and_then(|it| it.end_session_endpoint.clone()).map(|mut url| {
            url.query_pairs_mut()
                .append_pair("client_id", &self.config.client_id)
                .append_pair("id_token_hint", &known.id_token)
                .append_pair("post_logout_redirect_uri", config.server.public_url.as_str());
            url
        });
        Ok((cookie, end))
    }

    /// Ends the login of this browser, if there is one.
    async fn end_current(
        &self,
        server: &Server,
        headers: &HeaderMap,
        config: &ServerConfig,
    ) -> Result<Option<Known>, ApiError> {
        let Some(secret) = Cookie::new(COOKIE, config).find(headers) else { return Ok(None) };
        let id = login_id(secret);
        let store = &server.app.store;
        let Some(login) = store.find_login(&id).await? else { return Ok(None) };
        store.delete_login(&id, &login.owner).await?;
        let known = open(server, &login).await?;
        Ok(known.filter(|it| it.issuer == self.config.tokens.issuer))
    }
}

/// What the ID token has to say beside what every token has (`OpenID` Connect Core 1.0 §3.1.3.7).
fn check_claims(claims: &Map<String, Value>, nonce: &str, client_id: &str) -> Result<(), Refusal> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let problem = if text("nonce") != Some(nonce) {
        "it was made for another login (`nonce`)"
    } else if text("sub").is_none_or(str::is_empty) {
        "it names nobody (`sub`)"
    } else if claims.get("iat").and_then(Value::as_f64).is_none() {
        "it does not say since when it counts (`iat`)"
    } else if claims.get("azp").is_some_and(|it| it.as_str() != Some(client_id)) {
        "it was made for another client (`azp`)"
    } else if is_for_several(claims) && text("azp").is_none() {
        "it is for several clients, and does not say which one asked (`azp`)"
    } else {
        return Ok(());
    };
    Err(told(&format!("the identity provider's ID token does not count: {problem}")))
}

fn is_for_several(claims: &Map<String, Value>) -> bool {
    claims.get("aud").and_then(Value::as_array).is_some_and(|it| it.len() > 1)
}

/// None: the key is gone that it was sealed with.
async fn open(server: &Server, login: &store::Login) -> Result<Option<Known>, ApiError> {
    let vault = server.app.logins.vault().of(&login.owner);
    match vault.unseal(SealedKind::Login, &login.id, &login.content).await {
        Ok(text) => Ok(serde_json::from_str(text.expose_secret()).ok()),
        Err(VaultError::Unreadable { .. }) => Ok(None),
        Err(err) => Err(vault_error(err)),
    }
}

/// Whether the operator has a use for the login's own token: what nobody needs is not kept.
fn is_token_wanted(generation: &Generation) -> bool {
    let names = generation.host.credentials.secret_names();
    names.fields.iter().any(|it| it == super::ACCESS_TOKEN)
}

/// What the store knows a login by.
fn login_id(secret: &str) -> String {
    format!("{:x}", Sha256::digest(secret))
}

fn is_over(time: SignedDuration, limit: Duration) -> bool {
    SignedDuration::try_from(limit).is_ok_and(|limit| time > limit)
}

fn quarter(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time / 4).unwrap_or(SignedDuration::MAX)
}

/// A path below the public URL.
pub fn below(config: &ServerConfig, path: &str) -> Url {
    let mut url = config.public_url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.set_path(&format!("{}{path}", config.public_url.path().trim_end_matches('/')));
    url
}

fn told(problem: &str) -> Refusal {
    Refusal::Login(problem.to_owned())
}

fn refuse(err: OAuthError) -> Refusal {
    match err {
        OAuthError::Refused(problem) | OAuthError::Unavailable(problem) => Refusal::Login(problem),
        OAuthError::LoginNeeded(_) => Refusal::Login(err.to_string()),
        OAuthError::Vault(err) => Refusal::Api(vault_error(err)),
    }
}

impl std::fmt::Debug for Providers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Providers").finish_non_exhaustive()
    }
}

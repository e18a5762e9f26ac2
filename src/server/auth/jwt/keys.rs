//! The keys of an issuer (RFC 7517), fetched when they are needed and kept while they are fresh.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    jwk::{AlgorithmParameters, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use crate::config::{JwtConfig, JwtKeys};

/// Keys that were fetched are fetched again after this, beside requests that go on with the old ones.
const FETCHED_FRESH: Duration = Duration::from_mins(10);
/// The same for a file, which costs nothing to look at.
const FILE_FRESH: Duration = Duration::from_secs(5);
/// Keys that cannot be fetched again are used no longer than this.
const USABLE: Duration = Duration::from_hours(24);
/// Tokens with made-up ids of keys make us fetch no more often: so many times in so long.
const MOST_TRIES: u32 = 3;
const TRIES_WITHIN: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 1 << 20;
/// Of keys without an id, so many are tried.
const MOST_CANDIDATES: usize = 8;

pub struct KeySet {
    source: JwtKeys,
    issuer: String,
    current: ArcSwapOption<Keys>,
    /// Held while keys are fetched.
    tries: Mutex<Tries>,
}

/// How often it was tried to fetch them.
#[derive(Default)]
struct Tries {
    /// When counting began.
    since: Option<Instant>,
    count: u32,
}

/// Why there are none.
#[derive(Debug)]
pub struct NoKeys {
    pub problem: String,
}

struct Keys {
    keys: Vec<Key>,
    since: Instant,
}

struct Key {
    id: Option<String>,
    /// What it is for, where it says so.
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
}

impl KeySet {
    pub fn new(config: &JwtConfig) -> Self {
        Self {
            source: config.keys.clone(),
            issuer: config.issuer.clone(),
            current: ArcSwapOption::empty(),
            tries: Mutex::default(),
        }
    }

    /// The keys that may have signed a token with this header; none where there is no such key.
    pub async fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<DecodingKey>, NoKeys> {
        let keys = match self.current.load_full() {
            None => self.fetch_first().await?,
            Some(keys) if keys.since.elapsed() > self.fresh() => self.fetch_again(keys).await?,
            Some(keys) => keys,
        };
        let found = keys.find(id, algorithm);
        if !found.is_empty() {
            return Ok(found);
        }
        // An issuer may sign with a new key before we know of it.
        let mut tries = self.tries.lock().await;
        if tries.count_one()
            && let Err(err) = self.fetch().await
        {
            log(&err);
        }
        Ok(self.current.load().as_ref().map(|it| it.find(id, algorithm)).unwrap_or_default())
    }

    async fn fetch_first(&self) -> Result<Arc<Keys>, NoKeys> {
        let mut tries = self.tries.lock().await;
        // Somebody else may have fetched them meanwhile.
        if let Some(keys) = self.current.load_full() {
            return Ok(keys);
        }
        if !tries.count_one() {
            return Err(NoKeys { problem: "they could not be fetched a moment ago".to_owned() });
        }
        self.fetch().await
    }

    /// One request fetches, the others go on with what there is.
    async fn fetch_again(&self, keys: Arc<Keys>) -> Result<Arc<Keys>, NoKeys> {
        let is_usable = keys.since.elapsed() < USABLE;
        let Ok(mut tries) = self.tries.try_lock() else { return Ok(keys) };
        if is_usable && !tries.count_one() {
            return Ok(keys);
        }
        match self.fetch().await {
            Ok(keys) => Ok(keys),
            Err(err) if is_usable => {
                log(&err);
                Ok(keys)
            }
            Err(err) => Err(err),
        }
    }

    async fn fetch(&self) -> Result<Arc<Keys>, NoKeys> {
        let problem = |problem: String| NoKeys { problem };
        let set = match &self.source {
            JwtKeys::File(path) => read(path).await.map_err(problem)?,
            JwtKeys::Url(url) => fetch_json(url).await.map_err(problem)?,
            JwtKeys::Discovered => {
                let url = discover(&self.issuer).await.map_err(problem)?;
                fetch_json(&url).await.map_err(problem)?
            }
        };
        let keys = parse(set).map_err(problem)?;
        let keys = Arc::new(Keys { keys, since: Instant::now() });
        self.current.store(Some(keys.clone()));
        Ok(keys)
    }

    fn fresh(&self) -> Duration {
        match self.source {
            JwtKeys::File(_) => FILE_FRESH,
            JwtKeys::Url(_) | JwtKeys::Discovered => FETCHED_FRESH,
        }
    }
}

impl Tries {
    /// Whether it may be tried once more.
    fn count_one(&mut self) -> bool {
        if self.since.is_none_or(|it| it.elapsed() > TRIES_WITHIN) {
            *self = Self { since: Some(Instant::now()), count: 0 };
        }
        self.count += 1;
        self.count <= MOST_TRIES
    }
}

impl Keys {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<DecodingKey> {
        let fits = |key: &&Key| {
            id.is_none_or(|id| key.id.as_deref() == Some(id))
                && key.algorithm.is_none_or(|it| it == algorithm)
                && key.decoding.family().algorithms().contains(&algorithm)
        };
        self.keys.iter().filter(fits).take(MOST_CANDIDATES).map(|it| it.decoding.clone()).collect()
    }
}

fn log(err: &NoKeys) {
    tracing::warn!(
        "the keys of tokens were not fetched again, the old ones count: {}",
        err.problem
    );
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// Those that can verify a signature; what is for something else, or of a kind that is not known, is left out.
fn parse(set: Value) -> Result<Vec<Key>, String> {
    let set: Set = serde_json::from_value(set)
        .map_err(|_| "what was found is no set of keys (JWKS): it has no list `keys`".to_owned())?;
    let keys: Vec<Key> = set
        .keys
        .into_iter()
        .filter_map(|key| {
            let jwk: Jwk = serde_json::from_value(key).ok()?;
            if jwk.common.public_key_use.as_ref().is_some_and(|it| *it != PublicKeyUse::Signature)
                || matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_))
            {
                return None;
            }
            let algorithm = match &jwk.common.key_algorithm {
                Some(algorithm) => Some(algorithm.to_string().parse::<Algorithm>().ok()?),
                None => None,
            };
            let key = DecodingKey::from_jwk(&jwk).ok()?;
            (key.family() != AlgorithmFamily::Hmac).then_some(Key {
                id: jwk.common.key_id,
                algorithm,
                decoding: key,
            })
        })
        .collect();
    if keys.is_empty() {
        return Err("the set of keys has none that a token can be verified with".to_owned());
    }
    Ok(keys)
}

async fn read(path: &PathBuf) -> Result<Value, String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bytes = tokio::fs::read(path)
        .await
        .map_err(|err| format!("`{name}` cannot be read: {}", err.kind()))?;
    serde_json::from_slice(&bytes).map_err(|err| format!("`{name}` is not JSON: {err}"))
}

/// Where an issuer has its keys (OpenID Connect Discovery 1.0 §4).
async fn discover(issuer: &str) -> Result<Url, String> {
    let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let url = Url::parse(&address).map_err(|_| "`auth.jwt.issuer` is no URL".to_owned())?;
    let found = fetch_json(&url).await?;
    // Whoever answers there speaks for this issuer only (§4.3).
    if found.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(format!("{url} does not name `{issuer}` as its issuer, byte for byte"));
    }
    let keys = found.get("jwks_uri").and_then(Value::as_str).and_then(|it| Url::parse(it).ok());
    let keys = keys.ok_or_else(|| format!("{url} names no `jwks_uri`"))?;
    if keys.scheme() != "https" && url.scheme() == "https" {
        return Err(format!("{url} names a `jwks_uri` that is not https"));
    }
    Ok(keys)
}

async fn fetch_json(url: &Url) -> Result<Value, String> {
    let client = crate::model::client(TIMEOUT).map_err(|err| err.to_string())?;
    let fetch = async {
        let mut response =
            client.get(url.clone()).send().await.map_err(|err| err.without_url().to_string())?;
        if !response.status().is_success() {
            return Err(format!("it answered {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(bytes) =
            response.chunk().await.map_err(|err| err.without_url().to_string())?
        {
            body.extend_from_slice(&bytes);
            if body.len() > MOST_BYTES {
                return Err(format!("it sent more than {MOST_BYTES} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|_| "it did not answer with JSON".to_owned())
    };
    match tokio::time::timeout(TIMEOUT, fetch).await {
        Ok(result) => result.map_err(|problem| format!("{url}: {problem}")),
        Err(_) => Err(format!("{url} did not answer within {} s", TIMEOUT.as_secs())),
    }
}

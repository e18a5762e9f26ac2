use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, header::AUTHORIZATION},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use url::Url;

use crate::{chatkit::now, server::Verifiers};

/// An identity provider on loopback: it tells where its keys are, signs what a test wants, and lets users log in.
pub struct Issuer {
    pub url: String,
    keys: Arc<Mutex<Option<Value>>>,
    fetches: Arc<AtomicUsize>,
    provider: Arc<Mutex<Provider>>,
    server: tokio::task::JoinHandle<()>,
}

/// What it knows of logins.
#[derive(Default)]
struct Provider {
    url: String,
    /// In place of what is right.
    metadata: Map<String, Value>,
    id_token: Map<String, Value>,
    /// In place of the ID token.
    forged: Option<String>,
    user_info: Option<Value>,
    /// What was asked for, by code.
    codes: BTreeMap<String, BTreeMap<String, String>>,
    /// Of access tokens, in seconds.
    expires_in: Option<i64>,
    access: BTreeSet<String>,
    refresh: BTreeSet<String>,
    issued: usize,
    refreshes: usize,
}

/// The secret that it gave its client.
pub const CLIENT_SECRET: &str = "client-secret-0123456789";

impl Issuer {
    /// One that has a key of each kind, by the names of their files in `keys`.
    pub async fn start() -> Self {
        // Signatures are verified as by a server, though this is first to make some.
        drop(Verifiers::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(None));
        let fetches = Arc::new(AtomicUsize::new(0));
        let provider = Provider { url: url.clone(), ..Provider::default() };
        let provider = Arc::new(Mutex::new(provider));
        let (shown, counted) = (keys.clone(), fetches.clone());
        let fetch = async move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let keys: Option<Value> = shown.lock().unwrap().clone();
            keys.map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(fetch))
            .route("/token", post(token))
            .route("/userinfo", get(user_info))
            .with_state(provider.clone());
        #[expect(clippy::disallowed_methods, reason = "the test ends the server itself")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let issuer = Self { url, keys, fetches, provider, server };
        issuer.publish(&["rsa", "p256", "p384", "ed25519"]);
        issuer
    }

    /// Its keys from now on.
    pub fn publish(&self, names: &[&str]) {
        let keys: Vec<Value> = names.iter().map(|it| public_key(it)).collect();
        *self.keys.lock().unwrap() = Some(json!({ "keys": keys }));
    }

    /// It cannot be asked from now on.
    pub fn fail(&self) {
        *self.keys.lock().unwrap() = None;
    }

    /// How often its keys were fetched.
    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }

    /// kitfox.toml for a server whose users log in here.
    pub fn config(&self) -> String {
        let url = &self.url;
        format!("[auth.jwt]\nissuer = \"{url}\"\naudience = \"kitfox\"\nleeway = \"0s\"\n")
    }

    /// kitfox.toml for a server whose users log in here by their browsers, as a client with a secret.
    pub fn login_config(&self) -> String {
        let url = &self.url;
        format!(
            "[auth.oidc]\nissuer = \"{url}\"\nclient_id = \"kitfox\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
             label = \"Example\"\nleeway = \"0s\"\n"
        )
    }

    /// What happens in a browser that was sent here: the user with these claims agrees, and it is sent back to this URL.
    pub fn agree(&self, url: &Url, claims: &Value) -> Url {
        let mut query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(url.path(), "/authorize");
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["client_id"], "kitfox");
        assert_eq!(query["code_challenge_method"], "S256");
        assert!(query["scope"].split(' ').any(|it| it == "openid"));
        let mut provider = self.lock();
        provider.issued += 1;
        let code = format!("code-{}", provider.issued);
        let mut back = Url::parse(&query["redirect_uri"]).unwrap();
        back.query_pairs_mut()
            .append_pair("code", &code)
            .append_pair("state", &query["state"])
            .append_pair("iss", &self.url);
        query.insert("claims".to_owned(), claims.to_string());
        provider.codes.insert(code, query);
        back
    }

    /// Null puts what is right back.
    pub fn change_metadata(&self, key: &str, value: Value) {
        self.lock().metadata.insert(key.to_owned(), value);
    }

    /// Claims of the ID tokens to come, in place of those of the same name; null takes one away.
    pub fn change_id_tokens(&self, claims: &Value) {
        self.lock().id_token = claims.as_object().unwrap().clone();
    }

    /// What it gives as ID token from now on.
    pub fn forge_id_tokens(&self, token: Option<String>) {
        self.lock().forged = token;
    }

    pub fn say_of_users(&self, claims: Value) {
        self.lock().user_info = Some(claims);
    }

    /// How long the access tokens to come count, in seconds.
    pub fn set_expires_in(&self, seconds: i64) {
        self.lock().expires_in = Some(seconds);
    }

    /// No refresh token is good any more.
    pub fn revoke(&self) {
        self.lock().refresh.clear();
    }

    pub fn refreshes(&self) -> usize {
        self.lock().refreshes
    }

    fn lock(&self) -> MutexGuard<'_, Provider> {
        self.provider.lock().unwrap()
    }

    /// A good token, with other claims in place of those of the same name; null takes one away.
    pub fn token(&self, claims: Value) -> String {
        sign(&header(Algorithm::RS256, "rsa"), "rsa", &self.claims(claims))
    }

    pub fn claims(&self, other: Value) -> Value {
        let now = now().as_second();
        let claims = json!({
            "iss": self.url, "aud": ["kitfox", "other"], "sub": "ada", "exp": now + 300,
            "nbf": now - 10, "name": "Ada",
        });
        let (Value::Object(mut claims), Value::Object(other)) = (claims, other) else {
            panic!("claims are an object")
        };
        for (name, value) in other {
            claims.insert(name, value);
        }
        Value::Object(
            claims.into_iter().filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>(),
        )
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Shared = State<Arc<Mutex<Provider>>>;

async fn metadata(State(provider): Shared) -> Json<Value> {
    let provider = provider.lock().unwrap();
    let url = &provider.url;
    let mut metadata = json!({
        "issuer": url,
        "jwks_uri": format!("{url}/keys"),
        "authorization_endpoint": format!("{url}/authorize?tenant=1"),
        "token_endpoint": format!("{url}/token"),
        "userinfo_endpoint": format!("{url}/userinfo"),
        "end_session_endpoint": format!("{url}/logout"),
        "authorization_response_iss_parameter_supported": true,
    });
    for (key, value) in provider.metadata.iter().filter(|(_, value)| !value.is_null()) {
        metadata[key] = value.clone();
    }
    Json(metadata)
}

async fn token(State(provider): Shared, headers: HeaderMap, body: String) -> Response {
    let form: BTreeMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let refused =
        |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("kitfox:{CLIENT_SECRET}"));
    if headers.get(AUTHORIZATION).is_none_or(|it| *it != *format!("Basic {basic}")) {
        return refused("invalid_client");
    }
    let mut provider = provider.lock().unwrap();
    let mut answer =
        json!({ "token_type": "Bearer", "expires_in": provider.expires_in.unwrap_or(3600) });
    match form["grant_type"].as_str() {
        "authorization_code" => {
            // Once.
            let Some(asked) = provider.codes.remove(&form["code"]) else {
                return refused("invalid_grant");
            };
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
            if challenge != asked["code_challenge"] || form["redirect_uri"] != asked["redirect_uri"]
            {
                return refused("invalid_grant");
            }
            let now = now().as_second();
            let mut claims = json!({
                "iss": provider.url, "aud": "kitfox", "exp": now + 300, "iat": now,
                "nonce": asked["nonce"], "sub": "ada",
            });
            let own: Value = serde_json::from_str(&asked["claims"]).unwrap();
            for (name, value) in own.as_object().unwrap().iter().chain(&provider.id_token) {
                claims[name] = value.clone();
            }
            claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            let token = sign(&header(Algorithm::RS256, "rsa"), "rsa", &claims);
            answer["id_token"] = provider.forged.clone().unwrap_or(token).into();
        }
        "refresh_token" => {
            provider.refreshes += 1;
            if !provider.refresh.remove(&form["refresh_token"]) {
                return refused("invalid_grant");
            }
        }
        _ => return refused("unsupported_grant_type"),
    }
    provider.issued += 1;
    let (access, refresh) = (
        format!("access-SECRET-{}", provider.issued),
        format!("refresh-SECRET-{}", provider.issued),
    );
    provider.access.insert(access.clone());
    provider.refresh.insert(refresh.clone());
    answer["access_token"] = access.into();
    answer["refresh_token"] = refresh.into();
    Json(answer).into_response()
}

async fn user_info(State(provider): Shared, headers: HeaderMap) -> Response {
    let provider = provider.lock().unwrap();
    let token = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let token = token.strip_prefix("Bearer ").unwrap_or_default();
    match &provider.user_info {
        Some(claims) if provider.access.contains(token) => Json(claims).into_response(),
        Some(_) => StatusCode::UNAUTHORIZED.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

pub fn header(algorithm: Algorithm, key: &str) -> Header {
    Header { kid: Some(key.to_owned()), ..Header::new(algorithm) }
}

pub fn sign(header: &Header, key: &str, claims: &Value) -> String {
    jsonwebtoken::encode(header, claims, &private_key(key)).unwrap()
}

pub fn public_key(name: &str) -> Value {
    let algorithm = match name {
        "rsa" => Algorithm::RS256,
        "p256" => Algorithm::ES256,
        "p384" => Algorithm::ES384,
        _ => Algorithm::EdDSA,
    };
    let mut key = Jwk::from_encoding_key(&private_key(name), algorithm).unwrap();
    key.common.key_id = Some(name.to_owned());
    // As many issuers do, so that a key of RSA verifies RS256 and PS512.
    key.common.key_algorithm = None;
    json!(key)
}

fn private_key(name: &str) -> EncodingKey {
    match name {
        "rsa" => EncodingKey::from_rsa_pem(include_bytes!("keys/rsa.pem")),
        "p256" => EncodingKey::from_ec_pem(include_bytes!("keys/p256.pem")),
        "p384" => EncodingKey::from_ec_pem(include_bytes!("keys/p384.pem")),
        _ => EncodingKey::from_ed_pem(include_bytes!("keys/ed25519.pem")),
    }
    .unwrap()
}

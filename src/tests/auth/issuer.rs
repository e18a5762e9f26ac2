use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, http::StatusCode, routing::get};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::chatkit::now;

/// An identity provider on loopback: it tells where its keys are, and signs what a test wants.
pub struct Issuer {
    pub url: String,
    keys: Arc<Mutex<Option<Value>>>,
    fetches: Arc<AtomicUsize>,
    server: tokio::task::JoinHandle<()>,
}

impl Issuer {
    /// One that has a key of each kind, by the names of their files in `keys`.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys = Arc::new(Mutex::new(None));
        let fetches = Arc::new(AtomicUsize::new(0));
        let about = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let (shown, counted) = (keys.clone(), fetches.clone());
        let fetch = async move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let keys: Option<Value> = shown.lock().unwrap().clone();
            keys.map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(async || Json(about)))
            .route("/keys", get(fetch));
        #[expect(clippy::disallowed_methods, reason = "the test ends the server itself")]
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let issuer = Self { url, keys, fetches, server };
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

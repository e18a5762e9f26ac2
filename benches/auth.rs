//! What it costs to know a user by a JWT, with the issuer's keys at hand: `cargo bench --bench auth`.

use std::{fs, path::PathBuf, time::Duration};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use kitfox::{
    config::{ClaimNames, JwtConfig, JwtKeys},
    server::Verifiers,
};
use serde_json::json;
use tokio::runtime::Runtime;

/// Keys that nobody uses for anything else.
fn key(algorithm: Algorithm) -> EncodingKey {
    match algorithm {
        Algorithm::RS256 => {
            EncodingKey::from_rsa_pem(include_bytes!("../src/tests/auth/keys/rsa.pem"))
        }
        Algorithm::ES256 => {
            EncodingKey::from_ec_pem(include_bytes!("../src/tests/auth/keys/p256.pem"))
        }
        _ => EncodingKey::from_ed_pem(include_bytes!("../src/tests/auth/keys/ed25519.pem")),
    }
    .expect("the file holds a key")
}

fn config(keys: PathBuf) -> JwtConfig {
    JwtConfig {
        issuer: "https://login.example.com/".to_owned(),
        audience: vec!["kitfox".to_owned()],
        keys: JwtKeys::File(keys),
        algorithms: vec!["RS256", "ES256", "EdDSA"],
        leeway: Duration::ZERO,
        claims: ClaimNames::default(),
    }
}

/// A token as providers make them, different from all before it.
fn token(algorithm: Algorithm, key: &EncodingKey, number: u64) -> String {
    let claims = json!({
        "iss": "https://login.example.com/", "aud": ["kitfox"], "sub": "auth0|5f7c8ec7c33c6c004bbafe82",
        "exp": 4_102_444_800_u64, "iat": 1_700_000_000, "nbf": 1_700_000_000, "jti": number,
        "name": "Ada Lovelace", "email": "ada@example.com", "org": "example", "roles": ["staff", "operator"],
    });
    let header = Header { kid: Some(format!("{algorithm:?}")), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, &claims, key).expect("it is signed")
}

fn authentication(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    // As in a server: before anything else has to do with tokens.
    let verifiers = Verifiers::default();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jwks.json");
    let algorithms = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
    let public = algorithms.map(|algorithm| {
        let mut jwk = Jwk::from_encoding_key(&key(algorithm), algorithm).expect("a public key");
        jwk.common.key_id = Some(format!("{algorithm:?}"));
        jwk
    });
    fs::write(&path, json!({ "keys": public }).to_string()).expect("it is written");
    let verifier = verifiers.of(&config(path));

    let mut group = criterion.benchmark_group("jwt");
    for algorithm in algorithms {
        let key = key(algorithm);
        let known = token(algorithm, &key, 0);
        assert!(runtime.block_on(verifier.verify(&known)).is_ok(), "{algorithm:?}");
        // What a page sends with each request.
        group.bench_function(format!("{algorithm:?} again"), |bencher| {
            bencher.to_async(&runtime).iter(async || verifier.verify(&known).await.is_ok());
        });
        let mut number = 0;
        group.bench_function(format!("{algorithm:?} for the first time"), |bencher| {
            let next = || {
                number += 1;
                token(algorithm, &key, number)
            };
            bencher.to_async(&runtime).iter_batched(
                next,
                async |token| verifier.verify(&token).await.is_ok(),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, authentication);
criterion_main!(benches);

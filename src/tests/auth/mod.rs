//! Who is asking: tokens that the operator gave out, and those of an identity provider.

pub mod browser;
pub mod issuer;
mod oidc;
mod roles;
mod ways;

use axum::{
    body::Body,
    http::{Request, Response, StatusCode, header::WWW_AUTHENTICATE},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use insta::assert_snapshot;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    chatkit::now,
    tests::harness::{Server, text},
};

use self::issuer::{Issuer, header, public_key, sign};

const JWT: &[(&str, &str)] = &[("KITFOX_AUTH__MODE", "jwt")];

const WHO: &str = r#"
    route("GET", "/", |request, ctx| [ctx.user.id, ctx.user.name, ctx.user.org, ctx.user.roles]);
"#;

async fn start(issuer: &Issuer) -> Server {
    let config = issuer.config();
    Server::start_with(&[("kitfox.toml", &config), ("plugins/who.rhai", WHO)], JWT).await
}

async fn ask(server: &Server, token: Option<&str>) -> Response<Body> {
    let mut request = Request::get("/x/who/").header("host", "localhost");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    server.send(request.body(Body::empty()).unwrap()).await
}

/// The answer's status, what it says, and the challenge.
async fn shown(server: &Server, token: Option<&str>) -> String {
    let response = ask(server, token).await;
    let status = response.status().as_u16();
    let challenge = response.headers().get(WWW_AUTHENTICATE);
    let challenge = challenge.map(|it| format!(" ({})", it.to_str().unwrap())).unwrap_or_default();
    let body = text(response).await;
    let body = match serde_json::from_str::<Value>(&body) {
        Ok(Value::Object(body)) => format!("{}: {}", body["login"], body["message"]),
        _ => body,
    };
    format!("{status} {body}{challenge}").replace('"', "")
}

#[tokio::test]
async fn a_user_is_who_the_issuer_says() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let token = issuer.token(json!({ "org": "cats", "roles": ["staff"] }));
    assert_snapshot!(shown(&server, Some(&token)).await, @"200 [ada,Ada,cats,[staff]]");
    for _ in 0..20 {
        assert_eq!(ask(&server, Some(&token)).await.status(), StatusCode::OK);
    }
    assert_eq!(issuer.fetches(), 1);
    assert_snapshot!(shown(&server, None).await, @"401 missing: nobody is logged in: send `Authorization: Bearer …` with a token (Bearer)");
}

#[tokio::test]
async fn each_way_of_signing_with_a_private_key_counts() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let ways = [
        (Algorithm::RS256, "rsa"),
        (Algorithm::RS384, "rsa"),
        (Algorithm::RS512, "rsa"),
        (Algorithm::PS256, "rsa"),
        (Algorithm::PS384, "rsa"),
        (Algorithm::PS512, "rsa"),
        (Algorithm::ES256, "p256"),
        (Algorithm::ES384, "p384"),
        (Algorithm::EdDSA, "ed25519"),
    ];
    for (algorithm, key) in ways {
        let claims = issuer.claims(json!({ "sub": format!("{algorithm:?}") }));
        let token = sign(&header(algorithm, key), key, &claims);
        let expected = format!("200 [{algorithm:?},Ada,null,[]]");
        assert_eq!(shown(&server, Some(&token)).await, expected);
        // Without the id of its key it is one of those that fit.
        let mut header = header(algorithm, key);
        header.kid = None;
        let token = sign(&header, key, &claims);
        assert_eq!(shown(&server, Some(&token)).await, expected);
    }
}

#[tokio::test]
async fn claims_that_do_not_count_are_told_by_name() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let soon = now().as_second() + 100;
    let mut answers = Vec::new();
    for claims in [
        json!({ "exp": now().as_second() - 1 }),
        json!({ "exp": null }),
        json!({ "exp": "tomorrow" }),
        json!({ "nbf": soon }),
        json!({ "iss": "https://login.example.com/" }),
        json!({ "iss": null }),
        json!({ "aud": "other" }),
        json!({ "aud": null }),
        json!({ "sub": null }),
    ] {
        answers.push(shown(&server, Some(&issuer.token(claims))).await);
    }
    assert_snapshot!(answers.join("\n"), @"
    401 expired: the token has expired: log in again, or refresh it (Bearer error=invalid_token)
    401 invalid: the token has no claim `exp` (Bearer error=invalid_token)
    401 invalid: the token has no claim `exp` (Bearer error=invalid_token)
    401 invalid: the token does not count yet (`nbf`): see that clocks are right (Bearer error=invalid_token)
    401 invalid: the token is another issuer's (`iss`) (Bearer error=invalid_token)
    401 invalid: the token has no claim `iss` (Bearer error=invalid_token)
    401 invalid: the token is for another service (`aud`) (Bearer error=invalid_token)
    401 invalid: the token has no claim `aud` (Bearer error=invalid_token)
    401 invalid: the token's claim `sub`, which names the user, is no text (Bearer error=invalid_token)
    ");
}

/// RFC 8725 §§2.1, 3.1
#[tokio::test]
async fn a_forged_token_is_refused() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let claims = issuer.claims(json!({ "sub": "eve" }));
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let good = issuer.token(json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();

    // Nobody signed it.
    let none = format!("{}.{}.", part(&json!({ "alg": "none", "kid": "rsa" })), part(&claims));
    // The public key, which everybody has, as the secret of another algorithm.
    let modulus = public_key("rsa")["n"].as_str().unwrap().to_owned();
    let confused =
        [modulus.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(&modulus).unwrap()].map(|secret| {
            let key = EncodingKey::from_secret(&secret);
            jsonwebtoken::encode(&header(Algorithm::HS256, "rsa"), &claims, &key).unwrap()
        });
    // Another's content under a good signature, and a signature that is cut.
    let swapped = format!("{}.{}.{signature}", signed.split('.').next().unwrap(), part(&claims));
    let cut = format!("{signed}.{}", &signature[..signature.len() - 4]);
    // One key's id, another key's signature; and a key of its own in the header.
    let other_key = sign(&header(Algorithm::ES256, "rsa"), "p256", &claims);
    let mut own = header(Algorithm::EdDSA, "mine");
    own.jwk = serde_json::from_value(public_key("ed25519")).ok();
    issuer.publish(&["rsa", "p256"]);
    let own_key = sign(&own, "ed25519", &claims);
    let mut critical = header(Algorithm::RS256, "rsa");
    critical.crit = Some(vec!["b64".to_owned()]);
    let critical = sign(&critical, "rsa", &claims);

    let [confused, confused_bytes] = confused;
    for (attack, token) in [
        ("none", none),
        ("confused", confused),
        ("confused bytes", confused_bytes),
        ("swapped", swapped),
        ("cut", cut),
        ("other key", other_key),
        ("own key", own_key),
        ("critical", critical),
        ("no token", "abc".to_owned()),
        ("dots", "..".to_owned()),
    ] {
        let response = ask(&server, Some(&token)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{attack}");
        let body = text(response).await;
        assert!(!body.contains("eve"), "{attack}: {body}");
    }
    assert_eq!(ask(&server, Some(&good)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_new_key_counts_at_once_and_made_up_ones_cost_nothing() {
    let issuer = Issuer::start().await;
    issuer.publish(&["rsa"]);
    let server = start(&issuer).await;
    assert_eq!(ask(&server, Some(&issuer.token(json!({})))).await.status(), StatusCode::OK);
    issuer.publish(&["p256"]);
    let claims = issuer.claims(json!({}));
    let new = sign(&header(Algorithm::ES256, "p256"), "p256", &claims);
    assert_eq!(ask(&server, Some(&new)).await.status(), StatusCode::OK);
    assert_eq!(issuer.fetches(), 2);
    for number in 0..50 {
        let token = sign(&header(Algorithm::ES256, &format!("k{number}")), "p256", &claims);
        assert_eq!(ask(&server, Some(&token)).await.status(), StatusCode::UNAUTHORIZED);
    }
    assert!(issuer.fetches() <= 3, "{}", issuer.fetches());
}

#[tokio::test]
async fn without_its_issuer_a_token_is_neither_good_nor_bad() {
    let issuer = Issuer::start().await;
    issuer.fail();
    let server = start(&issuer).await;
    let token = issuer.token(json!({}));
    assert_eq!(ask(&server, Some(&token)).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    issuer.publish(&["rsa"]);
    assert_eq!(ask(&server, Some(&token)).await.status(), StatusCode::OK);
    // What is known stays known.
    issuer.fail();
    let other = issuer.token(json!({ "sub": "bob" }));
    assert_eq!(ask(&server, Some(&other)).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn keys_may_be_a_file_of_the_project() {
    let issuer = Issuer::start().await;
    let config = format!("{}keys = \"jwks.json\"\n", issuer.config());
    let keys =
        json!({ "keys": [public_key("rsa"), { "kty": "oct", "k": "c2VjcmV0" }] }).to_string();
    let files = [("kitfox.toml", config.as_str()), ("jwks.json", &keys), ("plugins/who.rhai", WHO)];
    let server = Server::start_with(&files, JWT).await;
    assert_eq!(ask(&server, Some(&issuer.token(json!({})))).await.status(), StatusCode::OK);
    assert_eq!(issuer.fetches(), 0);
}

#[tokio::test]
async fn a_token_that_is_refused_is_not_as_good_as_none() {
    let issuer = Issuer::start().await;
    let config = format!("[auth]\nmode = [\"jwt\", \"session\"]\n{}", issuer.config());
    let files = [("kitfox.toml", config.as_str()), ("plugins/who.rhai", WHO)];
    let modes = [("KITFOX_AUTH__MODE", "[\"jwt\", \"session\"]")];
    let server = Server::start_with(&files, &modes).await;
    assert_eq!(ask(&server, None).await.status(), StatusCode::OK);
    assert_snapshot!(shown(&server, Some("abc")).await, @"401 invalid: what was sent as a token is none (Bearer error=invalid_token)");
    let token = issuer.token(json!({}));
    assert_snapshot!(shown(&server, Some(&token)).await, @"200 [ada,Ada,null,[]]");
}

#[tokio::test]
async fn tokens_that_the_operator_gave_out_are_known_by_their_hash() {
    let config = r#"
        [auth.tokens.ci]
        hash = ["sha256:HASH", "sha256:0000000000000000000000000000000000000000000000000000000000000000"]
        name = "The build"
        roles = ["operator"]
    "#;
    let hash = Sha256::digest("kf-ci-secret");
    let hash = hash.iter().map(|it| format!("{it:02x}")).collect::<Vec<_>>().concat();
    let config = config.replace("HASH", &hash);
    let files = [("kitfox.toml", config.as_str()), ("plugins/who.rhai", WHO)];
    let server = Server::start_with(&files, &[("KITFOX_AUTH__MODE", "token")]).await;
    assert_snapshot!(shown(&server, Some("kf-ci-secret")).await, @"200 [ci,The build,null,[operator]]");
    assert_snapshot!(shown(&server, Some("kf-ci-secreT")).await, @"401 invalid: the token is nobody's (Bearer error=invalid_token)");
    assert_snapshot!(shown(&server, Some(&hash)).await, @"401 invalid: the token is nobody's (Bearer error=invalid_token)");
    assert_snapshot!(shown(&server, None).await, @"401 missing: nobody is logged in: send `Authorization: Bearer …` with a token (Bearer)");
    let operator = Request::get("/api/generation").header("host", "localhost");
    let operator = operator.header("authorization", "Bearer kf-ci-secret").body(Body::empty());
    assert_eq!(server.send(operator.unwrap()).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn clients_of_mcp_find_out_where_to_log_in() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let post = || {
        let request = Request::post("/mcp").header("host", "localhost");
        let request = request.header("content-type", "application/json");
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        request.body(Body::from(body.to_string())).unwrap()
    };
    let response = server.send(post()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        response.headers()[WWW_AUTHENTICATE],
        "Bearer resource_metadata=\"http://localhost:8000/.well-known/oauth-protected-resource/mcp\""
    );
    let mut wrong = post();
    wrong.headers_mut().insert("authorization", "Bearer x.y.z".parse().unwrap());
    let response = server.send(wrong).await;
    assert_eq!(
        response.headers()[WWW_AUTHENTICATE],
        "Bearer error=\"invalid_token\", \
         resource_metadata=\"http://localhost:8000/.well-known/oauth-protected-resource/mcp\""
    );
    let path = "/.well-known/oauth-protected-resource/mcp";
    let get = || Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
    let metadata: Value = serde_json::from_str(&text(server.send(get()).await).await).unwrap();
    assert_eq!(metadata["resource"], "http://localhost:8000/mcp");
    assert_eq!(metadata["authorization_servers"], json!([issuer.url]));
    // Where nobody logs in at an issuer there is nothing to find.
    let server = Server::start(&[]).await;
    assert_eq!(server.send(get()).await.status(), StatusCode::NOT_FOUND);
}

//! Logins at an identity provider by the browser, and those who would like to be somebody else.

use axum::{
    body::Body,
    http::{
        Request, Response, StatusCode,
        header::{LOCATION, SET_COOKIE},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use insta::assert_snapshot;
use jiff::ToSpan;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{
    chatkit::now,
    model::ScriptedResponse,
    store::{Login, SealedKind},
    tests::{
        harness::{Server, input, json_body, text},
        mcp::fake::Fake,
    },
    user::UserKey,
};

use super::{
    browser::{Browser, USER},
    issuer::{CLIENT_SECRET, Issuer, header, public_key, sign},
};

const OIDC: &[(&str, &str)] = &[("KITFOX_AUTH__MODE", "oidc")];

const WHO: &str = r#"
    route("GET", "/", |request, ctx| [ctx.user.id, ctx.user.name, ctx.user.org, ctx.user.roles]);
"#;

async fn start(issuer: &Issuer) -> Server {
    start_with(issuer, "").await
}

async fn start_with(issuer: &Issuer, config: &str) -> Server {
    let config = format!("{}{config}", issuer.login_config());
    Server::start_with(&[("kitfox.toml", &config), ("plugins/who.rhai", WHO)], OIDC).await
}

fn ada() -> Value {
    json!({ "sub": "ada", "name": "Ada", "org": "cats", "roles": ["staff"] })
}

/// Who the server takes the browser for, or why for nobody.
async fn who(server: &Server, browser: &mut Browser) -> String {
    let response = browser.get(server, "/x/who/").await;
    let status = response.status().as_u16();
    let body = text(response).await;
    match serde_json::from_str::<Value>(&body) {
        Ok(Value::Object(body)) => format!("{status} {}: {}", body["login"], body["message"]),
        _ => format!("{status} {body}"),
    }
    .replace('"', "")
}

fn login_id(browser: &Browser) -> String {
    format!("{:x}", Sha256::digest(&browser.cookies[USER]))
}

fn cookies(response: &Response<Body>) -> Vec<&str> {
    let cookies = response.headers().get_all(SET_COOKIE).iter();
    cookies.map(|it| it.to_str().unwrap()).collect()
}

/// That a login came to nothing, and what its user is told.
async fn refused(response: Response<Body>) -> String {
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!cookies(&response).iter().any(|it| it.starts_with(USER)), "{response:?}");
    let body = text(response).await;
    let (_, rest) = body.split_once("<p class=\"problem\">").unwrap();
    rest.split_once("</p>").unwrap().0.replace("&#39;", "'")
}

#[tokio::test]
async fn a_browser_goes_to_the_provider_and_comes_back_as_its_user() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let mut browser = Browser::default();
    let answer = json_body(browser.get(&server, "/chatkit/options").await).await;
    assert_eq!(answer["login"], "missing");
    assert_eq!(answer["methods"], json!(["oidc"]));
    assert_eq!(answer["sign_in"], "http://localhost:8000/auth/login");

    let url = browser.leave(&server, "/auth/login?next=/%23thr_1").await;
    assert!(url.as_str().starts_with(&format!("{}/authorize?tenant=1&", issuer.url)), "{url}");
    let back = issuer.agree(&url, &ada());
    let response = browser.come_back(&server, &back).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    assert_eq!(response.headers()[LOCATION], "/#thr_1");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let set = cookies(&response);
    assert_eq!(set.len(), 2, "{set:?}");
    assert!(set[0].starts_with("kitfox_user="), "{set:?}");
    assert!(set[0].ends_with("; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"), "{set:?}");
    // What the browser kept for the way back is gone.
    assert_eq!(browser.cookies.keys().collect::<Vec<_>>(), [USER]);

    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
    let options = json_body(browser.get(&server, "/chatkit/options").await).await;
    assert_eq!(options["login"]["name"], "Ada");
    assert_eq!(options["login"]["sign_out"], "http://localhost:8000/auth/logout");
}

#[tokio::test]
async fn with_tls_cookies_are_this_hosts_alone() {
    let issuer = Issuer::start().await;
    let config =
        format!("{}[server]\npublic_url = \"https://chat.example.com\"\n", issuer.login_config());
    let key = format!("k1:{}", URL_SAFE_NO_PAD.encode([5; 32]));
    let environment = [("KITFOX_AUTH__MODE", "oidc"), ("KITFOX_KEYS", key.as_str())];
    let files = [("kitfox.toml", config.as_str()), ("plugins/who.rhai", WHO)];
    let server = Server::start_with(&files, &environment).await;
    let mut browser = Browser::default();
    let response = browser.sign_in(&server, &issuer, &ada()).await;
    let set = cookies(&response);
    assert_eq!(set.len(), 2);
    for cookie in set {
        assert!(cookie.starts_with("__Host-kitfox_"), "{cookie}");
        assert!(
            cookie.contains("; Path=/;") && cookie.ends_with("; SameSite=Lax; Secure"),
            "{cookie}"
        );
    }
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
}

#[tokio::test]
async fn logging_out_ends_the_login_here_and_tells_the_provider() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let mut browser = Browser::signed_in(&server, &issuer, &ada()).await;
    let stolen = browser.clone();
    let mut other = Browser::signed_in(&server, &issuer, &ada()).await;

    let foreign = Request::post("/auth/logout").header("origin", "https://evil.example");
    let response = browser.send(&server, foreign.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let foreign = Request::post("/auth/logout").header("sec-fetch-site", "cross-site");
    let response = browser.send(&server, foreign.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(browser.get(&server, "/auth/logout").await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");

    let answer = json_body(browser.post(&server, "/auth/logout").await).await;
    let location = Url::parse(answer["location"].as_str().unwrap()).unwrap();
    assert!(location.as_str().starts_with(&format!("{}/logout?", issuer.url)), "{location}");
    let query: Vec<_> = location.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(query, ["client_id", "id_token_hint", "post_logout_redirect_uri"]);
    assert!(browser.cookies.is_empty());
    // Whoever copied the cookie has nothing by it; another browser of the same user is logged in still.
    assert_snapshot!(who(&server, &mut stolen.clone()).await, @"401 expired: your login has ended: sign in again");
    assert_snapshot!(who(&server, &mut other).await, @"200 [ada,Ada,cats,[staff]]");

    let form = Request::post("/auth/logout").header("accept", "text/html,*/*");
    let response = other.send(&server, form.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    // Who is not logged in is not so afterwards either.
    let answer = json_body(other.post(&server, "/auth/logout").await).await;
    assert_eq!(answer["location"], "/");
}

/// The way back with another value of this parameter, or without it.
fn with(back: &Url, name: &str, value: Option<&str>) -> Url {
    let others = back.query_pairs().into_owned().filter(|(it, _)| it != name);
    let mut pairs: Vec<_> = others.collect();
    pairs.extend(value.map(|it| (name.to_owned(), it.to_owned())));
    let mut changed = back.clone();
    changed.query_pairs_mut().clear().extend_pairs(pairs);
    changed
}

#[tokio::test]
async fn a_way_back_counts_once_in_the_browser_that_left() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let mut ada_browser = Browser::default();
    let url = ada_browser.leave(&server, "/auth/login").await;
    let back = issuer.agree(&url, &ada());
    let kept = ada_browser.clone();

    // Another browser: one that began nothing, and one that began its own.
    assert_snapshot!(refused(Browser::default().come_back(&server, &back).await).await, @"this login was not begun in this browser, was used already, or took too long.");
    let mut eve = Browser::default();
    let eves = eve.leave(&server, "/auth/login").await;
    assert_snapshot!(refused(eve.come_back(&server, &back).await).await, @"this login was not begun in this browser, was used already, or took too long.");
    // Her own state with ada's code: it was asked for with another verifier.
    let eves_back = issuer.agree(&eves, &json!({ "sub": "eve" }));
    let state = eves_back.query_pairs().find(|(it, _)| it == "state").unwrap().1.into_owned();
    assert_snapshot!(refused(eve.come_back(&server, &with(&back, "state", Some(&state))).await).await, @"Example gives no token: it answers `invalid_grant`.");
    let back = issuer.agree(&url, &ada());

    let mut browser = kept.clone();
    assert_snapshot!(refused(browser.come_back(&server, &with(&back, "state", Some("made-up"))).await).await, @"this login was not begun in this browser, was used already, or took too long.");
    assert_snapshot!(refused(browser.come_back(&server, &with(&back, "state", None)).await).await, @"this login was not begun in this browser, was used already, or took too long.");
    assert_snapshot!(refused(browser.come_back(&server, &with(&back, "code", None)).await).await, @"the identity provider sent no code back.");
    // RFC 9207: another issuer's answer, and one that does not say whose it is though it always would.
    assert_snapshot!(refused(browser.come_back(&server, &with(&back, "iss", Some("https://other.example"))).await).await, @"this login was answered by another identity provider than was asked.");
    assert_snapshot!(refused(browser.come_back(&server, &with(&back, "iss", None)).await).await, @"this login was answered by another identity provider than was asked.");
    assert_snapshot!(refused(browser.come_back(&server, &with(&back, "error", Some("access_denied"))).await).await, @"the identity provider did not let you in.");

    assert_eq!(browser.come_back(&server, &back).await.status(), StatusCode::SEE_OTHER);
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
    // The same again, and by somebody who kept the browser's cookies of before.
    assert_snapshot!(refused(browser.come_back(&server, &back).await).await, @"this login was not begun in this browser, was used already, or took too long.");
    assert_snapshot!(refused(kept.clone().come_back(&server, &back).await).await, @"Example gives no token: it answers `invalid_grant`.");
}

#[tokio::test]
async fn what_the_browser_kept_for_the_way_back_cannot_be_made_up() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let mut browser = Browser::default();
    let url = browser.leave(&server, "/auth/login").await;
    let back = issuer.agree(&url, &ada());
    let (name, value) = browser.cookies.iter().next().map(|(n, v)| (n.clone(), v.clone())).unwrap();
    let (content, mac) = value.split_once('.').unwrap();
    let mut begun: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(content).unwrap()).unwrap();
    begun["next"] = json!("//evil.example");
    let changed = format!("{}.{mac}", URL_SAFE_NO_PAD.encode(begun.to_string()));
    for wrong in [changed, content.to_owned(), format!("{content}."), String::new()] {
        let mut browser = browser.clone();
        browser.cookies.insert(name.clone(), wrong);
        refused(browser.come_back(&server, &back).await).await;
    }
    assert_eq!(browser.come_back(&server, &back).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn an_id_token_that_was_not_made_for_this_login_counts_for_nothing() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let mut told = Vec::new();
    let mut attack = async |claims: Value| {
        issuer.change_id_tokens(&claims);
        let mut browser = Browser::default();
        let response = browser.sign_in(&server, &issuer, &ada()).await;
        told.push(format!("{claims}: {}", refused(response).await));
    };
    attack(json!({ "nonce": "another" })).await;
    attack(json!({ "nonce": null })).await;
    attack(json!({ "iss": "https://other.example" })).await;
    attack(json!({ "aud": "other" })).await;
    attack(json!({ "aud": ["kitfox", "other"] })).await;
    attack(json!({ "aud": ["kitfox", "other"], "azp": "other" })).await;
    attack(json!({ "azp": "other" })).await;
    attack(json!({ "exp": 1 })).await;
    attack(json!({ "exp": null })).await;
    attack(json!({ "iat": null })).await;
    attack(json!({ "sub": null })).await;
    attack(json!({ "sub": "" })).await;
    assert_snapshot!(told.join("\n"), @r#"
    {"nonce":"another"}: the identity provider's ID token does not count: it was made for another login (`nonce`).
    {"nonce":null}: the identity provider's ID token does not count: it was made for another login (`nonce`).
    {"iss":"https://other.example"}: the identity provider's ID token does not count: the token is another issuer's (`iss`).
    {"aud":"other"}: the identity provider's ID token does not count: the token is for another service (`aud`).
    {"aud":["kitfox","other"]}: the identity provider's ID token does not count: it is for several clients, and does not say which one asked (`azp`).
    {"aud":["kitfox","other"],"azp":"other"}: the identity provider's ID token does not count: it was made for another client (`azp`).
    {"azp":"other"}: the identity provider's ID token does not count: it was made for another client (`azp`).
    {"exp":1}: the identity provider's ID token does not count: the token has expired: log in again, or refresh it.
    {"exp":null}: the identity provider's ID token does not count: the token has no claim `exp`.
    {"iat":null}: the identity provider's ID token does not count: it does not say since when it counts (`iat`).
    {"sub":null}: the identity provider's ID token does not count: it names nobody (`sub`).
    {"sub":""}: the identity provider's ID token does not count: it names nobody (`sub`).
    "#);
    issuer.change_id_tokens(&json!({ "aud": ["kitfox", "other"], "azp": "kitfox" }));
    Browser::signed_in(&server, &issuer, &ada()).await;
}

#[tokio::test]
async fn a_forged_id_token_counts_for_nothing() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let mut told = Vec::new();
    for attack in ["none", "secret", "public key", "other key", "no token"] {
        let mut browser = Browser::default();
        let url = browser.leave(&server, "/auth/login").await;
        let nonce = url.query_pairs().find(|(it, _)| it == "nonce").unwrap().1.into_owned();
        let claims =
            issuer.claims(json!({ "aud": "kitfox", "nonce": nonce, "iat": 1, "sub": "eve" }));
        let with_secret = |secret: &[u8]| {
            let key = EncodingKey::from_secret(secret);
            jsonwebtoken::encode(&header(Algorithm::HS256, "rsa"), &claims, &key).unwrap()
        };
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = match attack {
            "none" => format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims)),
            "secret" => with_secret(CLIENT_SECRET.as_bytes()),
            "public key" => with_secret(public_key("rsa")["n"].as_str().unwrap().as_bytes()),
            "other key" => sign(&header(Algorithm::ES256, "rsa"), "p256", &claims),
            _ => "abc".to_owned(),
        };
        issuer.forge_id_tokens(Some(token));
        let back = issuer.agree(&url, &ada());
        let answer = refused(browser.come_back(&server, &back).await).await;
        told.push(format!("{attack}: {answer}"));
    }
    assert_snapshot!(told.join("\n"), @"
    none: the identity provider's ID token does not count: what was sent as a token is none.
    secret: the identity provider's ID token does not count: the token is signed in a way that does not count here (`alg`).
    public key: the identity provider's ID token does not count: the token is signed in a way that does not count here (`alg`).
    other key: the identity provider's ID token does not count: the token's signature is no good.
    no token: the identity provider's ID token does not count: what was sent as a token is none.
    ");
}

#[tokio::test]
async fn what_is_said_of_somebody_else_is_not_used() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let claims = json!({ "sub": "ada" });
    issuer.say_of_users(
        json!({ "sub": "ada", "name": "Ada", "roles": ["staff"], "iss": "x", "aud": "y" }),
    );
    let mut browser = Browser::signed_in(&server, &issuer, &claims).await;
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,null,[staff]]");
    issuer.say_of_users(json!({ "sub": "root", "name": "Root", "roles": ["operator"] }));
    let mut browser = Browser::signed_in(&server, &issuer, &claims).await;
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,null,null,[]]");
    // The ID token's own word goes first.
    issuer.say_of_users(json!({ "sub": "ada", "roles": ["operator"] }));
    let mut browser = Browser::signed_in(&server, &issuer, &ada()).await;
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
}

#[tokio::test]
async fn an_address_that_nobody_verified_names_nobody() {
    let issuer = Issuer::start().await;
    let server = start_with(&issuer, "claims = { user = \"email\" }\n").await;
    let mut browser = Browser::default();
    let claims = json!({ "email": "ada@example.com", "email_verified": false });
    let response = browser.sign_in(&server, &issuer, &claims).await;
    assert_snapshot!(refused(response).await, @"your e-mail address is not verified at the identity provider.");
    let claims = json!({ "email": "ada@example.com", "email_verified": true });
    let mut browser = Browser::signed_in(&server, &issuer, &claims).await;
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada@example.com,null,null,[]]");
}

#[tokio::test]
async fn a_login_leads_to_no_other_server() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    for next in [
        "//evil.example",
        "https://evil.example",
        "/%5Cevil.example",
        "%2F%2Fevil.example",
        "/%09/evil.example",
    ] {
        let response = Browser::default().get(&server, &format!("/auth/login?next={next}")).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{next}");
        assert!(cookies(&response).is_empty());
    }
}

#[tokio::test]
async fn a_login_that_was_planted_is_nobodys() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let mut browser = Browser::default();
    let planted = URL_SAFE_NO_PAD.encode([7; 32]);
    browser.cookies.insert(USER.to_owned(), planted.clone());
    assert_snapshot!(who(&server, &mut browser).await, @"401 expired: your login has ended: sign in again");
    browser.sign_in(&server, &issuer, &ada()).await;
    assert_ne!(browser.cookies[USER], planted);
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
    let mut attacker = Browser::default();
    attacker.cookies.insert(USER.to_owned(), planted);
    assert_snapshot!(who(&server, &mut attacker).await, @"401 expired: your login has ended: sign in again");
    // Neither is the one of before when another user logs in, in the same browser.
    let before = browser.clone();
    browser.sign_in(&server, &issuer, &json!({ "sub": "bob" })).await;
    assert_snapshot!(who(&server, &mut browser).await, @"200 [bob,null,null,[]]");
    assert_snapshot!(who(&server, &mut before.clone()).await, @"401 expired: your login has ended: sign in again");
}

#[tokio::test]
async fn a_cookie_that_was_changed_is_nobodys() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let browser = Browser::signed_in(&server, &issuer, &ada()).await;
    let bob = Browser::signed_in(&server, &issuer, &json!({ "sub": "bob" })).await;
    let (own, bobs) = (browser.cookies[USER].clone(), bob.cookies[USER].clone());
    let id = login_id(&browser);
    for wrong in [
        format!("{}{}", &own[..20], &bobs[20..]),
        format!("{own}A"),
        own[1..].to_owned(),
        own.to_uppercase(),
        // What the store knows it by opens nothing.
        id,
        "' or 1=1 --".to_owned(),
    ] {
        let mut browser = Browser::default();
        browser.cookies.insert(USER.to_owned(), wrong);
        assert_eq!(browser.get(&server, "/x/who/").await.status(), StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn a_login_ends_unused_and_at_last_and_when_an_operator_says_so() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let store = &server.app.store;
    let mut browser = Browser::signed_in(&server, &issuer, &ada()).await;
    let id = login_id(&browser);
    // In use it goes on.
    store.touch_login(&id, now() - 7.hours()).await.unwrap();
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
    let seen_at = store.find_login(&id).await.unwrap().unwrap().seen_at;
    assert!(seen_at > now() - 1.hour());
    store.touch_login(&id, now() - 9.hours()).await.unwrap();
    assert_snapshot!(who(&server, &mut browser).await, @"401 expired: your login has ended: sign in again");

    let mut browser = Browser::signed_in(&server, &issuer, &ada()).await;
    let id = login_id(&browser);
    let login = store.find_login(&id).await.unwrap().unwrap();
    store.delete_login(&id, &login.owner).await.unwrap();
    let late = Login { expires_at: now() - 1.second(), ..login };
    store.add_login(&late).await.unwrap();
    assert_snapshot!(who(&server, &mut browser).await, @"401 expired: your login has ended: sign in again");

    let mut browser = Browser::signed_in(&server, &issuer, &ada()).await;
    let key = UserKey::new("oidc", &issuer.url, "ada");
    store.of(&key).delete_logins().await.unwrap();
    assert_snapshot!(who(&server, &mut browser).await, @"401 expired: your login has ended: sign in again");
}

#[tokio::test]
async fn another_provider_or_client_in_the_configuration_ends_all_logins() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let mut browser = Browser::signed_in(&server, &issuer, &ada()).await;
    let config = issuer.login_config();
    server.save("kitfox.toml", &config.replace("\"kitfox\"", "\"another\"")).await;
    assert_snapshot!(who(&server, &mut browser).await, @"401 expired: your login has ended: sign in again");
    server.save("kitfox.toml", &config).await;
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
    // Claims are read by the configuration in force.
    server.save("kitfox.toml", &format!("{config}claims = {{ roles = \"org\" }}\n")).await;
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[cats]]");
}

#[tokio::test]
async fn replicas_share_logins() {
    let issuer = Issuer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("shared.db").display());
    let key = format!("k1:{}", URL_SAFE_NO_PAD.encode([5; 32]));
    let environment = [("KITFOX_AUTH__MODE", "oidc"), ("KITFOX_KEYS", key.as_str())];
    let config = issuer.login_config();
    let files = [("kitfox.toml", config.as_str()), ("plugins/who.rhai", WHO)];
    let one = Server::start_with_on(&files, &environment, &store).await;
    let two = Server::start_with_on(&files, &environment, &store).await;
    // It may begin at one and end at the other.
    let mut browser = Browser::default();
    let url = browser.leave(&one, "/auth/login").await;
    let back = issuer.agree(&url, &ada());
    assert_eq!(browser.come_back(&two, &back).await.status(), StatusCode::SEE_OTHER);
    assert_snapshot!(who(&one, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
    let stolen = browser.clone();
    browser.post(&one, "/auth/logout").await;
    assert_snapshot!(who(&two, &mut stolen.clone()).await, @"401 expired: your login has ended: sign in again");

    // Nothing of it lies open in the database.
    Browser::signed_in(&one, &issuer, &json!({ "sub": "bob", "email": "bob-SECRET@example.com" }))
        .await;
    one.app.store.close().await;
    two.app.store.close().await;
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        bytes.extend(std::fs::read(entry.unwrap().path()).unwrap());
    }
    assert!(memchr::memmem::find(&bytes, b"logins").is_some());
    assert!(memchr::memmem::find(&bytes, b"SECRET").is_none());
}

#[tokio::test]
async fn without_the_provider_nobody_comes_in_and_nobody_goes_out() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    let mut browser = Browser::signed_in(&server, &issuer, &ada()).await;
    let second = start(&issuer).await;
    issuer.change_metadata("issuer", json!("https://other.example"));
    let response = Browser::default().get(&second, "/auth/login").await;
    let told = refused(response).await.replace(&issuer.url, "ISSUER");
    assert_snapshot!(told, @"`ISSUER/.well-known/openid-configuration` says that it is of `https://other.example`, and `issuer` is `ISSUER`: they must be the same, byte for byte.");
    issuer.change_metadata("issuer", Value::Null);
    drop(issuer);
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
    assert_eq!(browser.post(&server, "/auth/logout").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn where_nobody_logs_in_there_is_no_such_place() {
    let server = Server::start(&[]).await;
    for path in ["/auth/login", "/auth/callback?state=x&code=y"] {
        assert_eq!(Browser::default().get(&server, path).await.status(), StatusCode::NOT_FOUND);
    }
    let response = Browser::default().post(&server, "/auth/logout").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn of_several_methods_the_first_that_is_there_decides() {
    let issuer = Issuer::start().await;
    let config = format!(
        "{}{}[auth.tokens.ci]\nhash = \"sha256:{:x}\"\n",
        issuer.login_config(),
        issuer.config(),
        Sha256::digest("kf-ci-secret")
    );
    let modes = [("KITFOX_AUTH__MODE", "[\"token\", \"jwt\", \"oidc\", \"session\"]")];
    let files = [("kitfox.toml", config.as_str()), ("plugins/who.rhai", WHO)];
    let server = Server::start_with(&files, &modes).await;
    let mut browser = Browser::signed_in(&server, &issuer, &ada()).await;
    assert_snapshot!(who(&server, &mut browser).await, @"200 [ada,Ada,cats,[staff]]");
    let bearer = async |browser: &mut Browser, token: &str| {
        let request = Request::get("/x/who/").header("authorization", format!("Bearer {token}"));
        let response = browser.send(&server, request.body(Body::empty()).unwrap()).await;
        format!("{} {}", response.status().as_u16(), text(response).await)
    };
    assert_snapshot!(bearer(&mut browser, "kf-ci-secret").await, @r#"200 ["ci",null,null,[]]"#);
    let token = issuer.token(json!({ "sub": "carol" }));
    assert_snapshot!(bearer(&mut browser, &token).await, @r#"200 ["carol","Ada",null,[]]"#);
    assert!(bearer(&mut browser, "wrong").await.starts_with("401 "));
    // A login that has ended is not as good as none, though others may come without.
    let mut ended = Browser::default();
    ended.cookies.insert(USER.to_owned(), "x".repeat(43));
    assert_snapshot!(who(&server, &mut ended).await, @"401 expired: your login has ended: sign in again");
    let anonymous = Browser::default().get(&server, "/x/who/").await;
    assert_eq!(anonymous.status(), StatusCode::OK);
    // The same subject of the same issuer is another user by another method.
    let jwt = issuer.token(json!({ "sub": "ada" }));
    let request = Request::post("/chatkit")
        .header("authorization", format!("Bearer {jwt}"))
        .header("host", "localhost")
        .header("content-type", "application/json");
    server.model.push(ScriptedResponse::text("hi"));
    let create = json!({ "type": "threads.create", "params": { "input": input("x") } });
    text(server.send(request.body(Body::from(create.to_string())).unwrap()).await).await;
    let list = json!({ "type": "threads.list", "params": {} });
    let request = Request::post("/chatkit").header("content-type", "application/json");
    let response = browser.send(&server, request.body(Body::from(list.to_string())).unwrap()).await;
    assert_eq!(json_body(response).await["data"], json!([]));
}

/// A message from the browser, whose answer calls the tool `notes__echo`: what the model was told of it.
async fn call_notes(server: &Server, browser: &mut Browser) -> String {
    server.model.push(ScriptedResponse::call("notes__echo", json!({ "text": "hi" })));
    server.model.push(ScriptedResponse::text("done"));
    let body = json!({ "type": "threads.create", "params": { "input": input("go") } });
    let request = Request::post("/chatkit").header("content-type", "application/json");
    let response = browser.send(server, request.body(Body::from(body.to_string())).unwrap()).await;
    assert_eq!(response.status(), StatusCode::OK);
    text(response).await;
    server.last_input().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn a_login_lends_its_access_token_to_credentials() {
    let (issuer, notes) = (Issuer::start().await, Fake::echo().await);
    let config = format!(
        "{}[credentials.token]\nsource = \"login\"\nfield = \"access_token\"\ndestinations = [\"notes\"]\n",
        issuer.login_config()
    );
    let file = format!(
        "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\n\
         headers = {{ Authorization = \"Bearer {{{{ credential.token }}}}\" }}\n",
        notes.url
    );
    let files = [
        ("kitfox.toml", config.as_str()),
        ("plugins/notes.mcp.toml", &file),
        ("plugins/who.rhai", WHO),
    ];
    let server = Server::start_with(&files, OIDC).await;
    assert_eq!(server.errors(), "");
    let last_token = || {
        let seen = notes.seen.lock().unwrap();
        let call = seen.iter().rfind(|it| it.body["method"] == "tools/call").unwrap();
        call.headers["authorization"].to_str().unwrap().to_owned()
    };
    let mut browser = Browser::signed_in(&server, &issuer, &ada()).await;
    let told = call_notes(&server, &mut browser).await;
    assert!(!told.contains("SECRET") && !told.contains("error"), "{told}");
    assert_eq!(last_token(), "Bearer access-SECRET-2");
    assert_eq!(issuer.refreshes(), 0);
    let rows = async |name: &str| {
        let key = UserKey::new("oidc", &issuer.url, name);
        server.app.store.of(&key).list_sealed(SealedKind::Tokens).await.unwrap().len()
    };
    assert_eq!(rows("ada").await, 1);
    browser.post(&server, "/auth/logout").await;
    assert_eq!(rows("ada").await, 0);

    // One that has ended is refreshed, and the new one is kept.
    issuer.set_expires_in(0);
    let mut browser = Browser::signed_in(&server, &issuer, &json!({ "sub": "bob" })).await;
    issuer.set_expires_in(3600);
    call_notes(&server, &mut browser).await;
    assert_eq!(last_token(), "Bearer access-SECRET-5");
    call_notes(&server, &mut browser).await;
    assert_eq!(last_token(), "Bearer access-SECRET-5");
    assert_eq!(issuer.refreshes(), 1);

    // What the provider took back is missing, and its user is who they were.
    issuer.set_expires_in(0);
    let mut browser = Browser::signed_in(&server, &issuer, &json!({ "sub": "carol" })).await;
    issuer.revoke();
    let told = call_notes(&server, &mut browser).await;
    assert!(told.contains("error"), "{told}");
    assert_eq!(last_token(), "Bearer access-SECRET-5");
    assert_snapshot!(who(&server, &mut browser).await, @"200 [carol,null,null,[]]");
}

#[tokio::test]
async fn a_token_that_nobody_needs_is_not_kept() {
    let issuer = Issuer::start().await;
    let server = start(&issuer).await;
    Browser::signed_in(&server, &issuer, &ada()).await;
    let key = UserKey::new("oidc", &issuer.url, "ada");
    let kept = server.app.store.of(&key).list_sealed(SealedKind::Tokens).await.unwrap();
    assert!(kept.is_empty());
}

//! What somebody is told who is not known, and who may say who somebody is.

use std::net::IpAddr;

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use insta::assert_snapshot;

use crate::{
    server::Peer,
    tests::harness::{Server, json_body},
};

/// The body of a 401 in these modes, without the request's id.
async fn refusal(modes: &str, config: &str, header: Option<(&str, &str)>) -> String {
    let files = [("kitfox.toml", config)];
    let server = Server::start_with(&files, &[("KITFOX_AUTH__MODE", modes)]).await;
    let mut request = Request::get("/chatkit/options").header("host", "localhost");
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let response = server.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = response.headers().get("www-authenticate").is_some();
    let mut body = json_body(response).await;
    body.as_object_mut().unwrap().remove("request_id");
    format!("{body} {challenge}")
}

#[tokio::test]
async fn who_is_not_known_is_told_how_to_be() {
    const TOKENS: &str = "[auth.tokens.ci]\nhash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n";
    const OIDC: &str = "[auth.oidc]\nissuer = \"https://id.example.com\"\nclient_id = \"kitfox\"\n";
    let all = [
        refusal("header", "", None).await,
        refusal("session", "", Some(("x-session-id", "short"))).await,
        refusal("token", TOKENS, None).await,
        refusal("token", TOKENS, Some(("authorization", "Bearer wrong"))).await,
        refusal("oidc", OIDC, None).await,
        refusal("[\"oidc\", \"token\"]", &format!("{OIDC}{TOKENS}"), None).await,
    ];
    assert_snapshot!(all.join("\n"), @r#"
    {"message":"`X-User-ID` is missing: the proxy in front of this server has to send it with the user's id","login":"missing","methods":["header"]} false
    {"message":"`X-Session-Id` has 5 characters: it is a password, send at least 16 random ones","login":"invalid","methods":["session"]} false
    {"message":"nobody is logged in: send `Authorization: Bearer …` with a token","login":"missing","methods":["token"]} true
    {"message":"the token is nobody's","login":"invalid","methods":["token"]} true
    {"message":"you are not signed in","login":"missing","methods":["oidc"],"sign_in":"http://localhost:8000/auth/login"} false
    {"message":"nobody is logged in: send `Authorization: Bearer …` with a token","login":"missing","methods":["oidc","token"],"sign_in":"http://localhost:8000/auth/login"} true
    "#);
}

#[tokio::test]
async fn a_header_counts_from_trusted_proxies_only() {
    let config = "[auth]\ntrusted_proxies = [\"10.1.0.0/16\", \"::1\"]\n[server]\nlisten = \"0.0.0.0:8000\"\n";
    let server = Server::start(&[("kitfox.toml", config)]).await;
    let ask = async |peer: Option<&str>| {
        let mut request = Request::get("/chatkit/options")
            .header("host", "localhost")
            .header("x-user-id", "ada")
            .body(Body::empty())
            .unwrap();
        if let Some(peer) = peer {
            let address: IpAddr = peer.parse().unwrap();
            request.extensions_mut().insert(Peer(address));
        }
        server.send(request).await.status()
    };
    assert_eq!(ask(Some("10.1.2.3")).await, StatusCode::OK);
    assert_eq!(ask(Some("::ffff:10.1.2.3")).await, StatusCode::OK);
    assert_eq!(ask(Some("::1")).await, StatusCode::OK);
    for peer in [Some("10.2.0.1"), Some("127.0.0.1"), Some("203.0.113.7"), None] {
        assert_eq!(ask(peer).await, StatusCode::UNAUTHORIZED, "{peer:?}");
    }
}

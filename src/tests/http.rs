//! HTTP: sessions, foreign pages, refusals, live configuration, and what the operator may watch.

use std::time::Duration;

use axum::{
    body::Body,
    http::{
        HeaderMap, Method, Request, StatusCode,
        header::{ALLOW, RETRY_AFTER, SET_COOKIE},
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};
use tokio_stream::StreamExt;

use crate::{
    model::{ScriptedResponse, ScriptedStep},
    server::{self, Peer},
    tests::harness::{Server, event_line, events, input, json_body, text},
};

const SESSION: &[(&str, &str)] = &[("KITFOX_AUTH__MODE", "session")];

const HELLO: &str = r#"
    route("GET", "/hello", |request, ctx| request.headers.keys());
    route("POST", "/hello", |request, ctx| ctx.user.id);
"#;

fn request(method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::from(body.to_owned())).unwrap()
}

fn list(headers: &[(&str, &str)]) -> Request<Body> {
    let headers = [&[("content-type", "application/json")], headers].concat();
    request(Method::POST, "/chatkit", &headers, r#"{"type": "threads.list", "params": {}}"#)
}

fn cookie(headers: &HeaderMap) -> String {
    let cookie = headers[SET_COOKIE].to_str().unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

async fn user_id(server: &Server, headers: &[(&str, &str)]) -> String {
    text(server.send(request(Method::POST, "/x/hello/hello", headers, "")).await).await
}

#[tokio::test]
async fn the_page_brings_a_session_that_its_requests_share() {
    let server = Server::start_with(&[("plugins/hello.rhai", HELLO)], SESSION).await;
    let page = server.send(request(Method::GET, "/", &[], "")).await;
    assert_eq!(page.status(), StatusCode::OK);
    let cookie = cookie(page.headers());
    let with_cookie = [("cookie", cookie.as_str())];
    let response = server.send(list(&with_cookie)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(!response.headers().contains_key(SET_COOKIE));
    let user = user_id(&server, &with_cookie).await;
    assert_eq!(user, user_id(&server, &with_cookie).await);
    assert!(!cookie.contains(&user));
    assert_ne!(user, user_id(&server, &[]).await);
}

#[tokio::test]
async fn a_read_of_a_route_makes_no_session_and_a_chat_does() {
    let server = Server::start_with(&[("plugins/hello.rhai", HELLO)], SESSION).await;
    let read = server.send(request(Method::GET, "/x/hello/hello", &[], "")).await;
    assert_eq!(read.status(), StatusCode::OK);
    assert!(!read.headers().contains_key(SET_COOKIE));
    assert!(server.send(list(&[])).await.headers().contains_key(SET_COOKIE));
}

#[tokio::test]
async fn a_plugin_never_sees_a_session() {
    let server = Server::start_with(&[("plugins/hello.rhai", HELLO)], SESSION).await;
    let headers = [("x-session-id", "0123456789abcdef"), ("cookie", "a=b"), ("x-cat", "Tom")];
    let seen = server.send(request(Method::GET, "/x/hello/hello", &headers, "")).await;
    assert_eq!(json_body(seen).await, json!(["host", "x-cat", "x-request-id"]));
}

#[tokio::test]
async fn the_paths_of_the_chat_change_while_it_runs() {
    let server = Server::start(&[]).await;
    let user = [("x-user-id", "ada")];
    server.save("kitfox.toml", "[server]\nchatkit_paths = [\"/support\"]\n").await;
    assert_eq!(server.send(list(&user)).await.status(), StatusCode::NOT_FOUND);
    let response = server.send(request(Method::GET, "/support/options", &user, "")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let response = server.send(request(Method::GET, "/support", &user, "")).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[ALLOW], "POST");
    let page = text(server.send(request(Method::GET, "/", &[], "")).await).await;
    assert!(page.contains("content=\"support\""));
}

#[tokio::test]
async fn a_page_that_is_listed_may_read_even_what_is_refused() {
    let server = Server::start(&[(
        "kitfox.toml",
        "[server]\ncors_origins = [\"https://docs.example.com\"]\n",
    )])
    .await;
    let origin = ("origin", "https://docs.example.com");
    let response = server.send(list(&[origin])).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://docs.example.com");
    let asks = [origin, ("access-control-request-method", "POST")];
    let response = server.send(request(Method::OPTIONS, "/chatkit", &asks, "")).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let response = server.send(list(&[("origin", "https://evil.example")])).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(!response.headers().contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn a_stopping_server_takes_no_new_work_and_may_be_asked_again() {
    let server = Server::start(&[]).await;
    server.app.stopping.cancel();
    let response = server.send(list(&[("x-user-id", "ada")])).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[RETRY_AFTER], "1");
    let response = server.send(request(Method::GET, "/readyz", &[], "")).await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    let response = server.send(request(Method::GET, "/healthz", &[], "")).await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_server_that_has_stopped_has_closed_its_store() {
    let server = Server::start(&[]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.app.stopping.cancel();
    server::serve(server.app.clone(), listener).await.unwrap();
    assert!(server.app.store.check().await.is_err());
}

#[tokio::test]
async fn a_watcher_is_told_of_every_generation_until_the_server_stops() {
    let server = Server::start(&[]).await;
    let response = server.send(request(Method::GET, "/api/events", &[], "")).await;
    let mut chunks = response.into_body().into_data_stream();
    let first = generation(&chunks.next().await.unwrap().unwrap());
    assert_eq!(first["tools"], json!([]));
    let tool = r#"tool(#{ name: "hi", description: "Says hi.", parameters: #{}, run: |args, ctx| "hi" });"#;
    server.save("plugins/hi.rhai", tool).await;
    let second = generation(&chunks.next().await.unwrap().unwrap());
    assert_eq!(second["tools"][0]["name"], "hi");
    assert_eq!(second["tools"][0]["origin"], "plugins/hi.rhai");
    assert_ne!(first["id"], second["id"]);
    server.app.stopping.cancel();
    assert!(chunks.next().await.is_none());
}

#[tokio::test]
async fn what_is_in_force_is_not_for_everyone_on_a_public_server() {
    let proxies = ("KITFOX_AUTH__TRUSTED_PROXIES", "[\"10.0.0.7\"]");
    let public = [("KITFOX_SERVER__LISTEN", "0.0.0.0:8000"), proxies];
    let server = Server::start_with(&[], &public).await;
    for path in ["/api/generation", "/api/tools", "/api/events"] {
        let response = server.send(request(Method::GET, path, &[], "")).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        let mut known = request(Method::GET, path, &[("x-user-id", "ada")], "");
        known.extensions_mut().insert(Peer([10, 0, 0, 7].into()));
        let response = server.send(known).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn a_request_says_what_is_wrong_with_it_before_it_is_read() {
    let limit = ("kitfox.toml", "[limits]\nbody_bytes = 1000\n");
    let server = Server::start(&[limit]).await;
    let user = ("x-user-id", "ada");
    let plain = [user, ("content-type", "text/plain")];
    let response = server.send(request(Method::POST, "/chatkit", &plain, "{}")).await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let json = [user, ("content-type", "application/json")];
    let response = server.send(request(Method::POST, "/chatkit", &json, &"x".repeat(1001))).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let body = r#"{"type": "threads.list", "params": {"limit": "many"}}"#;
    let response = server.send(request(Method::POST, "/chatkit", &json, body)).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(json_body(response).await["field"], "params.limit");
}

fn generation(frame: &[u8]) -> Value {
    let frame = std::str::from_utf8(frame).unwrap();
    let data = frame.strip_prefix("event: generation\ndata: ").unwrap();
    serde_json::from_str(data.trim_end()).unwrap()
}

#[tokio::test]
async fn a_wrong_method_is_told_which_ones_there_are() {
    let server = Server::start(&[]).await;
    let response = server.send(request(Method::DELETE, "/api/tools", &[], "")).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[ALLOW], "GET,HEAD");
}

#[tokio::test]
async fn a_server_that_is_hurried_ends_its_turns_and_keeps_their_text() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("half an"),
        ScriptedStep::Gate("never".to_owned()),
    ]));
    let request = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let response = server.post("ada", &request).await;
    server.model.reached("never").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.app.stopping.cancel();
    // What a second signal does.
    server.app.running.cancel_all();
    let serving = server::serve(server.app.clone(), listener);
    let (result, text) =
        timeout(Duration::from_secs(10), async { tokio::join!(Box::pin(serving), text(response)) })
            .await
            .expect("it should not wait for the grace of 20 seconds");
    result.unwrap();
    let events = events(&text);
    let said: Vec<String> = events.iter().map(event_line).collect();
    assert!(said.iter().any(|it| it.contains("half an")), "{said:?}");
    assert!(said.last().unwrap().starts_with("error"), "{said:?}");
}

//! `credential` of `ctx.http`.

use axum::{Router, extract::Request, routing::any};
use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    model::ScriptedResponse,
    tests::harness::{Server, chatkit_request, events, input, text},
};

/// A host that says the headers that it was sent, or sends elsewhere.
struct Host {
    port: u16,
    task: JoinHandle<()>,
}

impl Host {
    #[expect(clippy::disallowed_methods, reason = "the task ends with the test")]
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let router = Router::new()
            .route(
                "/away",
                any(move || async move {
                    let location = format!("http://localhost:{port}/echo");
                    (axum::http::StatusCode::FOUND, [("location", location)])
                }),
            )
            .fallback(any(|request: Request| async move {
                let token =
                    request.headers().get("x-key").map(|it| it.to_str().unwrap().to_owned());
                format!("key {token:?} {}", token.as_deref().unwrap_or_default().contains("SECRET"))
            }));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, task }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a tool that fetches this says: `PORT` is that of the host.
async fn fetch(code: &str, config: &str) -> String {
    let host = Host::start().await;
    let port = host.port.to_string();
    let config = format!(
        r#"
        [plugins]
        allow_addresses = ["127.0.0.1:PORT", "localhost:PORT"]
        [plugins.fetcher]
        permissions = {{ credentials = ["key", "far"] }}
        [credentials.key]
        source = "request"
        header = ["X-Access-Token", "X-Key: Key {{}}"]
        destinations = ["127.0.0.1"]
        [credentials.far]
        source = "request"
        header = ["X-Access-Token", "X-Key: Key {{}}"]
        destinations = ["api.example.com"]
        [credentials.other]
        source = "static"
        value = "other-secret"
        {config}"#
    )
    .replace("PORT", &port);
    let script = format!(
        r#"
        plugin(#{{ permissions: #{{ http: ["http://127.0.0.1:PORT", "http://localhost:PORT", "http://api.example.com"],
            credentials: ["key", "far", "other"] }} }});
        tool(#{{ name: "fetch", description: "Fetches.", run: |args, ctx| {{ {code} }} }});
        "#
    )
    .replace("PORT", &port);
    let server =
        Server::start(&[("kitfox.toml", &config), ("plugins/fetcher.rhai", &script)]).await;
    assert_eq!(server.errors(), "");
    server.model.push(ScriptedResponse::call("fetch", json!({})));
    server.model.push(ScriptedResponse::text("done"));
    let body = json!({ "type": "threads.create", "params": { "input": input("go") } });
    let mut request = chatkit_request("ada", &body);
    request.headers_mut().insert("x-access-token", "tok-SECRET-1".parse().unwrap());
    let events: Vec<Value> = events(&text(server.send(request).await).await);
    assert!(!json!(events).to_string().contains("SECRET"));
    let said = server.last_input();
    assert!(!said.contains("SECRET"), "{said}");
    said.lines().last().unwrap().replace(&port, "PORT")
}

#[tokio::test]
async fn a_plugin_sends_a_credential_that_it_never_sees() {
    let get = r#"ctx.http.get("http://127.0.0.1:PORT/echo", #{ credential: "key" }).body"#;
    assert_snapshot!(fetch(get, "").await, @r#"output "key Some(\"Key [credential key]\") true""#);
    let own = r#"ctx.http.get("http://127.0.0.1:PORT/echo", #{ credential: "key", headers: #{ "x-key": "mine" } }).text"#;
    assert_snapshot!(fetch(own, "").await, @r#"output "key Some(\"Key [credential key]\") true""#);
}

#[tokio::test]
async fn a_credential_stays_with_the_host_that_it_may_go_to() {
    let away = r#"ctx.http.get("http://127.0.0.1:PORT/away", #{ credential: "key" }).body"#;
    assert_snapshot!(fetch(away, "").await, @r#"output "key None false""#);
    let localhost = r#"ctx.http.get("http://localhost:PORT/echo", #{ credential: "key" }).body"#;
    assert_snapshot!(fetch(localhost, "").await, @r#"output "error: the credential `key` may not go to `localhost`: add `\"localhost\"` to `destinations` of `[credentials.key]` in kitfox.toml""#);
    let clear = r#"ctx.http.get("http://api.example.com/", #{ credential: "far" }).body"#;
    assert_snapshot!(fetch(clear, "").await, @r#"output "error: the credential `far` is not sent over `http:`: use https""#);
}

#[tokio::test]
async fn a_credential_needs_the_operators_grant_and_a_form() {
    let other = r#"ctx.http.get("http://127.0.0.1:PORT/echo", #{ credential: "other" }).body"#;
    assert_snapshot!(fetch(other, "").await, @r#"output "error: plugin `fetcher` may not use the credential `other`: add `other` to `permissions.credentials` of `[plugins.fetcher]` in kitfox.toml""#);
    let none = r#"ctx.http.get("http://127.0.0.1:PORT/echo", #{ credential: "none" }).body"#;
    assert_snapshot!(fetch(none, "").await, @r#"output "error: plugin `fetcher` may not use the credential `none`: add `none` to `permissions.credentials` in plugins/fetcher.rhai, and add `none` to `permissions.credentials` of `[plugins.fetcher]` in kitfox.toml""#);
}

#[tokio::test]
async fn a_plugin_does_not_see_the_header_that_a_credential_comes_in() {
    let server = Server::start(&[
        (
            "kitfox.toml",
            "[server]\nvisible_headers = [\"X-Access-Token\", \"Article-Id\"]\n[credentials.key]\nsource = \"request\"\nheader = \"X-Access-Token\"\n",
        ),
        (
            "plugins/look.rhai",
            r#"route("GET", "/look", |request, ctx| `${request.headers} ${ctx.request.headers}`);"#,
        ),
    ])
    .await;
    let request = axum::http::Request::get("/x/look/look")
        .header("host", "localhost")
        .header("x-user-id", "ada")
        .header("article-id", "7")
        .header("x-access-token", "tok-SECRET-1")
        .body(axum::body::Body::empty())
        .unwrap();
    let seen = text(server.send(request).await).await;
    assert!(seen.contains("article-id"), "{seen}");
    assert!(!seen.contains("access-token") && !seen.contains("SECRET"), "{seen}");
}

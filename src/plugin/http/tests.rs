use std::{fmt::Write as _, future::pending};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Path,
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Redirect},
    routing::{any, get},
};
use insta::{allow_duplicates, assert_snapshot};
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::{
    config::RawPermissions,
    plugin::{HttpBody, Permissions},
    user::Allow,
};

/// A server that tells what it was sent, and misbehaves when asked. It ends with the test.
async fn server() -> u16 {
    let router = Router::new()
        .route("/echo", any(echo))
        .route("/to/{status}/{*target}", any(redirect))
        .route("/nowhere", get(|| async { (StatusCode::FOUND, [(LOCATION, "http://[")]) }))
        .route("/loop", get(|| async { Redirect::temporary("/loop") }))
        .route("/moved", get(|| async { (StatusCode::FOUND, "no location") }))
        .route("/long", get(|| async { vec![b'a'; 10 * 1024 * 1024] }))
        .route("/longer", get(endless))
        .route("/full", get(|| async { vec![b'a'; LONGEST_BODY] }))
        .route("/slow", get(|| async { pending::<()>().await }))
        .route("/stalls", get(stall))
        .route("/cookies", get(|| async { [("set-cookie", "a=1"), ("x-one", "1")] }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    serve(listener, router);
    port
}

#[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
fn serve(listener: TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}

async fn echo(method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> String {
    let mut text = format!("{method} {uri}\n");
    for (name, value) in &headers {
        if !matches!(name.as_str(), "host" | "accept" | "content-length") {
            let value = value.to_str().unwrap().replace(env!("CARGO_PKG_VERSION"), "VERSION");
            writeln!(text, "{name}: {value}").unwrap();
        }
    }
    text + str::from_utf8(&body).unwrap()
}

/// `/to/302/localhost:80/echo` leads to `http://localhost:80/echo`, `/to/302/echo` to the same server's.
async fn redirect(Path((status, target)): Path<(u16, String)>) -> impl IntoResponse {
    let target =
        if target.contains(':') { format!("http://{target}") } else { format!("/{target}") };
    (StatusCode::from_u16(status).unwrap(), [(LOCATION, target)])
}

/// Without a length.
async fn endless() -> Body {
    let chunk = Bytes::from(vec![b'a'; 64 * 1024]);
    Body::from_stream(futures::stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone())))
}

async fn stall() -> Body {
    use futures::StreamExt;
    let first = futures::stream::iter([Ok::<_, std::io::Error>("a")]);
    Body::from_stream(first.chain(futures::stream::pending()))
}

fn plugin(http: &[String]) -> Manifest {
    let written = RawPermissions { http: Some(http.to_vec()), ..RawPermissions::default() };
    let permissions = Permissions::parse(&written).unwrap();
    Manifest {
        name: "weather".to_owned(),
        path: "plugins/weather.rhai".to_owned(),
        version: None,
        description: None,
        permissions: permissions.clone(),
        requested: permissions,
        allow: Allow::default(),
        approved: true,
    }
}

fn request(method: &str, url: &str) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        query: Vec::new(),
        headers: Vec::new(),
        body: HttpBody::None,
        timeout: Some(Duration::from_secs(20)),
        credential: None,
    }
}

/// A server, a plugin that may fetch from it, and an operator who lets it.
struct Scene {
    port: u16,
    client: HttpClient,
    plugin: Manifest,
}

impl Scene {
    async fn new() -> Self {
        let port = server().await;
        let client = HttpClient::new(&[format!("127.0.0.1:{port}")]).0;
        Self { port, client, plugin: plugin(&[format!("http://127.0.0.1:{port}")]) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn get(&self, path: &str) -> HttpRequest {
        request("get", &self.url(path))
    }

    /// The answer's body, or the error.
    async fn fetch(&self, request: HttpRequest) -> String {
        let text = match self.client.fetch(&self.plugin, request, Redirects::Follow, None).await {
            Ok(response) => String::from_utf8(response.body).unwrap(),
            Err(err) => err,
        };
        text.replace(&format!(":{}", self.port), ":PORT")
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn a_request_arrives_as_it_was_asked_for() {
    let scene = Scene::new().await;
    let get = HttpRequest {
        query: vec![pair("q", "a b&c"), pair("q", "é")],
        headers: vec![pair("X-Key", "k")],
        ..scene.get("/echo?x=1#part")
    };
    assert_snapshot!(scene.fetch(get).await, @"
    GET /echo?x=1&q=a+b%26c&q=%C3%A9
    x-key: k
    user-agent: kitfox/VERSION
    ");
    let post = |body| HttpRequest { body, ..request("post", &scene.url("/echo")) };
    assert_snapshot!(scene.fetch(post(HttpBody::Json(json!({ "a": null })))).await, @r#"
    POST /echo
    content-type: application/json
    user-agent: kitfox/VERSION
    {"a":null}
    "#);
    let text = HttpRequest {
        headers: vec![pair("content-type", "text/csv"), pair("user-agent", "cats")],
        ..post(HttpBody::Text("a,b".to_owned()))
    };
    assert_snapshot!(scene.fetch(text).await, @"
    POST /echo
    content-type: text/csv
    user-agent: cats
    a,b
    ");
}

#[tokio::test]
async fn an_answer_has_status_headers_and_body() {
    let scene = Scene::new().await;
    let fetch =
        |path: &str| scene.client.fetch(&scene.plugin, scene.get(path), Redirects::Follow, None);
    let response = fetch("/cookies").await.unwrap();
    assert_eq!((response.status, response.headers["x-one"].as_str()), (200, "1"));
    let response = fetch("/missing").await.unwrap();
    assert_eq!((response.status, response.body.len()), (404, 0));
    let response = fetch("/moved").await.unwrap();
    assert_eq!((response.status, response.body.as_slice()), (302, &b"no location"[..]));
    assert_eq!(fetch("/full").await.unwrap().body.len(), LONGEST_BODY);
}

#[tokio::test]
async fn only_what_is_permitted_is_fetched() {
    let scene = Scene::new().await;
    let fetch = |url: &str| scene.fetch(request("get", url));
    assert_snapshot!(fetch("https://example.org/?key=secret").await, @"plugin `weather` may not fetch `https://example.org`: add `example.org` to `permissions.http` in plugins/weather.rhai");
    assert_snapshot!(fetch("ftp://example.org").await, @"only http and https can be fetched, not `ftp:`");
    assert_snapshot!(fetch("file:///etc/passwd").await, @"only http and https can be fetched, not `file:`");
    assert_snapshot!(fetch("/echo?key=secret").await, @"`/echo` is no URL (relative URL without a base): write it in full, as `https://example.org/path`");
    assert_snapshot!(fetch(&format!("http://me:secret@127.0.0.1:{}/echo", scene.port)).await, @"a URL with a user's name or password is not fetched: send the header `authorization` instead");
    assert_snapshot!(fetch("http://me:secret@127.0.0.1:x").await, @"`127.0.0.1:x` is no URL (invalid port number): write it in full, as `https://example.org/path`");
}

#[tokio::test]
async fn a_name_that_leads_into_the_network_is_refused_unless_the_operator_lists_it() {
    let port = server().await;
    let permitted = plugin(&[format!("http://localhost:{port}"), "http://*".to_owned()]);
    let url = format!("http://localhost:{port}/echo");
    for allow in [&[][..], &["localhost:1".to_owned()], &[format!("other.test:{port}")]] {
        let client = HttpClient::new(allow).0;
        let err = client
            .fetch(&permitted, request("get", &url), Redirects::Follow, None)
            .await
            .unwrap_err();
        let err = err.replace(&format!(":{port}"), ":PORT");
        allow_duplicates!(
            assert_snapshot!(err, @"plugin `weather` may not reach `http://localhost:PORT`: it is not on the public internet, where only the operator lets plugins go; add `localhost:PORT` to `allow_addresses` of `[plugins]` in kitfox.toml")
        );
    }
    for allow in [format!("localhost:{port}"), "127.0.0.0/8".to_owned(), "127.0.0.1".to_owned()] {
        let client = HttpClient::new(&[allow]).0;
        assert_eq!(
            client
                .fetch(&permitted, request("get", &url), Redirects::Follow, None)
                .await
                .unwrap()
                .status,
            200
        );
    }
}

#[tokio::test]
async fn addresses_are_refused_however_they_are_written() {
    let client = HttpClient::new(&[]).0;
    let permitted = plugin(&["*".to_owned(), "http://*".to_owned()]);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "127.0.0.1.",
        "①②⑦.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
        "0.0.0.0",
        "0",
        "169.254.169.254",
        "10.0.0.1",
        "[fe80::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "localhost",
        "LOCALHOST",
    ] {
        for scheme in ["http", "https"] {
            let request = request("get", &format!("{scheme}://{host}/"));
            let err = client.fetch(&permitted, request, Redirects::Follow, None).await.unwrap_err();
            assert!(err.contains("may not reach"), "{scheme}://{host}: {err}");
        }
    }
}

#[tokio::test]
async fn errors_tell_nothing_of_the_network() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let client = HttpClient::new(&["127.0.0.0/8".to_owned(), "::1".to_owned()]).0;
    let fetch = async |url: String| {
        let permitted = plugin(std::slice::from_ref(&url));
        let err = client
            .fetch(&permitted, request("get", &url), Redirects::Follow, None)
            .await
            .unwrap_err();
        err.replace(&format!(":{closed}"), ":PORT")
    };
    assert_snapshot!(fetch(format!("http://localhost:{closed}")).await, @"`http://localhost:PORT` takes no connection");
    assert_snapshot!(fetch(format!("http://{}.test", "a".repeat(64))).await, @"there is no host `aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test`");
    let plain = server().await;
    let err = fetch(format!("https://localhost:{plain}")).await;
    assert_snapshot!(err.replace(&format!(":{plain}"), ":PORT"), @"there is no secure connection to `https://localhost:PORT`: received corrupt message of type InvalidContentType");
}

#[tokio::test]
async fn every_redirect_is_checked_anew() {
    let scene = Scene::new().await;
    let other = server().await;
    let to = |target: &str| scene.get(&format!("/to/302/{target}"));
    assert_snapshot!(scene.fetch(to("echo")).await.lines().next().unwrap_or_default(), @"GET /echo");
    let err = scene.fetch(to(&format!("127.0.0.1:{other}/echo?key=secret"))).await;
    assert_snapshot!(err.replace(&format!(":{other}"), ":OTHER"), @"`http://127.0.0.1:PORT` redirects elsewhere: plugin `weather` may not fetch `http://127.0.0.1:OTHER`: add `http://127.0.0.1:OTHER` to `permissions.http` in plugins/weather.rhai");
    let err = scene.fetch(to(&format!("me:secret@127.0.0.1:{}/echo", scene.port))).await;
    assert_snapshot!(err, @"`http://127.0.0.1:PORT` redirects elsewhere: a URL with a user's name or password is not fetched: send the header `authorization` instead");
    assert_snapshot!(scene.fetch(scene.get("/nowhere")).await, @"`http://127.0.0.1:PORT` redirects to what is no URL");
    assert_snapshot!(scene.fetch(scene.get("/loop")).await, @"`http://127.0.0.1:PORT` redirects more than 5 times");

    // Permitted by name, and yet in the network.
    let scene = Scene {
        plugin: plugin(&[
            "http://*".to_owned(),
            format!("http://*:{other}"),
            format!("http://*:{}", scene.port),
        ]),
        ..scene
    };
    let to = |target: &str| scene.get(&format!("/to/302/{target}"));
    for target in ["169.254.169.254:80/meta-data", "[::1]:80/", "localhost:80/"] {
        let err = scene.fetch(to(target)).await;
        assert!(err.contains("may not reach"), "{err}");
    }
    let err = scene.fetch(to(&format!("localhost:{other}/echo"))).await;
    assert!(err.contains("may not reach"), "{err}");
}

#[tokio::test]
async fn five_redirects_are_followed() {
    let scene = Scene::new().await;
    let path = |count| format!("{}/echo", "/to/302".repeat(count));
    assert!(scene.fetch(scene.get(&path(5))).await.starts_with("GET /echo"));
    assert_snapshot!(scene.fetch(scene.get(&path(6))).await, @"`http://127.0.0.1:PORT` redirects more than 5 times");
}

#[tokio::test]
async fn a_redirect_keeps_method_and_body_as_browsers_do() {
    let scene = Scene::new().await;
    let table = [
        ("post", 301, "GET"),
        ("post", 302, "GET"),
        ("post", 303, "GET"),
        ("post", 307, "POST"),
        ("post", 308, "POST"),
        ("put", 301, "PUT"),
        ("put", 302, "PUT"),
        ("put", 303, "GET"),
        ("delete", 307, "DELETE"),
    ];
    for (method, status, expected) in table {
        let request = HttpRequest {
            body: HttpBody::Text("body".to_owned()),
            ..request(method, &scene.url(&format!("/to/{status}/echo")))
        };
        let echo = scene.fetch(request).await;
        assert!(echo.starts_with(&format!("{expected} /echo\n")), "{method} {status}: {echo}");
        let is_kept = expected != "GET";
        assert_eq!(echo.ends_with("body"), is_kept, "{method} {status}: {echo}");
        assert_eq!(echo.contains("content-type: text/plain"), is_kept, "{method} {status}: {echo}");
    }
}

#[tokio::test]
async fn credentials_stay_with_their_origin() {
    let scene = Scene::new().await;
    let other = server().await;
    let client = HttpClient::new(&["127.0.0.1".to_owned()]).0;
    let plugin = plugin(&[format!("http://127.0.0.1:{other}"), scene.url("")]);
    let scene = Scene { client, plugin, ..scene };
    let headers =
        vec![pair("authorization", "Bearer x"), pair("Cookie", "a=1"), pair("x-other", "1")];
    let to = |target: String| {
        let headers = headers.clone();
        scene.fetch(HttpRequest { headers, ..scene.get(&format!("/to/307/{target}")) })
    };
    let echo = to("echo".to_owned()).await;
    assert!(echo.contains("authorization: Bearer x") && echo.contains("cookie: a=1"), "{echo}");
    let echo = to(format!("127.0.0.1:{other}/echo")).await;
    assert!(echo.contains("x-other: 1"), "{echo}");
    assert!(!echo.contains("authorization") && !echo.contains("cookie"), "{echo}");
}

#[tokio::test]
async fn a_long_answer_is_an_error() {
    let scene = Scene::new().await;
    assert_snapshot!(scene.fetch(scene.get("/long")).await, @"the answer of `http://127.0.0.1:PORT` is longer than 8388608 bytes");
    assert_snapshot!(scene.fetch(scene.get("/longer")).await, @"the answer of `http://127.0.0.1:PORT` is longer than 8388608 bytes");
}

#[tokio::test]
async fn a_slow_answer_is_an_error() {
    let scene = Scene::new().await;
    for path in ["/slow", "/stalls"] {
        let timeout = Some(Duration::from_millis(100));
        let err = scene.fetch(HttpRequest { timeout, ..scene.get(path) }).await;
        allow_duplicates!(
            assert_snapshot!(err, @"`http://127.0.0.1:PORT` did not answer in full within 0.1 s")
        );
    }
}

#[tokio::test]
async fn headers_cannot_carry_another_request() {
    let scene = Scene::new().await;
    let with = |name: &str, value: &str| {
        scene.fetch(HttpRequest { headers: vec![pair(name, value)], ..scene.get("/echo") })
    };
    assert_snapshot!(with("x-a", "1\r\nhost: evil.test").await, @"the header `x-a` holds a line break or another character that headers cannot hold");
    assert_snapshot!(with("x-a\r\nhost", "evil.test").await, @r#"`x-a\r\nhost` is no header's name"#);
    assert_snapshot!(with("Host", "evil.test").await, @"the header `host` is set by Kitfox alone: leave it out");
    for name in [
        "Content-Length",
        "connection",
        "Keep-Alive",
        "transfer-encoding",
        "TE",
        "trailer",
        "upgrade",
        "expect",
        "proxy-authorization",
        "Proxy-Connection",
        "http2-settings",
    ] {
        let err = with(name, "x").await;
        assert!(err.ends_with("is set by Kitfox alone: leave it out"), "{name}: {err}");
    }
    let method = |method: &str| scene.fetch(request(method, &scene.url("/echo")));
    assert_snapshot!(method("GET / HTTP/1.1\r\n").await, @r#"`GET / HTTP/1.1\r\n` is no method: write `GET`, `POST` or the like"#);
    assert_snapshot!(method("connect").await, @"the method `CONNECT` cannot be used");
}

#[tokio::test]
async fn a_plugin_that_waits_for_approval_fetches_nothing() {
    let mut scene = Scene::new().await;
    scene.plugin.approved = false;
    assert_snapshot!(scene.fetch(scene.get("/echo")).await, @"plugin `weather` may not fetch `http://127.0.0.1:PORT`: approve it by `kitfox plugins approve weather`");
}

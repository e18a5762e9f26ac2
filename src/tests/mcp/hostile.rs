//! Servers that hang, flood, lie and break.

use std::time::Duration;

use axum::{
    body::Body,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::tests::{
    harness::{Server, converse},
    mcp::{
        fake::{Fake, text, tool, usual},
        file, status, tools, with,
    },
};

/// Far less than what a server may take, far more than a busy machine does.
const SOON: Duration = Duration::from_secs(20);

/// The model's news of a call of `notes__go`, answered so.
async fn told(more: &str, answer: impl Fn(u64) -> Response + Send + Sync + 'static) -> String {
    let fake = Fake::with_tools(json!([tool("go"), tool("good")]), move |seen| {
        let id = seen.body["id"].as_u64().unwrap();
        let response = if seen.body["params"]["name"] == "good" {
            text(&seen.body, "still here")
        } else {
            answer(id)
        };
        async move { response }
    })
    .await;
    let server = with(&fake.url, more).await;
    let script = "user go\n calls notes__go {} & notes__good {}\n text ok";
    timeout(SOON, converse(&server, script)).await.unwrap();
    let input = server.last_input();
    assert!(input.ends_with("output \"still here\""), "{input}");
    let line = input.lines().find(|it| it.starts_with("output")).unwrap();
    line.to_owned()
}

fn json_response(body: impl Into<Body>) -> Response {
    Response::builder().header("content-type", "application/json").body(body.into()).unwrap()
}

#[tokio::test]
async fn a_call_that_hangs_is_an_error_within_its_timeout() {
    let fake = Fake::with_tools(json!([tool("hang")]), |_| std::future::pending()).await;
    let server = with(&fake.url, "timeout = \"300ms\"").await;
    let script = "user go\n call notes__hang {}\n text ok";
    timeout(SOON, converse(&server, script)).await.unwrap();
    let input = server.last_input();
    assert!(
        input.ends_with(r#"output "error: the server `notes` did not answer within 1 s""#),
        "{input}"
    );
}

#[tokio::test]
async fn a_server_that_hangs_at_connect_delays_a_turn_by_a_moment_once() {
    let fake = Fake::start(|_| std::future::pending()).await;
    let good = Fake::echo().await;
    let server = Server::start(&[
        ("plugins/hangs.mcp.toml", &file(&fake.url, "")),
        ("plugins/good.mcp.toml", &file(&good.url, "")),
    ])
    .await;
    let first = converse(&server, "user hi\n call good__echo {}\n text ok");
    timeout(SOON, first).await.unwrap();
    assert_eq!(tools(&server), ["good__echo"]);
    let begin = Instant::now();
    converse(&server, "user hi\n text ok").await;
    // It is waited for no longer, though it hangs for 15 s.
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(status(&server)["id"], "good");
}

#[tokio::test]
async fn answers_that_are_none_are_errors_and_other_calls_go_on() {
    let broken = told("timeout = \"1s\"", |_| json_response("{\"jsonrpc\": ")).await;
    assert_eq!(
        broken,
        r#"output "error: the server `notes` is not available: its answer is no JSON-RPC message""#
    );
    let html = told("", |_| axum::response::Html("<p>Hello").into_response()).await;
    assert_eq!(
        html,
        r#"output "error: the server `notes` is not available: its answer is of the type `text/html; charset=utf-8`, not JSON""#
    );
    let status = told("", |_| StatusCode::BAD_GATEWAY.into_response()).await;
    assert_eq!(
        status,
        r#"output "error: the server `notes` is not available: it answers with the HTTP status 502""#
    );
    let other_id = told("timeout = \"500ms\"", |id| {
        let result = json!({ "content": [{ "type": "text", "text": "mine" }] });
        json_response(json!({ "jsonrpc": "2.0", "id": id + 1000, "result": result }).to_string())
    })
    .await;
    assert_eq!(other_id, r#"output "error: the server `notes` did not answer within 1 s""#);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_a_challenge_leads_to_metadata_alone() {
    let elsewhere = Fake::echo().await;
    let url = elsewhere.url.clone();
    let redirected = told("", move |_| Redirect::temporary(&url).into_response()).await;
    assert_eq!(
        redirected,
        r#"output "error: the server `notes` is not available: it redirects elsewhere, which is not followed""#
    );
    assert_eq!(elsewhere.seen.lock().unwrap().len(), 0);
    let metadata = format!("Bearer resource_metadata=\"{}\"", elsewhere.url);
    let challenged = told("", move |_| {
        (StatusCode::UNAUTHORIZED, [("www-authenticate", metadata.clone())]).into_response()
    })
    .await;
    assert_eq!(
        challenged,
        r#"output "error: the server `notes` wants to know who asks, and does not say where users log in: its operator adds a credential to the `headers` of its file, or `[oauth]`""#
    );
    // It was asked for metadata, which it has none, and for nothing else.
    let seen = elsewhere.seen.lock().unwrap();
    assert!(seen.iter().all(|it| it.method == "GET" && it.body.is_null()), "{seen:?}");
}

#[tokio::test]
async fn results_without_measure_are_bounded() {
    let endless = || {
        let chunk = Bytes::from(vec![b'x'; 65536]);
        stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()))
    };
    let large = told("", move |_| {
        let begin = stream::once(async { Ok(Bytes::from_static(b"{\"jsonrpc\":\"")) });
        json_response(Body::from_stream(begin.chain(endless().take(1024))))
    })
    .await;
    assert_eq!(
        large,
        r#"output "error: the server `notes` is not available: its answer is larger than 8 MiB""#
    );
    let event = told("", move |_| {
        let begin = stream::once(async { Ok(Bytes::from_static(b"data: ")) });
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(begin.chain(endless().take(512))))
            .unwrap()
    })
    .await;
    assert_eq!(event, r#"output "error: the answer is larger than 8 MiB""#);
}

#[tokio::test]
async fn a_storm_of_changes_lists_the_tools_a_few_times() {
    let fake = Fake::with_tools(json!([tool("storm")]), |seen| async move {
        let change = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        let content = json!([{ "type": "text", "text": "over" }]);
        let answer =
            json!({ "jsonrpc": "2.0", "id": seen.body["id"], "result": { "content": content } });
        let mut events = vec![change; 5000];
        events.push(answer);
        let events =
            events.into_iter().map(|it| Ok::<_, std::io::Error>(format!("data: {it}\n\n")));
        Response::builder()
            .header("content-type", "text/event-stream")
            .body(Body::from_stream(stream::iter(events)))
            .unwrap()
    })
    .await;
    let server = with(&fake.url, "").await;
    for _ in 0..3 {
        converse(&server, "user hi\n call notes__storm {}\n text ok").await;
        assert!(server.last_input().ends_with("output \"over\""));
    }
    assert!(fake.count("tools/list") <= 5, "{}", fake.count("tools/list"));
}

#[tokio::test]
async fn an_old_server_is_told_as_such() {
    let fake = Fake::start(|_| async { StatusCode::NOT_FOUND.into_response() }).await;
    let server = with(&fake.url, "").await;
    converse(&server, "user hi\n text ok").await;
    assert_eq!(status(&server)["state"], "failed");
    assert_eq!(status(&server)["reason"], "it answers with the HTTP status 404");
}

#[tokio::test]
async fn a_server_that_wants_a_login_is_told_as_such() {
    let fake = Fake::start(|seen| async move {
        if seen.body["method"] == "tools/list" {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        usual(&seen.body, &json!([])).unwrap()
    })
    .await;
    let server = with(&fake.url, "").await;
    converse(&server, "user hi\n text ok").await;
    let reason = status(&server)["reason"].to_string();
    assert!(reason.contains("it wants a login that it was not given"), "{reason}");
}

#[tokio::test]
async fn a_server_that_answers_a_discovery_with_nothing_is_of_the_older_era() {
    let fake = Fake::start(|seen| async move {
        if seen.body["method"] == "server/discover" {
            return crate::tests::mcp::fake::result(&seen.body, json!({}));
        }
        usual(&seen.body, &json!([tool("go")])).unwrap_or_else(|| text(&seen.body, "ok"))
    })
    .await;
    let server = with(&fake.url, "").await;
    converse(&server, "user hi\n call notes__go {}\n text ok").await;
    assert_eq!(status(&server)["protocol"], "2025-11-25");
    assert!(server.last_input().ends_with("output \"ok\""), "{}", server.last_input());
}

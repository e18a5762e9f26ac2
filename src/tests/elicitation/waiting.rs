//! Calls that a server holds: how long, for whom, and what becomes of them.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::{sync::Notify, time::timeout};

use super::{Asker, Era, answer, ask, form, servers::legacy, told, with};
use crate::{
    model::{ScriptedFailure, ScriptedResponse, ScriptedStep},
    tests::{
        harness::{Server, chatkit_request, input},
        mcp::fake::{Fake, tool, usual},
    },
};

const SOON: Duration = Duration::from_secs(20);

fn city() -> Value {
    form(&json!({ "city": { "type": "string" } }), &["city"])
}

/// A server of 2025-11-25 that asks for a city and waits for ever; it tells when its call is cancelled.
async fn patient() -> (Fake, Arc<Notify>) {
    let cancelled = Arc::new(Notify::new());
    let told = cancelled.clone();
    let fake = Fake::start(move |seen| {
        let told = told.clone();
        async move {
            if seen.body["method"] == "notifications/cancelled" {
                told.notify_one();
            }
            if let Some(response) = usual(&seen.body, &json!([tool("ask")])) {
                return response;
            }
            let ask = json!({ "jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": city() });
            let event = futures::stream::iter([Ok::<_, std::io::Error>(format!("data: {ask}\n\n"))]);
            Response::builder()
                .header("content-type", "text/event-stream")
                .body(Body::from_stream(event.chain(futures::stream::pending())))
                .unwrap()
        }
    })
    .await;
    (fake, cancelled)
}

#[tokio::test]
async fn the_users_time_is_not_the_servers() {
    let fake = legacy(vec![city()]).await;
    let server = with(&fake.url, "timeout = \"300ms\"").await;
    let (thread, item) = ask(&server).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    answer(&server, &thread, &item.unwrap(), &json!({ "city": "Oslo" })).await;
    assert_eq!(told(&server), r#"{"action":"accept","content":{"city":"Oslo"}}"#);
}

#[tokio::test]
async fn a_server_is_told_when_the_user_takes_too_long_and_the_thread_goes_on() {
    let (fake, cancelled) = patient().await;
    let server = with(&fake.url, "answer_timeout = \"1s\"").await;
    let (thread, item) = ask(&server).await;
    timeout(SOON, cancelled.notified()).await.unwrap();
    answer(&server, &thread, &item.unwrap(), &json!({ "city": "Oslo" })).await;
    assert_eq!(
        told(&server),
        "error: `notes__ask` does not wait for the user's answer any more: it does so for 1 s, and not across a restart; \
         call it again if it is still needed"
    );
}

#[tokio::test]
async fn who_writes_on_cancels_the_call() {
    let (fake, cancelled) = patient().await;
    let server = with(&fake.url, "").await;
    let (thread, _) = ask(&server).await;
    server.say("ada", &thread, "never mind").await;
    timeout(SOON, cancelled.notified()).await.unwrap();
    assert!(server.last_input().contains("they wrote the next message instead"));
}

#[tokio::test]
async fn a_call_goes_with_its_thread_and_with_its_answer() {
    for operation in ["threads.delete", "threads.retry_after_item"] {
        let (fake, cancelled) = patient().await;
        let server = with(&fake.url, "").await;
        server.model.push(ScriptedResponse::call("notes__ask", json!({})));
        let (thread, events) = server.create("ada", "go").await;
        assert!(super::asked(&events).is_some());
        let message = events.iter().find(|it| it["item"]["type"] == "user_message").unwrap();
        let params = json!({ "thread_id": thread, "item_id": message["item"]["id"] });
        server.model.push(ScriptedResponse::text("Again."));
        server.call("ada", operation, params).await;
        timeout(SOON, cancelled.notified()).await.unwrap();
    }
}

#[tokio::test]
async fn a_turn_that_ends_before_it_asks_cancels_the_call() {
    let (fake, cancelled) = patient().await;
    let slow = r#"tool(#{ name: "slow", description: "Is slow.", run: |args, ctx| { sleep(0.3); ctx.error("no", false) } });"#;
    let file = format!("transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\n", fake.url);
    let files = [("plugins/notes.mcp.toml", file.as_str()), ("plugins/slow.rhai", slow)];
    let server = Server::start(&files).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::call("notes__ask", &json!({})),
        ScriptedStep::call("slow", &json!({})),
    ]));
    let (thread, events) = server.create("ada", "go").await;
    assert_eq!(events.last().unwrap()["type"], "error");
    timeout(SOON, cancelled.notified()).await.unwrap();
    server.model.push(ScriptedResponse::text("Hello."));
    let events = server.say("ada", &thread, "still there?").await;
    assert_eq!(events.last().unwrap()["type"], "thread.item.done");
}

#[tokio::test]
async fn a_restart_ends_the_wait_and_the_thread_goes_on() {
    let (fake, _) = patient().await;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}", folder.path().join("kitfox.db").display());
    let file = format!("transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\n", fake.url);
    let files = [("plugins/notes.mcp.toml", file.as_str())];
    let server = Server::start_on(&files, &store).await;
    let (thread, item) = ask(&server).await;
    server.app.close().await;
    let server = Server::start_on(&files, &store).await;
    server.model.push(ScriptedResponse::text("I see."));
    answer(&server, &thread, &item.unwrap(), &json!({ "city": "Oslo" })).await;
    assert!(
        told(&server).contains("does not wait for the user's answer any more"),
        "{}",
        told(&server)
    );
    // What is made once more needs nobody who waited.
    let asker = Asker::start(Era::Modern, city()).await;
    let file = format!("transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\n", asker.url);
    let files = [("plugins/notes.mcp.toml", file.as_str())];
    let server = Server::start_on(&files, &store).await;
    let (thread, item) = ask(&server).await;
    server.app.close().await;
    let server = Server::start_on(&files, &store).await;
    server.model.push(ScriptedResponse::text("I see."));
    answer(&server, &thread, &item.unwrap(), &json!({ "city": "Oslo" })).await;
    assert_eq!(told(&server), r#"{"action":"accept","content":{"city":"Oslo"}}"#);
}

#[tokio::test]
async fn a_call_outlives_the_file_of_its_server_while_the_user_answers() {
    let fake = legacy(vec![city()]).await;
    let server = with(&fake.url, "").await;
    let (thread, item) = ask(&server).await;
    let file = format!(
        "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\ntimeout = \"9s\"\n",
        fake.url
    );
    server.save("plugins/notes.mcp.toml", &file).await;
    answer(&server, &thread, &item.unwrap(), &json!({ "city": "Oslo" })).await;
    assert_eq!(told(&server), r#"{"action":"accept","content":{"city":"Oslo"}}"#);
}

#[tokio::test]
async fn who_leaves_before_the_question_cancels_the_call() {
    let (fake, cancelled) = patient().await;
    let called = Arc::new(Notify::new());
    let hang = {
        let called = called.clone();
        Fake::with_tools(json!([tool("hang")]), move |_| {
            called.notify_one();
            std::future::pending()
        })
        .await
    };
    let file = |url: &str| format!("transport = \"http\"\nurl = \"{url}\"\napproval = \"never\"\n");
    let (asks, hangs) = (file(&fake.url), file(&hang.url));
    let files = [("plugins/notes.mcp.toml", &*asks), ("plugins/hang.mcp.toml", &*hangs)];
    let server = Server::start(&files).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::call("notes__ask", &json!({})),
        ScriptedStep::call("hang__hang", &json!({})),
    ]));
    let body = json!({ "type": "threads.create", "params": { "input": input("go") } });
    let response = server.send(chatkit_request("ada", &body)).await;
    let mut stream = response.into_body().into_data_stream();
    stream.next().await.unwrap().unwrap();
    called.notified().await;
    drop(stream);
    timeout(SOON, cancelled.notified()).await.unwrap();
}

#[tokio::test]
async fn a_model_that_fails_after_the_answer_leaves_a_usable_thread() {
    let fake = legacy(vec![city()]).await;
    let server = with(&fake.url, "").await;
    server.model.push(ScriptedResponse::call("notes__ask", json!({})));
    let (thread, events) = server.create("ada", "go").await;
    server.model.push(ScriptedResponse::fail(ScriptedFailure::Failed));
    let item = super::asked(&events).unwrap();
    let events = answer(&server, &thread, &item, &json!({ "city": "Oslo" })).await;
    assert_eq!(events.last().unwrap()["type"], "error");
    server.model.push(ScriptedResponse::text("Oslo it is."));
    server.say("ada", &thread, "well?").await;
    assert!(server.last_input().contains("Oslo"), "{}", server.last_input());
}

//! Turns: what is said, stored, cancelled, and what fails.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use futures::StreamExt;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    model::{ScriptedFailure, ScriptedResponse, ScriptedStep},
    tests::harness::{Server, check, converse, events, input},
};

#[tokio::test]
async fn a_message_is_answered() {
    assert_snapshot!(check(&[], "
        user hi
        text Hel|lo
    ").await, @r#"
    created
    item.done user_message "hi"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.added assistant_message
    item.updated content part
    item.updated "Hel"
    item.updated "lo"
    item.updated part done "Hello"
    item.done assistant_message "Hello"
    "#);
}

#[tokio::test]
async fn the_next_turn_knows_the_last_one() {
    let server = Server::start(&[]).await;
    converse(
        &server,
        "
        user one
        text first
        user two
        text second
    ",
    )
    .await;
    assert_snapshot!(server.last_input(), @r#"
    user "one"
    assistant "first"
    user "two"
    "#);
}

#[tokio::test]
async fn a_retry_forgets_the_old_answer_and_is_announced_by_nothing() {
    let server = Server::start(&[]).await;
    let shown = converse(
        &server,
        "
        user one
        text bad
        retry
        text good
    ",
    )
    .await;
    assert!(shown.ends_with("item.done assistant_message \"good\""), "{shown}");
    assert!(!shown.contains("removed"), "{shown}");
    assert_snapshot!(server.last_input(), @r#"user "one""#);
}

#[tokio::test]
async fn a_failing_model_is_an_error_that_can_be_retried_and_the_thread_goes_on() {
    let shown = check(
        &[],
        "
        user one
        fail failed
        user two
        text fine
    ",
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "one"
    stream_options {"stream_options":{"allow_cancel":true}}
    error {"code":"stream.error","allow_retry":true}
    item.done user_message "two"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.added assistant_message
    item.updated content part
    item.updated "fine"
    item.updated part done "fine"
    item.done assistant_message "fine"
    "#);
}

#[tokio::test]
async fn a_model_that_is_not_configured_says_what_to_do() {
    let shown = check(
        &[],
        "
        user one
        fail unconfigured
    ",
    )
    .await;
    assert!(
        shown.ends_with(
            r#"error {"code":"custom","message":"as the script says","allow_retry":true}"#
        ),
        "{shown}"
    );
}

#[tokio::test]
async fn text_that_was_shown_before_an_error_is_kept() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("par|tial"),
        ScriptedStep::Fail(ScriptedFailure::Failed),
    ]));
    let (thread, events) = server.create("ada", "hi").await;
    assert_eq!(events.last().unwrap()["type"], "error");
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "hi"
    assistant_message "partial"
    "#);
}

#[tokio::test]
async fn an_input_that_is_too_long_loses_its_oldest_turns() {
    let server = Server::start(&[]).await;
    converse(
        &server,
        "
        user one
        text first
        user two
        text second
        user three
        fail overflow
        text third
    ",
    )
    .await;
    assert_snapshot!(server.last_input(), @r#"user "three""#);
}

#[tokio::test]
async fn reasoning_is_a_workflow_that_ends_with_the_message() {
    let shown = check(
        &[],
        r#"
        user why?
        json [{"reasoning": "Let me|think."}, {"reasoning": "More."}, {"text": "Because."}]
    "#,
    )
    .await;
    let shown: Vec<_> = shown.lines().skip(3).collect();
    assert_snapshot!(shown.join("\n"), @r#"
    item.added workflow of 0 tasks
    item.updated task added {"type":"thought","status_indicator":"none","content":"Let me"}
    item.updated task updated {"type":"thought","status_indicator":"none","content":"Let methink."}
    item.updated task updated {"type":"thought","status_indicator":"none","content":"Let methink."}
    item.updated task added {"type":"thought","status_indicator":"none","content":"More."}
    item.done workflow of 2 tasks
    item.added assistant_message
    item.updated content part
    item.updated "Because."
    item.updated part done "Because."
    item.done assistant_message "Because."
    "#);
}

#[tokio::test]
async fn a_client_that_leaves_keeps_the_text_so_far_and_the_model_is_told() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("Hel|lo"),
        ScriptedStep::Gate("never".to_owned()),
    ]));
    let thread = leave_after(&server, "ada", "\"delta\":\"lo\"").await;
    server.app.running.idle().await;
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "hi"
    assistant_message "Hello"
    "#);
    server.model.push(ScriptedResponse::text("next"));
    server.say("ada", &thread, "go on").await;
    assert_snapshot!(server.last_input(), @r#"
    user "hi"
    assistant "Hello"
    user "Hidden context for the agent (not shown to the user):\n<HiddenContext>\nThe user cancelled the stream. Stop responding to the prior request.\n</HiddenContext>"
    user "go on"
    "#);
}

#[tokio::test]
async fn an_answer_that_may_not_be_cancelled_goes_on_without_its_reader() {
    let prompt = "---\ntitles: false\nallow_cancel: false\n---\nTest.\n";
    let server = Server::start(&[("prompts/assistant.md", prompt)]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("Hel"),
        ScriptedStep::Gate("left".to_owned()),
        ScriptedStep::text("lo"),
    ]));
    let thread = leave_after(&server, "ada", "\"delta\":\"Hel\"").await;
    server.model.open("left");
    server.app.running.idle().await;
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "hi"
    assistant_message "Hello"
    "#);
}

#[tokio::test]
async fn a_second_turn_on_a_thread_is_refused_while_one_runs() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::text("ok"));
    let (thread, _) = server.create("ada", "hi").await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::Gate("held".to_owned()),
        ScriptedStep::text("first"),
    ]));
    let say = json!({ "type": "threads.add_user_message", "params": { "thread_id": thread, "input": input("one") } });
    let first = server.post("ada", &say).await;
    server.model.reached("held").await;
    let (status, body) =
        server.call("ada", "threads.add_user_message", say["params"].clone()).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_snapshot!(body["message"].as_str().unwrap(), @"another turn is running on this thread: wait for it to end, or stop it");
    server.model.open("held");
    let text = crate::tests::harness::text(first).await;
    assert_eq!(events(&text).last().unwrap()["item"]["content"][0]["text"], "first");
}

#[tokio::test]
async fn deleting_a_thread_ends_its_turn_and_nothing_comes_back() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("par"),
        ScriptedStep::Gate("held".to_owned()),
        ScriptedStep::text("tial"),
    ]));
    let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let response = server.post("ada", &body).await;
    server.model.reached("held").await;
    let (_, page) = server.call("ada", "threads.list", json!({})).await;
    let thread = page["data"][0]["id"].clone();
    let (status, _) = server.call("ada", "threads.delete", json!({ "thread_id": thread })).await;
    assert_eq!(status, StatusCode::OK);
    server.model.open("held");
    crate::tests::harness::text(response).await;
    let (_, page) = server.call("ada", "threads.list", json!({})).await;
    assert_eq!(page, json!({ "data": [], "has_more": false }));
}

#[tokio::test]
async fn a_new_thread_is_named_beside_its_first_turn() {
    let prompt = "Test.\n";
    let server = Server::start(&[("prompts/assistant.md", prompt)]).await;
    server.model.push(ScriptedResponse::complete("\"Greetings.\""));
    server.model.push(ScriptedResponse::text("hello"));
    let (thread, events) = server.create("ada", "hi").await;
    let updated: Vec<&Value> = events.iter().filter(|it| it["type"] == "thread.updated").collect();
    assert_eq!(updated.len(), 1);
    assert_eq!(updated[0]["thread"]["title"], "Greetings");
    let (_, stored) = server.call("ada", "threads.get_by_id", json!({ "thread_id": thread })).await;
    assert_eq!(stored["title"], "Greetings");
}

#[tokio::test]
async fn a_client_that_does_not_read_cannot_keep_its_turn_from_ending() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::text(&"word|".repeat(500)));
    let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let response = server.post("ada", &body).await;
    let (_, page) = server.call("ada", "threads.list", json!({})).await;
    let thread = page["data"][0]["id"].clone();
    server.call("ada", "threads.delete", json!({ "thread_id": thread })).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), server.app.running.idle()).await;
    assert!(ended.is_ok(), "the turn still runs");
    drop(response);
}

#[tokio::test]
async fn a_client_that_leaves_after_the_answer_has_cancelled_nothing() {
    let hook = r#"on("turn.done", |event, ctx| { ctx.progress("ending"); sleep(30); });"#;
    let server = Server::start(&[("plugins/hook.rhai", hook)]).await;
    server.model.push(ScriptedResponse::text("Hello"));
    let thread = leave_after(&server, "ada", "\"ending\"").await;
    server.app.running.idle().await;
    server.remove("plugins/hook.rhai").await;
    server.model.push(ScriptedResponse::text("next"));
    server.say("ada", &thread, "go on").await;
    assert_snapshot!(server.last_input(), @r#"
    user "hi"
    assistant "Hello"
    user "go on"
    "#);
}

#[tokio::test]
async fn a_thread_gets_its_title_though_its_first_turn_was_cancelled() {
    let hook = r#"on("request", |event, ctx| { ctx.progress("asking"); sleep(30); });"#;
    let files = [("prompts/assistant.md", "Test.\n"), ("plugins/hook.rhai", hook)];
    let server = Server::start(&files).await;
    server.model.push(ScriptedResponse::complete("Greetings"));
    let thread = leave_after(&server, "ada", "\"asking\"").await;
    server.app.running.idle().await;
    server.app.tasks.close();
    server.app.tasks.wait().await;
    let (_, stored) = server.call("ada", "threads.get_by_id", json!({ "thread_id": thread })).await;
    assert_eq!(stored["title"], "Greetings");
}

#[tokio::test]
async fn a_tool_that_a_hook_takes_away_is_not_forced_either() {
    let hook = r#"
        tool(#{ name: "a", description: "A.", run: |args, ctx| 1 });
        on("request", |event, ctx| #{ drop_tools: ["a"] });
    "#;
    let server = Server::start(&[("plugins/hook.rhai", hook)]).await;
    server.model.push(ScriptedResponse::text("no"));
    let mut message = input("hi");
    message["inference_options"] = json!({ "tool_choice": { "id": "a" } });
    server.stream("ada", "threads.create", json!({ "input": message })).await;
    assert_eq!(server.model.requests()[0].tool_choice, None);
}

#[tokio::test]
async fn a_turn_that_the_servers_end_cuts_is_stored_and_its_client_is_told() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("Hel"),
        ScriptedStep::Gate("never".to_owned()),
    ]));
    let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let response = server.post("ada", &body).await;
    server.model.reached("never").await;
    server.app.stopping.cancel();
    server.app.running.cancel_all();
    let events = events(&crate::tests::harness::text(response).await);
    let end = json!({ "type": "error", "code": "stream.error", "allow_retry": true });
    assert_eq!(events.last(), Some(&end));
    let thread = events[0]["thread"]["id"].as_str().unwrap();
    let user = crate::user::User::new("header", "", "ada").key;
    let rows = server.app.store.of(&user);
    let records = rows.load_history(&thread.into(), 10).await.unwrap();
    let records = serde_json::to_value(records).unwrap();
    assert_eq!(records[1]["content"][0]["text"], "Hel");
    assert_eq!(records[2]["type"], "sdk_hidden_context");
    assert_eq!(records[3], Value::Null);
}

/// Begins a thread with `hi`, reads until this text, and leaves.
pub async fn leave_after(server: &Server, user: &str, wanted: &str) -> String {
    let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let seen = read_until(server.post(user, &body).await, wanted).await;
    events(&seen)[0]["thread"]["id"].as_str().unwrap().to_owned()
}

/// What a stream says up to `wanted`, where its reader leaves.
pub async fn read_until(response: Response<Body>, wanted: &str) -> String {
    let mut frames = response.into_body().into_data_stream();
    let mut seen = String::new();
    while !seen.contains(wanted) {
        let frame = tokio::time::timeout(Duration::from_secs(10), frames.next()).await;
        let bytes = frame.expect("the text comes").expect("the stream goes on").unwrap();
        seen.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    seen
}

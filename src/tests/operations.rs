//! Operations: what they answer, whom they refuse, and that a refusal stores nothing.

use std::fmt::Write;

use axum::http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    model::ScriptedResponse,
    tests::harness::{Server, chatkit_request, input, json_body},
};

#[tokio::test]
async fn another_users_thread_is_as_unknown_as_one_that_never_was() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::text("secret"));
    let (thread, events) = server.create("ada", "secret").await;
    let item = events[1]["item"]["id"].clone();
    let before = server.items("ada", &thread).await;
    for (operation, params) in operations(&thread, &item) {
        let (unknown_thread, unknown_item) = ("thr_0", json!("msg_0"));
        let unknown = operations(unknown_thread, &unknown_item);
        let unknown = unknown.iter().find(|it| it.0 == operation).unwrap().1.clone();
        let (status, mut answer) = server.call("eve", operation, params).await;
        let (unknown_status, mut unknown_answer) = server.call("eve", operation, unknown).await;
        for answer in [&mut answer, &mut unknown_answer] {
            answer.as_object_mut().unwrap().remove("request_id");
        }
        assert_eq!(status, StatusCode::NOT_FOUND, "{operation}: {answer}");
        assert_eq!((status, answer), (unknown_status, unknown_answer), "{operation}");
    }
    assert_eq!(server.items("ada", &thread).await, before);
    let (_, list) = server.call("eve", "threads.list", json!({})).await;
    assert_eq!(list, json!({ "data": [], "has_more": false }));
}

fn operations(thread: &str, item: &Value) -> Vec<(&'static str, Value)> {
    let action = json!({ "type": "say", "payload": {} });
    vec![
        ("threads.get_by_id", json!({ "thread_id": thread })),
        ("threads.update", json!({ "thread_id": thread, "title": "mine" })),
        ("threads.delete", json!({ "thread_id": thread })),
        ("items.list", json!({ "thread_id": thread })),
        ("items.feedback", json!({ "thread_id": thread, "item_ids": [item], "kind": "positive" })),
        ("threads.add_user_message", json!({ "thread_id": thread, "input": input("hi") })),
        ("threads.retry_after_item", json!({ "thread_id": thread, "item_id": item })),
        ("threads.add_client_tool_output", json!({ "thread_id": thread, "result": 1 })),
        (
            "threads.add_structured_input",
            json!({ "thread_id": thread, "item_id": item, "input": {} }),
        ),
        ("threads.custom_action", json!({ "thread_id": thread, "action": action })),
        ("threads.sync_custom_action", json!({ "thread_id": thread, "action": action })),
    ]
}

#[tokio::test]
async fn what_is_refused_says_why_and_stores_nothing() {
    let server = Server::start(&[]).await;
    let mut unknown_model = input("hi");
    unknown_model["inference_options"] = json!({ "model": "gpt-99" });
    let mut attachment = input("hi");
    attachment["attachments"] = json!(["atc_1"]);
    let refusals = [
        ("threads.create", json!({ "input": input("") })),
        ("threads.create", json!({ "input": unknown_model })),
        ("threads.create", json!({ "input": attachment })),
        ("threads.list", json!({ "limit": -1 })),
        ("threads.list", json!({ "after": "thr_0" })),
        ("threads.explode", json!({})),
        ("attachments.create", json!({ "name": "a", "size": 0, "mime_type": "text/plain" })),
        ("input.transcribe", json!({ "audio_base64": "", "mime_type": "audio/webm" })),
    ];
    let mut texts = String::new();
    for (operation, params) in refusals {
        let (status, body) = server.call("ada", operation, params).await;
        let message = body["message"].as_str().unwrap_or_default();
        writeln!(texts, "{operation} {}: {message}", status.as_u16()).unwrap();
    }
    assert_snapshot!(texts, @r"
    threads.create 400: `params.input.content`: the message is empty
    threads.create 400: `params.input.inference_options.model`: there is no model `gpt-99`: choose one of `default`
    threads.create 404: attachment not found
    threads.list 400: `params.limit`: -1 is less than 0
    threads.list 400: `params.after`: is not a cursor of this list: begin again without it
    threads.explode 400: there is no operation `threads.explode`: did you mean `threads.delete`?
    attachments.create 400: `params.size`: the file is empty
    input.transcribe 400: speech is not transcribed here: add `[transcribe]` with `provider` and `model` to kitfox.toml
    ");
    let (_, list) = server.call("ada", "threads.list", json!({})).await;
    assert_eq!(list, json!({ "data": [], "has_more": false }));
}

#[tokio::test]
async fn a_locked_thread_takes_no_message_and_says_why() {
    let lock = r#"
        tool(#{ name: "lock", description: "Locks.", run: |args, ctx| {
            ctx.thread.status = #{ type: "locked", reason: "quota" };
            "ok"
        } });
    "#;
    let server = Server::start(&[("plugins/lock.rhai", lock)]).await;
    server.model.push(ScriptedResponse::call("lock", json!({})));
    server.model.push(ScriptedResponse::text("locked"));
    let (thread, _) = server.create("ada", "lock it").await;
    let params = json!({ "thread_id": thread, "input": input("hi") });
    let (status, body) = server.call("ada", "threads.add_user_message", params).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["message"], "the thread is locked: quota");
}

#[tokio::test]
async fn a_title_is_kept_and_an_endless_one_is_not() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::text("hello"));
    let (thread, _) = server.create("ada", "hi").await;
    let update = |title: String| json!({ "thread_id": thread, "title": title });
    let (status, answer) = server.call("ada", "threads.update", update("Nëw".to_owned())).await;
    assert_eq!((status, &answer["title"]), (StatusCode::OK, &json!("Nëw")));
    assert_eq!(answer["metadata"], json!({}));
    let (status, answer) = server.call("ada", "threads.update", update("x".repeat(501))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_snapshot!(answer["message"].as_str().unwrap(), @"`params.title`: is longer than 500 characters");
}

#[tokio::test]
async fn feedback_reaches_hooks_and_is_refused_for_items_that_are_not_there() {
    let hook = r#"on("feedback", |event, ctx| ctx.kv.user.set("kind", event.kind));
        tool(#{ name: "last", description: "Last.", run: |args, ctx| ctx.kv.user.get("kind") });"#;
    let server = Server::start(&[("plugins/feedback.rhai", hook)]).await;
    server.model.push(ScriptedResponse::text("hello"));
    let (thread, events) = server.create("ada", "hi").await;
    let item = events.last().unwrap()["item"]["id"].clone();
    let feedback =
        |item: &Value| json!({ "thread_id": thread, "item_ids": [item], "kind": "negative" });
    let (status, answer) = server.call("ada", "items.feedback", feedback(&item)).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({})));
    let (status, _) = server.call("ada", "items.feedback", feedback(&json!("msg_0"))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    server.model.push(ScriptedResponse::call("last", json!({})));
    server.model.push(ScriptedResponse::text("done"));
    server.say("ada", &thread, "what was it?").await;
    assert!(server.last_input().contains(r#"output "negative""#), "{}", server.last_input());
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_is_503_and_readiness_says_so() {
    let server = Server::start(&[]).await;
    server.app.store.close().await;
    let (status, _) = server.call("ada", "threads.create", json!({ "input": input("hi") })).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let ready = server.send(crate::tests::harness::get_request("ada", "/readyz")).await;
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    let alive = server.send(crate::tests::harness::get_request("ada", "/healthz")).await;
    assert_eq!(alive.status(), StatusCode::OK);
    assert!(server.model.requests().is_empty());
}

#[tokio::test]
async fn a_foreign_page_may_not_post() {
    let server = Server::start(&[]).await;
    let body = json!({ "type": "threads.list", "params": {} });
    let mut request = chatkit_request("ada", &body);
    request.headers_mut().insert("origin", "https://evil.example".parse().unwrap());
    let response = server.send(request).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let mut request = chatkit_request("ada", &body);
    request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let response = server.send(request).await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(json_body(response).await["message"].is_string());
}

#[tokio::test]
async fn the_simple_form_gives_named_events() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::text("Hel|lo"));
    let body = json!({ "query": "hi", "context": { "page_context": { "title": "Home" } } });
    let mut request = chatkit_request("ada", &body);
    *request.uri_mut() = "/assistant/chatkit?format=simple".parse().unwrap();
    let text = crate::tests::harness::text(server.send(request).await).await;
    let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    assert_eq!(
        names,
        ["thread.created", "item.created", "item.delta", "item.delta", "item.done", "done"]
    );
}

#[tokio::test]
async fn the_prompt_knows_the_page_and_later_turns_remember_it() {
    let prompt = "---\ntitles: false\n---\nPage: {{ page.title }} User: {{ user.id }} {{ metadata.plan or '' }}\n";
    let server = Server::start(&[("prompts/assistant.md", prompt)]).await;
    server.model.push(ScriptedResponse::text("one"));
    let mut message = input("hi");
    message["metadata"] = json!({ "pageContext": { "title": "Home {{ 7*7 }}" }, "plan": "pro" });
    let events = server.stream("ada", "threads.create", json!({ "input": message })).await;
    let thread = events[0]["thread"]["id"].as_str().unwrap();
    assert_eq!(server.model.requests()[0].instructions, "Page: Home {{ 7*7 }} User: ada pro");
    server.model.push(ScriptedResponse::text("two"));
    server.say("ada", thread, "again").await;
    assert_eq!(server.model.requests()[1].instructions, "Page: Home {{ 7*7 }} User: ada ");
}

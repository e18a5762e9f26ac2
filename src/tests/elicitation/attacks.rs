//! Servers, users and models that want what is not theirs.

use axum::http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Map, Value, json};

use super::{Asker, ERAS, Era, answer, ask, asked, form, servers::legacy, submit, told, with};
use crate::model::ScriptedResponse;

#[tokio::test]
async fn nobody_else_answers_and_nothing_is_answered_twice() {
    for era in ERAS {
        let asker = Asker::start(era, form(&json!({ "city": { "type": "string" } }), &[])).await;
        let server = with(&asker.url, "").await;
        let (thread, item) = ask(&server).await;
        let item = item.unwrap();
        let params = |thread: &str| {
            let input = json!({ "answers": { "city": { "values": ["Rome"] } } });
            json!({ "thread_id": thread, "item_id": item["id"], "input": input })
        };
        let operation = "threads.add_structured_input";
        let (status, _) = server.call("eve", operation, params(&thread)).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        for user in ["eve", "ada"] {
            server.model.push(ScriptedResponse::text("Hello."));
            let (other, _) = server.create(user, "hi").await;
            let (status, _) = server.call(user, operation, params(&other)).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{user}");
        }
        answer(&server, &thread, &item, &json!({ "city": "Oslo" })).await;
        let (status, _) = server.call("ada", operation, params(&thread)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let all: Vec<_> =
            server.model.requests().iter().map(|it| format!("{:?}", it.input)).collect();
        assert!(all.iter().all(|it| !it.contains("Rome")));
    }
}

#[tokio::test]
async fn a_call_that_is_held_for_one_user_is_no_other_threads() {
    // Whoever reads the state of another's call has nothing of it: it opens for its user and thread alone.
    let fake = legacy(vec![form(&json!({ "city": { "type": "string" } }), &[])]).await;
    let more = "headers = { X-User = \"{{ user.id }}\" }";
    let server = with(&fake.url, more).await;
    let begin = async |user: &str| {
        server.model.push(ScriptedResponse::call("notes__ask", json!({})));
        let (thread, events) = server.create(user, "go").await;
        (thread, asked(&events).unwrap())
    };
    // Both wait at one time, on a connection that serves both.
    let (hers, her_item) = begin("ada").await;
    let (his, his_item) = begin("bob").await;
    for (user, thread, item, city) in
        [("bob", &his, &his_item, "Bonn"), ("ada", &hers, &her_item, "Oslo")]
    {
        server.model.push(ScriptedResponse::text("Fine."));
        let input = json!({ "answers": { "city": { "values": [city] } } });
        let params = json!({ "thread_id": thread, "item_id": item["id"], "input": input });
        server.stream(user, "threads.add_structured_input", params).await;
        // The reply went out as its user's.
        let expected = format!(r#"{user}: {{"action":"accept","content":{{"city":"{city}"}}}}"#);
        assert_eq!(told(&server), expected);
    }
}

#[tokio::test]
async fn secrets_are_asked_for_in_no_form() {
    for era in ERAS {
        for (properties, field) in [
            (json!({ "password": { "type": "string" } }), "password"),
            (json!({ "a": { "type": "string", "title": "Your API key" } }), "a"),
            (
                json!({ "a": { "type": "string", "description": "The password of your bank." } }),
                "a",
            ),
            (json!({ "pin": { "type": "integer" } }), "pin"),
        ] {
            let asker = Asker::start(era, form(&properties, &[])).await;
            let server = with(&asker.url, "").await;
            let (_, item) = ask(&server).await;
            assert_eq!(item, None);
            let said: Value = serde_json::from_str(&told(&server)).unwrap();
            assert_eq!(said["action"], "decline");
            let reason = said["_meta"]["kitfox/reason"].as_str().unwrap();
            assert_eq!(
                reason,
                format!(
                    "the field `{field}` asks for what looks like a secret, which no form may: MCP has URLs for that"
                )
            );
        }
    }
}

#[tokio::test]
async fn pages_that_run_something_or_lie_are_not_shown() {
    for era in ERAS {
        for url in [
            "javascript:alert(document.cookie)",
            "data:text/html,<script>1</script>",
            "http://pay.example.com/",
            "https://bank.example.com@evil.test/",
        ] {
            let page = json!({ "mode": "url", "message": "Pay", "url": url, "elicitationId": "e" });
            let asker = Asker::start(era, page).await;
            let server = with(&asker.url, "").await;
            let (_, item) = ask(&server).await;
            assert_eq!(item, None, "{url}");
            assert!(told(&server).contains(r#""action":"decline""#), "{}", told(&server));
        }
    }
}

/// What a server hears that asks this, or the model where it is no answer.
async fn heard(params: Value) -> String {
    let asker = Asker::start(Era::Legacy, params).await;
    let server = with(&asker.url, "").await;
    let (_, item) = ask(&server).await;
    assert_eq!(item, None);
    told(&server)
}

#[tokio::test]
async fn forms_without_measure_are_refused() {
    let mut many = Map::new();
    for index in 0..10_000 {
        many.insert(format!("f{index}"), json!({ "type": "string" }));
    }
    let mut deep = json!({ "type": "string" });
    for _ in 0..60 {
        deep = json!({ "type": "object", "properties": { "a": deep } });
    }
    let options: Vec<_> = (0..1000).map(|it| it.to_string()).collect();
    let mut said = Vec::new();
    for params in [
        form(&Value::Object(many), &[]),
        form(&json!({ "a": deep }), &[]),
        form(&json!({ "a": { "type": "string", "enum": options } }), &[]),
        form(&json!({ "a": { "type": "string", "description": "x".repeat(40_000) } }), &[]),
        form(&json!({ "a\u{202e}b": { "type": "string" } }), &[]),
        form(&json!({ "a": { "type": "string", "enum": ["x", "x\u{200b}"] } }), &[]),
        json!({ "message": "?", "requestedSchema": { "$ref": "https://evil.test/" , "type": "array" } }),
        json!({ "message": "?" }),
        json!({ "message": "?", "mode": "telepathy" }),
    ] {
        said.push(heard(params).await);
    }
    assert_snapshot!(said.join("\n"), @r#"
    {"code":-32602,"message":"the form has 10000 fields, and may have 20"}
    {"code":-32602,"message":"the field `a` is neither text, number, yes or no, nor a choice: a form has no others"}
    {"code":-32602,"message":"the field `a` has no choices, or more than 100"}
    {"code":-32602,"message":"the form has more than 32 KiB"}
    {"code":-32602,"message":"the field `ab` has a name that is empty, too long, or not seen"}
    {"code":-32602,"message":"the field `a` has choices that are no texts, or not seen"}
    {"code":-32602,"message":"`requestedSchema` is no object with `properties`, and nothing but that"}
    {"code":-32602,"message":"`requestedSchema` is missing, or is no object"}
    {"code":-32602,"message":"`mode` is none that is known: `form` or `url`"}
    "#);
}

#[tokio::test]
async fn answers_are_bounded() {
    let asker =
        Asker::start(Era::Legacy, form(&json!({ "a": { "type": "string" } }), &["a"])).await;
    let server = with(&asker.url, "").await;
    let (thread, item) = ask(&server).await;
    let mut item = item;
    let mut asks = 0;
    while let Some(shown) = item {
        let events = answer(&server, &thread, &shown, &json!({ "a": "x".repeat(10_001) })).await;
        item = asked(&events);
        asks += 1;
        assert!(asks < 10);
    }
    assert_eq!(asks, 5);
    assert_eq!(told(&server), r#"{"action":"cancel"}"#);
}

#[tokio::test]
async fn one_user_has_few_calls_that_wait() {
    let fake = legacy(vec![form(&json!({ "a": { "type": "string" } }), &[])]).await;
    let server = with(&fake.url, "").await;
    for _ in 0..8 {
        server.model.push(ScriptedResponse::call("notes__ask", json!({})));
        let (_, events) = server.create("ada", "go").await;
        assert!(asked(&events).is_some());
    }
    let (_, item) = ask(&server).await;
    assert_eq!(item, None);
    assert!(
        told(&server).contains("too many questions wait for the user already"),
        "{}",
        told(&server)
    );
}

#[tokio::test]
async fn a_tool_that_changed_gets_no_answer() {
    let fake = legacy(vec![form(&json!({ "city": { "type": "string" } }), &[])]).await;
    let server = with(&fake.url, "").await;
    let (thread, item) = ask(&server).await;
    let other = legacy(Vec::new()).await;
    let file = format!("transport = \"http\"\nurl = \"{}\"\napproval = \"always\"\n", other.url);
    server.save("plugins/notes.mcp.toml", &file).await;
    let input = json!({ "answers": { "city": { "values": ["Oslo"] } } });
    submit(&server, &thread, &item.unwrap(), input).await;
    assert_eq!(told(&server), "error: `notes__ask` changed after it asked the user: call it again");
}

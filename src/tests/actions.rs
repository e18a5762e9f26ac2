//! Actions: what the user does in a widget, and what comes of it.

use axum::http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    model::{ScriptedResponse, ScriptedStep},
    tests::harness::{Server, event_line, input},
};

const PLUGIN: &str = r#"
    tool(#{ name: "show", description: "d", run: |args, ctx| {
        ctx.widget(#{ type: "Card", title: "0" }, #{ copy_text: "zero" }); ctx.hidden("shown"); ()
    } });
    action("count", |action, ctx| {
        let title = `${parse_int(action.sender.widget.title) + action.payload.by}`;
        ctx.replace(action.sender, #{ type: "Card", title: title });
        ctx.hidden(`counted to ${title}`);
    });
    action("echo", |action, ctx| { ctx.say(to_json(action)); });
    action("answer", |action, ctx| { ctx.respond(); ctx.respond(); ctx.say("One moment."); });
    action("refuse", |action, ctx| throw #{ message: "Not now.", retry: true });
    action("break", |action, ctx| throw "SECRET");
    sync_action("rename", |action, ctx| { ctx.replace(action.sender, #{ type: "Card", title: action.payload }); });
    sync_action("add", |action, ctx| {
        let title = `${parse_int(action.sender.widget.title) + 1}`;
        ctx.replace(action.sender, #{ type: "Card", title: title });
    });
    sync_action("remove", |action, ctx| {
        ctx.replace(action.sender, #{ type: "Card" });
        ctx.remove(action.sender);
    });
    sync_action("echo", |action, ctx| { ctx.kv.thread.set("said", to_json(action)); "dropped" });
    sync_action("refuse", |action, ctx| throw #{ message: "Not now.", retry: true });
    sync_action("break", |action, ctx| throw "SECRET");
    sync_action("speak", |action, ctx| ctx.say("hi"));
    sync_action("loop", |action, ctx| { loop {} });
"#;

/// A server, a thread of ada's with a widget, and the widget's id.
async fn start() -> (Server, String, String) {
    let config = "[limits.plugin]\ntimeout = \"500ms\"\n";
    let server = Server::start(&[("plugins/act.rhai", PLUGIN), ("kitfox.toml", config)]).await;
    let (thread, id) = new_thread(&server, "ada").await;
    (server, thread, id)
}

async fn new_thread(server: &Server, user: &str) -> (String, String) {
    server.model.push(ScriptedResponse::call("show", json!({})));
    server.model.push(ScriptedResponse::text("."));
    let (thread, events) = server.create(user, "go").await;
    let item = events.iter().map(|it| &it["item"]).find(|it| it["type"] == "widget").unwrap();
    (thread, item["id"].as_str().unwrap().to_owned())
}

fn params(thread: &str, item: Option<&str>, name: &str, payload: impl Into<Value>) -> Value {
    let payload = payload.into();
    let mut params = json!({ "thread_id": thread, "action": { "type": name, "payload": payload } });
    if let Some(item) = item {
        params["item_id"] = json!(item);
    }
    params
}

async fn act(server: &Server, params: Value) -> String {
    let events = server.stream("ada", "threads.custom_action", params).await;
    events.iter().map(event_line).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn an_action_changes_its_widget_where_it_stands_and_the_model_learns_of_it_later() {
    let (server, thread, id) = start().await;
    for by in [2, 3] {
        let shown = act(&server, params(&thread, Some(&id), "count", json!({ "by": by }))).await;
        assert!(shown.starts_with("stream_options"), "{shown}");
        assert!(shown.ends_with("copy_text=\"zero\""), "{shown}");
    }
    assert_snapshot!(server.items("ada", &thread).await, @r#"
    user_message "go"
    widget {"title":"5","type":"Card"} copy_text="zero"
    assistant_message "."
    "#);
    assert_eq!(server.model.requests().len(), 2);
    server.model.push(ScriptedResponse::text("."));
    server.say("ada", &thread, "more").await;
    assert!(server.last_input().contains("counted to 5"), "{}", server.last_input());
}

#[tokio::test]
async fn an_action_without_a_sender_says_something() {
    let (server, thread, _) = start().await;
    let shown = act(&server, params(&thread, None, "echo", json!({ "a": [1, null] }))).await;
    assert_snapshot!(shown, @r#"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.done assistant_message "{\"payload\":{\"a\":[1,null]},\"sender\":null,\"type\":\"echo\"}"
    "#);
}

#[tokio::test]
async fn an_action_has_the_agent_answer_when_it_asks_for_that() {
    let (server, thread, _) = start().await;
    server.model.push(ScriptedResponse::text("Here."));
    let shown = act(&server, params(&thread, None, "answer", json!({}))).await;
    assert_snapshot!(shown, @r#"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.done assistant_message "One moment."
    item.added assistant_message
    item.updated content part
    item.updated "Here."
    item.updated part done "Here."
    item.done assistant_message "Here."
    "#);
    assert!(server.last_input().ends_with(r#"assistant "One moment.""#), "{}", server.last_input());
}

#[tokio::test]
async fn what_an_action_throws_is_for_the_user_only_where_it_says_so() {
    let (server, thread, id) = start().await;
    assert_snapshot!(act(&server, params(&thread, None, "refuse", json!(1))).await, @r#"
    stream_options {"stream_options":{"allow_cancel":true}}
    error {"code":"custom","message":"Not now.","allow_retry":true}
    "#);
    for (item, name) in [(None, "break"), (None, "count"), (Some(id.as_str()), "count")] {
        let shown = act(&server, params(&thread, item, name, json!("x"))).await;
        assert!(shown.ends_with(r#"error {"code":"stream.error","allow_retry":true}"#), "{shown}");
        assert_eq!(shown.lines().count(), 2);
    }
    for (name, expected) in [
        ("refuse", "Not now."),
        ("break", "the action failed"),
        ("speak", "the action failed"),
        ("loop", "the action failed"),
    ] {
        let params = params(&thread, None, name, json!({}));
        let (status, body) = server.call("ada", "threads.sync_custom_action", params).await;
        let found = (status, body["message"].as_str());
        assert_eq!(found, (StatusCode::BAD_REQUEST, Some(expected)), "{name}");
    }
}

#[tokio::test]
async fn a_sync_action_answers_with_the_item_that_it_replaced() {
    let (server, thread, id) = start().await;
    let call = async |item: Option<&str>, name: &str, payload: Value| {
        let params = params(&thread, item, name, payload);
        let (status, body) = server.call("ada", "threads.sync_custom_action", params).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    };
    let body = call(Some(&id), "rename", json!("Ünï")).await;
    assert_eq!(body["updated_item"]["id"], json!(id));
    assert_eq!(body["updated_item"]["widget"], json!({ "title": "Ünï", "type": "Card" }));
    assert_eq!(body["updated_item"]["copy_text"], json!("zero"));
    assert!(server.items("ada", &thread).await.contains("Ünï"));
    assert_eq!(call(None, "echo", Value::Null).await, json!({}));
    assert_eq!(call(Some(&id), "remove", json!({})).await, json!({}));
    assert!(!server.items("ada", &thread).await.contains("widget"));
}

#[tokio::test]
async fn a_sync_action_goes_through_while_a_turn_runs_and_another_turn_does_not() {
    let (server, thread, id) = start().await;
    server.model.push(ScriptedResponse::steps(vec![ScriptedStep::Gate("never".to_owned())]));
    let body = json!({ "type": "threads.add_user_message", "params": { "thread_id": thread, "input": input("more") } });
    let running = server.post("ada", &body).await;
    let sync = params(&thread, Some(&id), "rename", json!("Live"));
    let (status, body) = server.call("ada", "threads.sync_custom_action", sync).await;
    assert_eq!(
        (status, &body["updated_item"]["widget"]["title"]),
        (StatusCode::OK, &json!("Live"))
    );
    let turn = params(&thread, Some(&id), "count", json!({ "by": 1 }));
    let (status, _) = server.call("ada", "threads.custom_action", turn).await;
    assert_eq!(status, StatusCode::CONFLICT);
    drop(running);
}

#[tokio::test]
async fn an_action_that_is_refused_stores_nothing_and_runs_nothing() {
    let (server, thread, id) = start().await;
    let (others, other) = new_thread(&server, "ada").await;
    let (eves, eve) = new_thread(&server, "eve").await;
    let page =
        server.call("ada", "items.list", json!({ "thread_id": thread, "order": "asc" })).await.1;
    let [user, assistant] = [0, 2].map(|it| page["data"][it]["id"].as_str().unwrap().to_owned());
    let before = server.items("ada", &thread).await;
    let not_a_widget = json!({ "message": "`params.item_id`: is not a widget" });
    let no_item = json!({ "message": "item not found" });
    let no_thread = json!({ "message": "thread not found" });
    let long = "x".repeat(100_000);
    let cases: Vec<(Value, StatusCode, Value)> = vec![
        (params("thr_nope", None, "echo", json!(1)), StatusCode::NOT_FOUND, no_thread.clone()),
        (params(&eves, None, "echo", json!(1)), StatusCode::NOT_FOUND, no_thread.clone()),
        (params(&eves, Some(&eve), "echo", json!(1)), StatusCode::NOT_FOUND, no_thread),
        (
            params(&thread, Some("msg_nope"), "echo", json!(1)),
            StatusCode::NOT_FOUND,
            no_item.clone(),
        ),
        (params(&thread, Some(&other), "echo", json!(1)), StatusCode::NOT_FOUND, no_item.clone()),
        (params(&thread, Some(&eve), "echo", json!(1)), StatusCode::NOT_FOUND, no_item.clone()),
        (params(&thread, Some(""), "echo", json!(1)), StatusCode::NOT_FOUND, no_item.clone()),
        (params(&thread, Some("../\u{202e}"), "echo", json!(1)), StatusCode::NOT_FOUND, no_item),
        (
            params(&thread, Some(&user), "echo", json!(1)),
            StatusCode::BAD_REQUEST,
            not_a_widget.clone(),
        ),
        (
            params(&thread, Some(&assistant), "echo", json!(1)),
            StatusCode::BAD_REQUEST,
            not_a_widget,
        ),
        (
            params(&thread, Some(&id), "nope", json!(1)),
            StatusCode::BAD_REQUEST,
            json!({ "message": "`params.action.type`: no plugin handles the action `nope`" }),
        ),
        (
            params(&thread, None, &long, json!(1)),
            StatusCode::BAD_REQUEST,
            json!({ "message": format!("`params.action.type`: no plugin handles the action `{}`", &long[..64]) }),
        ),
        (
            params(&thread, None, "", json!(1)),
            StatusCode::BAD_REQUEST,
            json!({ "message": "`params.action.type`: no plugin handles the action ``" }),
        ),
    ];
    for (params, status, message) in cases {
        for operation in ["threads.custom_action", "threads.sync_custom_action"] {
            let (found, body) = server.call("ada", operation, params.clone()).await;
            let expected = (status, &message["message"]);
            assert_eq!((found, &body["message"]), expected, "{operation}");
        }
    }
    for (name, operation, of) in [
        ("rename", "threads.custom_action", "threads.sync_custom_action"),
        ("count", "threads.sync_custom_action", "threads.custom_action"),
    ] {
        let (status, body) =
            server.call("ada", operation, params(&thread, Some(&id), name, json!(1))).await;
        let message = format!("`params.action.type`: `{name}` is an action for `{of}`");
        let found = (status, body["message"].as_str());
        assert_eq!(found, (StatusCode::BAD_REQUEST, Some(message.as_str())));
    }
    for params in [
        json!({ "thread_id": thread }),
        json!({ "thread_id": thread, "action": null }),
        json!({ "thread_id": thread, "action": [] }),
        json!({ "thread_id": thread, "action": { "payload": 1 } }),
        json!({ "thread_id": thread, "action": { "type": 3 } }),
        json!({ "thread_id": thread, "action": { "type": "echo" }, "item_id": 3 }),
        json!({ "action": { "type": "echo" } }),
    ] {
        for operation in ["threads.custom_action", "threads.sync_custom_action"] {
            let (status, body) = server.call("ada", operation, params.clone()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        }
    }
    assert_eq!(server.items("ada", &thread).await, before);
    assert!(server.items("ada", &others).await.contains(r#"{"title":"0","type":"Card"}"#));
}

#[tokio::test]
async fn a_hostile_payload_is_only_data() {
    let (server, thread, id) = start().await;
    let deep = (0..100).fold(json!(1), |it, _| json!([it]));
    for payload in [
        deep,
        json!("{{ 1 + 1 }} ${1 + 1} \u{0} \u{202e}"),
        json!({ "__proto__": {}, "thread": 1, "if": 2, "": 3 }),
        json!(1e300),
        json!(u64::MAX),
        json!(vec![0; 50_000]),
        json!("x".repeat(1_000_000)),
        Value::Null,
    ] {
        let echo = params(&thread, Some(&id), "echo", payload.clone());
        let events = server.stream("ada", "threads.custom_action", echo.clone()).await;
        assert!(["item.done", "error"].iter().any(|it| event_line(&events[1]).starts_with(it)));
        let (status, _) = server.call("ada", "threads.sync_custom_action", echo).await;
        assert!(matches!(status, StatusCode::OK | StatusCode::BAD_REQUEST), "{status}");
    }
    let too_deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = format!(
        r#"{{"type":"threads.custom_action","params":{{"thread_id":"{thread}","action":{{"type":"echo","payload":{too_deep}}}}}}}"#
    );
    let request = axum::http::Request::post("/chatkit")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-user-id", "ada")
        .body(axum::body::Body::from(body))
        .unwrap();
    assert_eq!(server.send(request).await.status(), StatusCode::BAD_REQUEST);
    assert!(act(&server, params(&thread, None, "echo", json!(1))).await.contains("item.done"));
}

#[tokio::test]
async fn a_locked_thread_takes_no_actions() {
    let (server, thread, id) = start().await;
    let lock = r#"tool(#{ name: "lock", description: "d", run: |args, ctx| {
        ctx.thread.status = #{ type: "locked", reason: "Done." };
    } });"#;
    server.save("plugins/lock.rhai", lock).await;
    server.model.push(ScriptedResponse::call("lock", json!({})));
    server.model.push(ScriptedResponse::text("."));
    server.say("ada", &thread, "lock it").await;
    for (operation, name) in
        [("threads.custom_action", "count"), ("threads.sync_custom_action", "rename")]
    {
        let (status, body) =
            server.call("ada", operation, params(&thread, Some(&id), name, json!("x"))).await;
        assert_eq!(status, StatusCode::CONFLICT, "{body}");
        assert!(body["message"].as_str().unwrap().contains("Done."), "{body}");
    }
}

#[tokio::test]
async fn two_plugins_cannot_have_the_same_action() {
    let a = r#"action("x", |action, ctx| ()); sync_action("x", |action, ctx| ());"#;
    let server = Server::start(&[("plugins/a.rhai", a)]).await;
    server.save("plugins/b.rhai", r#"sync_action("x", |action, ctx| ());"#).await;
    assert_snapshot!(server.errors(), @"plugins/b.rhai: the sync action `x` is offered by plugins/a.rhai as well (rename it in one of the two files)");
    server
        .save(
            "plugins/b.rhai",
            r#"action("y", |a, c| ()); action("y", |a, c| ()); action("", |a, c| ());"#,
        )
        .await;
    assert_snapshot!(server.errors(), @"
    plugins/b.rhai:1:25: the action `y` is there already (give one of the two another type, or remove it)
    plugins/b.rhai:1:49: `action` lacks the action's type (write the `type` that the widget's action has)
    ");
}

#[tokio::test]
async fn each_sync_action_sees_what_those_before_it_made_of_the_widget() {
    let (server, thread, id) = start().await;
    let add =
        || server.call("ada", "threads.sync_custom_action", params(&thread, Some(&id), "add", ()));
    let answers = futures::future::join_all((0..20).map(|_| add())).await;
    let mut titles: Vec<u32> = answers
        .iter()
        .map(|(_, answer)| {
            answer["updated_item"]["widget"]["title"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    titles.sort_unstable();
    assert_eq!(titles, (1..=20).collect::<Vec<_>>());
}

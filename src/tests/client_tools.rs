//! Client tools: calls that the page answers.

use std::fmt::Write;

use axum::http::StatusCode;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    model::{ScriptedResponse, ScriptedStep},
    tests::harness::{Server, check, converse, get_request, input, text},
};

const SELECTION: &str = r#"
    client_tool(#{
        name: "get_selection", description: "The selection.", progress: "Looking at the page",
        parameters: #{ kind: #{ type: "string" }, size: #{ type: "integer", default: 3 } },
    });
    tool(#{ name: "clock", description: "The time.", run: |args, ctx| { ctx.notice("info", "tick"); "noon" } });
    tool(#{ name: "locate", description: "Where the user is.", parameters: #{ fine: #{ type: "boolean" } },
        run: |args, ctx| { ctx.client_tool("geolocate", #{ accuracy: 10 }); "never" } });
"#;

fn files() -> [(&'static str, &'static str); 1] {
    [("plugins/selection.rhai", SELECTION)]
}

#[tokio::test]
async fn a_call_ends_the_turn_and_its_output_goes_on_with_it() {
    let server = Server::start(&files()).await;
    let shown = converse(
        &server,
        r#"
        user what did I select?
        call get_selection {"kind": "text"}
        output {"cell": "7A", "n": null}
        text You chose 7A
    "#,
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "what did I select?"
    stream_options {"stream_options":{"allow_cancel":true}}
    progress_update {"text":"Looking at the page"}
    item.done client_tool_call pending get_selection {"kind":"text","size":3}
    stream_options {"stream_options":{"allow_cancel":true}}
    item.added assistant_message
    item.updated content part
    item.updated "You chose 7A"
    item.updated part done "You chose 7A"
    item.done assistant_message "You chose 7A"
    "#);
    assert_snapshot!(server.last_input(), @r#"
    user "what did I select?"
    call get_selection {"kind":"text"}
    output "{\"cell\":\"7A\",\"n\":null}"
    "#);
}

#[tokio::test]
async fn the_call_is_shown_last_whatever_else_its_response_calls() {
    let hook = r#"on("turn.done", |event, ctx| { ctx.say(`${event.items.len} items`); });"#;
    let mut files = files().to_vec();
    files.push(("plugins/done.rhai", hook));
    let server = Server::start(&files).await;
    let shown = converse(
        &server,
        r#"
        user go
        calls get_selection {"kind": "a"} & clock {} & get_selection {"kind": "b"}
        output "x"
        text done
    "#,
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "go"
    stream_options {"stream_options":{"allow_cancel":true}}
    progress_update {"text":"Looking at the page"}
    notice {"level":"info","message":"tick"}
    item.done assistant_message "1 items"
    item.done client_tool_call pending get_selection {"kind":"a","size":3}
    stream_options {"stream_options":{"allow_cancel":true}}
    item.added assistant_message
    item.updated content part
    item.updated "done"
    item.updated part done "done"
    item.done assistant_message "done"
    item.done assistant_message "1 items"
    "#);
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call get_selection {"kind":"a"}
    call clock {}
    call get_selection {"kind":"b"}
    output "\"x\""
    output "noon"
    output "error: `get_selection` was not called: the page runs one tool at a time, and `get_selection` is first"
    assistant "1 items"
    "#);
}

#[tokio::test]
async fn a_tool_may_call_the_page_and_gets_its_answer_as_its_result() {
    let server = Server::start(&files()).await;
    let script = r#"
        user where am I?
        json [{"call": "locate", "args": {"fine": true}, "id": "call_7"}]
        output {"lat": 60}
        text In Oslo.
        user and now?
        text Still there.
    "#;
    let shown = converse(&server, script).await;
    assert_snapshot!(shown.lines().nth(3).unwrap(), @r#"item.done client_tool_call pending geolocate {"accuracy":10}"#);
    assert_snapshot!(server.last_input(), @r#"
    user "where am I?"
    call locate {"fine":true}
    output "{\"lat\":60}"
    assistant "In Oslo."
    user "and now?"
    "#);
}

#[tokio::test]
async fn a_wrong_argument_is_told_to_the_model_and_the_page_hears_nothing() {
    let server = Server::start(&files()).await;
    let shown = converse(
        &server,
        r#"
        user go
        call get_selection {"knid": "a"}
        text I see.
    "#,
    )
    .await;
    assert!(!shown.contains("client_tool_call") && !shown.contains("progress"), "{shown}");
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call get_selection {"knid":"a"}
    output "error: the arguments are not valid: /: Additional properties are not allowed ('knid' was unexpected); /: \"kind\" is a required property"
    "#);
}

#[tokio::test]
async fn a_message_abandons_a_call_and_no_provider_sees_one_without_output() {
    let server = Server::start(&files()).await;
    converse(
        &server,
        r#"
        user go
        calls get_selection {"kind": "a"} & clock {}
        user never mind
        text fine
        user go
        call locate {"fine": false}
        output 1
        text one
    "#,
    )
    .await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call clock {}
    output "noon"
    user "never mind"
    assistant "fine"
    user "go"
    call locate {"fine":false}
    output "1"
    "#);
}

#[tokio::test]
async fn calls_may_follow_each_other() {
    let server = Server::start(&files()).await;
    converse(
        &server,
        r#"
        user go
        call get_selection {"kind": "a"}
        output "r1"
        call get_selection {"kind": "b"}
        output "r2"
        text both
    "#,
    )
    .await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call get_selection {"kind":"a"}
    output "\"r1\""
    call get_selection {"kind":"b"}
    output "\"r2\""
    "#);
}

#[tokio::test]
async fn a_tool_that_the_user_chose_is_forced_once() {
    let server = Server::start(&files()).await;
    server.model.push(ScriptedResponse::call("get_selection", json!({ "kind": "a" })));
    let mut message = input("go");
    message["inference_options"] = json!({ "tool_choice": { "id": "get_selection" } });
    let events = server.stream("ada", "threads.create", json!({ "input": message })).await;
    let thread = events[0]["thread"]["id"].as_str().unwrap();
    server.model.push(ScriptedResponse::text("done"));
    let output = json!({ "thread_id": thread, "result": 1 });
    server.stream("ada", "threads.add_client_tool_output", output).await;
    let choices: Vec<_> = server.model.requests().into_iter().map(|it| it.tool_choice).collect();
    assert_eq!(choices, [Some("get_selection".to_owned()), None]);
}

#[tokio::test]
async fn an_agent_that_is_a_tool_cannot_wait_for_the_page() {
    let agents = r#"agent_tool(#{ name: "ask_expert", agent: "expert", description: "Knows." });"#;
    let mut files = files().to_vec();
    files.push(("plugins/agents.rhai", agents));
    files.push(("prompts/expert.md", "---\ntools: [\"get_*\"]\n---\nAn expert.\n"));
    let server = Server::start(&files).await;
    let shown = converse(
        &server,
        r#"
        user go
        call ask_expert {"input": "what is selected?"}
        call get_selection {"kind": "a"}
        text I cannot say.
        text They cannot say.
    "#,
    )
    .await;
    assert!(!shown.contains("client_tool_call"), "{shown}");
    let requests = server.model.requests();
    let told = format!("{:?}", requests[2].input.last().unwrap());
    assert!(told.contains("an agent that is called as a tool cannot wait for that"), "{told}");
}

#[tokio::test]
async fn a_tool_that_calls_a_client_tool_gets_its_output_as_its_own() {
    let caller = r#"
        plugin(#{ permissions: #{ tools: ["get_selection"] } });
        tool(#{ name: "outer", description: "Calls.", run: |args, ctx| {
            ctx.call_tool("get_selection", #{ kind: "a" }); "never"
        } });
    "#;
    let mut files = files().to_vec();
    files.push(("plugins/caller.rhai", caller));
    let server = Server::start(&files).await;
    converse(
        &server,
        r#"
        user go
        call outer {}
        output "seven"
        text done
    "#,
    )
    .await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call outer {}
    output "\"seven\""
    "#);
}

#[tokio::test]
async fn a_hook_may_call_the_page_too() {
    let hook = r#"on("message", |event, ctx| ctx.client_tool("where", #{}));"#;
    let shown = check(
        &[("plugins/hook.rhai", hook)],
        r#"
        user go
        output "home"
        text You are home.
    "#,
    )
    .await;
    assert!(shown.contains("item.done client_tool_call pending where {}"), "{shown}");
    assert!(shown.ends_with(r#"item.done assistant_message "You are home.""#), "{shown}");
}

#[tokio::test]
async fn what_hooks_gave_the_prompt_lasts_until_the_answer_is_whole() {
    let hook = r#"on("message", |event, ctx| #{ vars: #{ mood: event.text } });"#;
    let prompt = "---\ntitles: false\nhistory: { items: 1 }\n---\nMood: {{ vars.mood }}\n";
    let mut files = files().to_vec();
    files.extend([("plugins/hook.rhai", hook), ("prompts/assistant.md", prompt)]);
    let server = Server::start(&files).await;
    converse(
        &server,
        r#"
        user wet
        call get_selection {"kind": "a"}
        output 1
        text ok
        user dry
        text ok
    "#,
    )
    .await;
    let moods: Vec<_> = server.model.requests().into_iter().map(|it| it.instructions).collect();
    assert_eq!(moods, ["Mood: wet", "Mood: wet", "Mood: dry"]);
}

#[tokio::test]
async fn outputs_that_nobody_waits_for_are_refused_and_store_nothing() {
    let lock = r#"tool(#{ name: "lock", description: "Locks.", run: |args, ctx| { ctx.thread.status = "locked"; "ok" } });"#;
    let mut files = files().to_vec();
    files.push(("plugins/lock.rhai", lock));
    let server = Server::start(&files).await;
    server.model.push(ScriptedResponse::text("hello"));
    let (talk, _) = server.create("ada", "hi").await;
    server.model.push(ScriptedResponse::call("get_selection", json!({ "kind": "a" })));
    let (pending, _) = server.create("ada", "go").await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::call("get_selection", &json!({ "kind": "a" })),
        ScriptedStep::call("lock", &json!({})),
    ]));
    let (locked, _) = server.create("ada", "lock").await;
    let before = [
        server.items("ada", &talk).await,
        server.items("ada", &pending).await,
        server.items("ada", &locked).await,
    ];
    let refusals = [
        ("ada", json!({ "thread_id": talk, "result": 1 })),
        ("ada", json!({ "thread_id": locked, "result": 1 })),
        ("ada", json!({ "thread_id": pending })),
        ("ada", json!({ "thread_id": 7, "result": 1 })),
        ("ada", json!({ "result": 1 })),
        ("ada", json!({ "thread_id": "thr_0", "result": 1 })),
        ("eve", json!({ "thread_id": pending, "result": 1 })),
    ];
    let mut texts = String::new();
    for (user, params) in refusals {
        let (status, body) = server.call(user, "threads.add_client_tool_output", params).await;
        writeln!(texts, "{} {}", status.as_u16(), body["message"].as_str().unwrap()).unwrap();
    }
    assert_snapshot!(texts, @r"
    400 the last item of the thread is no client tool call that waits for output
    409 the thread is locked
    400 `params.result` is missing
    400 `params.thread_id` is integer `7`, not a string
    400 `params.thread_id` is missing
    404 thread not found
    404 thread not found
    ");
    let after = [
        server.items("ada", &talk).await,
        server.items("ada", &pending).await,
        server.items("ada", &locked).await,
    ];
    assert_eq!(before, after);
}

#[tokio::test]
async fn of_two_outputs_at_once_one_counts() {
    let server = Server::start(&files()).await;
    server.model.push(ScriptedResponse::call("get_selection", json!({ "kind": "a" })));
    let (thread, _) = server.create("ada", "go").await;
    server.model.push(ScriptedResponse::text("done"));
    let output = |result: i64| {
        let params = json!({ "thread_id": thread, "result": result });
        let server = &server;
        async move { server.call("ada", "threads.add_client_tool_output", params).await.0 }
    };
    let (one, two) = tokio::join!(output(1), output(2));
    let mut statuses = [one.as_u16(), two.as_u16()];
    statuses.sort_unstable();
    assert!(matches!(statuses, [200, 400 | 409]), "{statuses:?}");
    assert_eq!(server.model.requests().len(), 2);
}

#[tokio::test]
async fn an_output_is_taken_after_the_tool_is_gone() {
    let server = Server::start(&files()).await;
    server.model.push(ScriptedResponse::call("get_selection", json!({ "kind": "a" })));
    let (thread, _) = server.create("ada", "go").await;
    server.remove("plugins/selection.rhai").await;
    server.model.push(ScriptedResponse::text("done"));
    let params = json!({ "thread_id": thread, "result": "x" });
    let events = server.stream("ada", "threads.add_client_tool_output", params).await;
    assert_eq!(events.last().unwrap()["item"]["type"], "assistant_message");
    assert!(server.last_input().ends_with(r#"output "\"x\"""#), "{}", server.last_input());
}

#[tokio::test]
async fn every_json_is_an_output() {
    let server = Server::start(&files()).await;
    for result in
        [json!(null), json!(0), json!(false), json!([]), json!({}), json!("text"), json!([1, null])]
    {
        server.model.push(ScriptedResponse::call("get_selection", json!({ "kind": "a" })));
        let (thread, _) = server.create("ada", "go").await;
        server.model.push(ScriptedResponse::text("ok"));
        let params = json!({ "thread_id": thread, "result": result });
        server.stream("ada", "threads.add_client_tool_output", params).await;
        let list = json!({ "thread_id": thread, "order": "asc" });
        let (status, page) = server.call("ada", "items.list", list).await;
        assert_eq!(status, StatusCode::OK);
        let call = &page["data"][1];
        assert_eq!((&call["status"], &call["output"]), (&json!("completed"), &result));
        assert_eq!(call.get("output").is_none(), result.is_null(), "no null is sent: {call}");
        let told = server.last_input();
        let told = told.rsplit_once("output ").unwrap().1;
        let told: Value =
            serde_json::from_str(&serde_json::from_str::<String>(told).unwrap()).unwrap();
        assert_eq!(told, result);
    }
}

#[tokio::test]
async fn the_name_of_a_client_tool_is_taken_for_all() {
    let server = Server::start(&files()).await;
    let rival = r#"tool(#{ name: "get_selection", description: "Mine.", run: |args, ctx| 1 });"#;
    server.save("plugins/rival.rhai", rival).await;
    assert_snapshot!(server.errors(), @"plugins/rival.rhai: the tool `get_selection` is offered by plugins/selection.rhai as well (rename it in one of the two files)");
}

#[tokio::test]
async fn a_client_tool_has_no_page_outside_of_a_chat() {
    let route = r#"
        plugin(#{ permissions: #{ tools: ["*"] } });
        route("GET", "/look", |request, ctx| {
            let why = "";
            try { ctx.call_tool("get_selection", #{ kind: "a" }); } catch (err) { why = `${err}`; }
            why
        });
    "#;
    let server = Server::start(&[files()[0], ("plugins/route.rhai", route)]).await;
    let response = server.send(get_request("ada", "/x/route/look")).await;
    assert_snapshot!(text(response).await, @"`client_tool` speaks to a chat, and none is open here: use it in a tool or hook of a turn");
}

#[tokio::test]
async fn an_action_may_call_the_page_ask_and_have_the_agent_respond() {
    let script = r#"
        on("message", |event, ctx| #{ vars: #{ mood: event.text } });
        action("locate", |action, ctx| ctx.client_tool("geolocate"));
        action("survey", |action, ctx| ctx.ask([#{ id: "a", question: "A?" }]));
        action("go_on", |action, ctx| ctx.respond());
        sync_action("later", |action, ctx| ctx.respond());
    "#;
    let prompt = "---\ntitles: false\n---\nMood: {{ vars.mood }}\n";
    let files = [("plugins/act.rhai", script), ("prompts/assistant.md", prompt)];
    let server = Server::start(&files).await;
    server.model.push(ScriptedResponse::text("hello"));
    let (thread, _) = server.create("ada", "wet").await;
    let act = |name: &str| json!({ "thread_id": thread, "action": { "type": name } });

    let events = server.stream("ada", "threads.custom_action", act("locate")).await;
    assert_eq!(events.last().unwrap()["item"]["name"], "geolocate");
    server.model.push(ScriptedResponse::text("here"));
    let output = json!({ "thread_id": thread, "result": "Oslo" });
    server.stream("ada", "threads.add_client_tool_output", output).await;
    assert_snapshot!(server.last_input(), @r#"
    user "wet"
    assistant "hello"
    call geolocate {}
    output "\"Oslo\""
    "#);

    let events = server.stream("ada", "threads.custom_action", act("survey")).await;
    assert_eq!(events.last().unwrap()["item"]["status"], "pending");
    server.model.push(ScriptedResponse::text("on"));
    server.stream("ada", "threads.custom_action", act("go_on")).await;
    server.model.push(ScriptedResponse::text("later"));
    let (status, answer) = server.call("ada", "threads.sync_custom_action", act("later")).await;
    assert_eq!((status, answer), (StatusCode::OK, json!({})));
    server.app.running.idle().await;
    assert!(server.items("ada", &thread).await.ends_with(r#"assistant_message "later""#));
    let moods = server.model.requests().into_iter().map(|it| it.instructions);
    assert!(moods.eq(vec!["Mood: wet"; 4]));
}

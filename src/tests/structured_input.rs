//! Structured input: questions to the user and what comes of the answers.

use std::{fmt::Write, time::Duration};

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    model::ScriptedResponse,
    tests::harness::{Server, check, converse},
};

const PIZZA: &str = r#"
    tool(#{ name: "order", description: "Takes an order.", run: |args, ctx| {
        ctx.ask([
            #{ id: "size", question: "Which size?", options: ["Small", "Large"] },
            #{ id: "notes", question: "Anything else?" },
        ]);
        "never"
    } });
    tool(#{ name: "clock", description: "The time.", run: |args, ctx| { ctx.say("tick"); "noon" } });
"#;

fn files() -> [(&'static str, &'static str); 1] {
    [("plugins/pizza.rhai", PIZZA)]
}

#[tokio::test]
async fn questions_end_the_turn_and_answers_go_on_with_it() {
    let server = Server::start(&files()).await;
    let shown = converse(
        &server,
        r#"
        user a pizza
        calls order {} & clock {}
        answer {"answers": {"size": {"values": ["Large", "Small"]}}}
        text Thanks
    "#,
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "a pizza"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.done assistant_message "tick"
    item.done structured_input pending size=null notes=null
    stream_options {"stream_options":{"allow_cancel":true}}
    item.replaced structured_input answered size=["Large"] notes=[]
    item.added assistant_message
    item.updated content part
    item.updated "Thanks"
    item.updated part done "Thanks"
    item.done assistant_message "Thanks"
    "#);
    assert_snapshot!(server.last_input(), @r#"
    user "a pizza"
    assistant "tick"
    call order {}
    call clock {}
    output "the user was asked: what they answered is below"
    output "noon"
    user "A structured input request was displayed to the user with the following status: answered\n<StructuredInput>\n- Which size?: Large\n- Anything else?: skipped\n</StructuredInput>"
    "#);
}

#[tokio::test]
async fn a_hook_adds_to_the_answers_and_may_ask_again() {
    let hook = r#"on("answer", |event, ctx| {
        let size = event.answers.size;
        ctx.respond();
        if size.skipped { ctx.ask([#{ id: "why", question: "Why not?" }]); }
        #{ context: `${event.item.status}: ${size.values[0]} costs 9.` }
    });"#;
    let server = Server::start(&[files()[0], ("plugins/price.rhai", hook)]).await;
    converse(
        &server,
        r#"
        user a pizza
        call order {}
        answer {"answers": {"size": {"values": ["Large"]}}}
        text Thanks
    "#,
    )
    .await;
    assert_snapshot!(server.last_input().lines().last().unwrap(), @r#"user "Hidden context for the agent (not shown to the user):\n<HiddenContext>\nanswered: Large costs 9.\n</HiddenContext>""#);
    let shown = check(
        &[
            ("plugins/pizza.rhai", PIZZA),
            (
                "plugins/why.rhai",
                r#"on("answer", |event, ctx| {
            if event.answers.contains("size") { ctx.ask([#{ id: "why", question: "Why not?" }]); }
        });"#,
            ),
        ],
        r#"
        user a pizza
        call order {}
        answer {}
        answer {"status": "skipped"}
        text Then not.
    "#,
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "a pizza"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.done structured_input pending size=null notes=null
    stream_options {"stream_options":{"allow_cancel":true}}
    item.replaced structured_input answered size=[] notes=[]
    item.done structured_input pending why=null
    stream_options {"stream_options":{"allow_cancel":true}}
    item.replaced structured_input skipped why=[]
    item.added assistant_message
    item.updated content part
    item.updated "Then not."
    item.updated part done "Then not."
    item.done assistant_message "Then not."
    "#);
}

#[tokio::test]
async fn a_message_instead_of_an_answer_leaves_the_question_unanswered_and_open() {
    let server = Server::start(&files()).await;
    let shown = converse(
        &server,
        "
        user a pizza
        call order {}
        user whatever
        text ok
        answer {}
        text fine
    ",
    )
    .await;
    assert!(shown.contains("item.replaced structured_input answered"), "{shown}");
    let requests = server.model.requests();
    let told = format!("{:?}", requests[1].input);
    assert!(told.contains("status: pending") && told.contains("Which size?: unanswered"), "{told}");
}

#[tokio::test]
async fn a_message_that_one_hook_rejects_is_not_asked_about_by_another() {
    let asks = r#"on("message", |event, ctx| ctx.ask([#{ id: "a", question: "Sure?" }]));"#;
    let guard = r#"on("message", |event, ctx| #{ reject: "No." });"#;
    let greets = r#"on("thread.created", |event, ctx| ctx.ask([#{ id: "a", question: "Who?" }]));"#;
    for (first, second) in [(asks, guard), (guard, asks), (greets, guard)] {
        let files = [("plugins/a.rhai", first), ("plugins/b.rhai", second)];
        let shown = check(&files, "user hi").await;
        assert!(shown.ends_with(r#"notice {"level":"warning","message":"No."}"#), "{shown}");
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_told_to_the_model() {
    let script = r#"tool(#{ name: "ask", description: "Asks.", run: |args, ctx| ctx.ask([#{ id: "a" }]) });"#;
    let server = Server::start(&[("plugins/ask.rhai", script)]).await;
    let shown = converse(
        &server,
        "
        user go
        call ask {}
        text sorry
    ",
    )
    .await;
    assert!(!shown.contains("structured_input"), "{shown}");
    assert_snapshot!(server.last_input().lines().last().unwrap(), @r#"output "error: question 1 of `ctx.ask`: it lacks `question`: add `question: \"…\"`""#);
}

#[tokio::test]
async fn answers_that_nobody_waits_for_are_refused_and_store_nothing() {
    let server = Server::start(&files()).await;
    server.model.push(ScriptedResponse::call("order", json!({})));
    let (thread, events) = server.create("ada", "a pizza").await;
    let (message, item) = (&events[1]["item"]["id"], &events[3]["item"]["id"]);
    server.model.push(ScriptedResponse::text("hello"));
    let (other, _) = server.create("ada", "hi").await;
    let before = server.items("ada", &thread).await;
    let refusals = [
        ("ada", json!({ "thread_id": thread, "item_id": message, "input": {} })),
        ("ada", json!({ "thread_id": thread, "item_id": "msg_0", "input": {} })),
        ("ada", json!({ "thread_id": other, "item_id": item, "input": {} })),
        ("ada", json!({ "thread_id": "thr_0", "item_id": item, "input": {} })),
        ("eve", json!({ "thread_id": thread, "item_id": item, "input": {} })),
        ("ada", json!({ "thread_id": thread, "item_id": item })),
        ("ada", json!({ "thread_id": thread, "item_id": item, "input": [] })),
        ("ada", json!({ "thread_id": thread, "item_id": item, "input": { "status": "done" } })),
        (
            "ada",
            json!({ "thread_id": thread, "item_id": item, "input": { "answers": { "size": 1 } } }),
        ),
        (
            "ada",
            json!({ "thread_id": thread, "item_id": item, "input": { "answers": { "size": { "values": [1] } } } }),
        ),
        ("ada", json!({ "thread_id": thread, "input": {} })),
    ];
    let mut texts = String::new();
    for (user, params) in refusals {
        let (status, body) = server.call(user, "threads.add_structured_input", params).await;
        writeln!(texts, "{} {}", status.as_u16(), body["message"].as_str().unwrap()).unwrap();
    }
    assert_snapshot!(texts, @r"
    400 `params.item_id`: is no structured input
    404 item not found
    404 item not found
    404 thread not found
    404 thread not found
    400 `params.input` is missing
    400 `params.input` is a list, not an object
    400 `params.input.status` is `done`, not `answered` or `skipped`
    400 `params.input.answers.size` is integer `1`, not an object
    400 `params.input.answers.size.values[0]` is integer `1`, not a string
    400 `params.item_id` is missing
    ");
    assert_eq!(server.items("ada", &thread).await, before);
    server.model.push(ScriptedResponse::text("ok"));
    let params = json!({ "thread_id": thread, "item_id": item, "input": {} });
    server.stream("ada", "threads.add_structured_input", params.clone()).await;
    let before = server.items("ada", &thread).await;
    let (status, body) = server.call("ada", "threads.add_structured_input", params).await;
    assert_snapshot!(format!("{status} {}", body["message"]), @r#"400 Bad Request "`params.item_id`: is answered already""#);
    assert_eq!(server.items("ada", &thread).await, before);
}

#[tokio::test]
async fn of_two_answers_at_once_one_counts() {
    let server = Server::start(&files()).await;
    server.model.push(ScriptedResponse::call("order", json!({})));
    let (thread, events) = server.create("ada", "a pizza").await;
    let item = &events[3]["item"]["id"];
    server.model.push(ScriptedResponse::text("done"));
    let answer = |size: &str| {
        let input = json!({ "answers": { "size": { "values": [size] } } });
        let params = json!({ "thread_id": thread, "item_id": item, "input": input });
        let server = &server;
        async move { server.call("ada", "threads.add_structured_input", params).await.0 }
    };
    let (one, two) = tokio::join!(answer("Large"), answer("Small"));
    let mut statuses = [one.as_u16(), two.as_u16()];
    statuses.sort_unstable();
    assert!(matches!(statuses, [200, 400 | 409]), "{statuses:?}");
    assert_eq!(server.model.requests().len(), 2);
}

#[tokio::test]
async fn questions_and_calls_outlive_the_process_that_asked() {
    let script = r#"
        client_tool(#{ name: "look", description: "Looks." });
        tool(#{ name: "order", description: "Orders.", run: |args, ctx| ctx.ask([#{ id: "a", question: "A?" }]) });
    "#;
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite://{}/kitfox.db", folder.path().display());
    let server = Server::start_on(&[("plugins/p.rhai", script)], &store).await;
    server.model.push(ScriptedResponse::call("look", json!({})));
    let (looking, _) = server.create("ada", "look").await;
    server.model.push(ScriptedResponse::call("order", json!({})));
    let (asking, events) = server.create("ada", "order").await;
    let item = events[3]["item"]["id"].clone();
    server.app.store.close().await;
    drop(server);

    let server = Server::start_on(&[("plugins/p.rhai", script)], &store).await;
    server.model.push(ScriptedResponse::text("seen"));
    let output = json!({ "thread_id": looking, "result": "a cat" });
    let events = server.stream("ada", "threads.add_client_tool_output", output).await;
    assert_eq!(events.last().unwrap()["item"]["content"][0]["text"], "seen");
    assert!(server.last_input().contains(r#"output "\"a cat\"""#), "{}", server.last_input());
    server.model.push(ScriptedResponse::text("heard"));
    let input: Value = json!({ "answers": { "a": { "values": ["yes"] } } });
    let answer = json!({ "thread_id": asking, "item_id": item, "input": input });
    let events = server.stream("ada", "threads.add_structured_input", answer).await;
    assert_eq!(events.last().unwrap()["item"]["content"][0]["text"], "heard");
    assert!(server.last_input().contains("- A?: yes"), "{}", server.last_input());
}

#[tokio::test]
async fn an_agent_that_is_a_tool_may_ask_and_the_one_that_called_it_goes_on() {
    let agents =
        r#"agent_tool(#{ name: "waiter", agent: "waiter", description: "Takes orders." });"#;
    let files = [
        files()[0],
        ("plugins/agents.rhai", agents),
        ("prompts/waiter.md", "---\ntools: [order]\n---\nA waiter.\n"),
    ];
    let server = Server::start(&files).await;
    converse(
        &server,
        r#"
        user I am hungry
        call waiter {"input": "take an order"}
        call order {}
        answer {"answers": {"size": {"values": ["Large"]}}}
        text A large one then.
    "#,
    )
    .await;
    assert_snapshot!(server.last_input(), @r#"
    user "I am hungry"
    call waiter {"input":"take an order"}
    output "the user was asked: what they answered is below"
    user "A structured input request was displayed to the user with the following status: answered\n<StructuredInput>\n- Which size?: Large\n- Anything else?: skipped\n</StructuredInput>"
    "#);
}

#[tokio::test]
async fn an_answer_that_comes_while_the_turn_ends_is_taken() {
    let server = Server::start(&files()).await;
    server.model.push(ScriptedResponse::call("order", json!({})));
    let (thread, events) = server.create("ada", "a pizza").await;
    let running = &server.app.running;
    let guard = running.begin(&thread.as_str().into(), Duration::ZERO).await.unwrap();
    server.model.push(ScriptedResponse::text("done"));
    let params = json!({ "thread_id": thread, "item_id": events[3]["item"]["id"], "input": {} });
    let end = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(guard);
    };
    let (events, ()) =
        tokio::join!(server.stream("ada", "threads.add_structured_input", params), end);
    assert_eq!(events.last().unwrap()["item"]["content"][0]["text"], "done");
}

#[tokio::test]
async fn what_hooks_gave_the_prompt_lasts_until_the_answers_are_answered() {
    let hook = r#"on("message", |event, ctx| #{ vars: #{ mood: event.text } });"#;
    let prompt = "---\ntitles: false\n---\nMood: {{ vars.mood }}\n";
    let files = [files()[0], ("plugins/hook.rhai", hook), ("prompts/assistant.md", prompt)];
    let server = Server::start(&files).await;
    converse(&server, "user wet\ncall order {}\nanswer {}\ntext ok").await;
    assert_eq!(server.model.requests()[1].instructions, "Mood: wet");
}

#[tokio::test]
async fn questions_stand_below_the_news_of_a_title() {
    let server = Server::start(&[files()[0], ("prompts/assistant.md", "Test.\n")]).await;
    server.model.push(ScriptedResponse::complete("Pizza"));
    server.model.push(ScriptedResponse::call("order", json!({})));
    let (_, events) = server.create("ada", "a pizza").await;
    let shown: Vec<_> = events.iter().skip(3).map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(shown, ["thread.updated", "thread.item.done"]);
}

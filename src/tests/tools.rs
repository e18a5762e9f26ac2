//! Tools: what the model and the user see of their calls.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    model::ScriptedResponse,
    tests::harness::{Server, check, converse},
};

const CLOCK: &str = r#"
    tool(#{ name: "clock", description: "The time.", run: |args, ctx| "noon" });
    tool(#{ name: "broken", description: "Fails.", run: |args, ctx| throw "out of cogs" });
    tool(#{
        name: "add", description: "Adds.",
        parameters: #{ a: #{ type: "integer" }, b: #{ type: "integer", default: 2 } },
        run: |args, ctx| args.a + args.b,
    });
"#;

fn clock() -> [(&'static str, &'static str); 1] {
    [("plugins/clock.rhai", CLOCK)]
}

#[tokio::test]
async fn a_tool_call_is_answered_unseen_and_the_model_goes_on() {
    let server = Server::start(&clock()).await;
    let shown = converse(
        &server,
        "
        user what time is it?
        call clock {}
        text It is noon.
    ",
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "what time is it?"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.added assistant_message
    item.updated content part
    item.updated "It is noon."
    item.updated part done "It is noon."
    item.done assistant_message "It is noon."
    "#);
    assert_snapshot!(server.last_input(), @r#"
    user "what time is it?"
    call clock {}
    output "noon"
    "#);
}

#[tokio::test]
async fn the_next_turn_sees_the_calls_of_the_last_one_as_they_were() {
    let server = Server::start(&clock()).await;
    converse(
        &server,
        r#"
        user add and tell the time
        calls add {"a": 1} & clock {}
        text 3 and noon
        user again
        text no
    "#,
    )
    .await;
    assert_snapshot!(server.last_input(), @r#"
    user "add and tell the time"
    call add {"a":1}
    call clock {}
    output "3"
    output "noon"
    assistant "3 and noon"
    user "again"
    "#);
}

#[tokio::test]
async fn a_failing_tool_and_wrong_arguments_are_news_for_the_model() {
    let server = Server::start(&clock()).await;
    converse(
        &server,
        r#"
        user try
        calls broken {} & add {"a": "one"} & nothing {}
        text sorry
    "#,
    )
    .await;
    let input = server.last_input();
    assert!(input.contains("out of cogs"), "{input}");
    assert!(input.contains("/a"), "{input}");
    assert!(input.contains(r#"output "error: there is no tool `nothing`""#), "{input}");
    assert!(!input.contains(".rs"), "{input}");
}

#[tokio::test]
async fn an_agent_has_only_the_tools_that_its_prompt_names() {
    let prompt = "---\ntitles: false\ntools: [\"*\", \"!br*\"]\n---\nTest.\n";
    let files = [("plugins/clock.rhai", CLOCK), ("prompts/assistant.md", prompt)];
    let server = Server::start(&files).await;
    converse(
        &server,
        "
        user try
        call broken {}
        text no
    ",
    )
    .await;
    let requests = server.model.requests();
    let names: Vec<_> = requests[0].tools.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["add", "clock"]);
    assert!(server.last_input().contains("there is no tool `broken`"));
}

#[tokio::test]
async fn a_turn_ends_after_a_tool_that_stops_it() {
    let files = [(
        "plugins/stop.rhai",
        r#"
        tool(#{ name: "show", description: "Shows.", stop: true, run: |args, ctx| {
            ctx.say("Here you are.");
            "shown"
        } });
    "#,
    )];
    let shown = check(
        &files,
        "
        user show it
        call show {}
    ",
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "show it"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.done assistant_message "Here you are."
    "#);
}

#[tokio::test]
async fn what_a_tool_shows_comes_in_its_order_and_the_thread_is_told_after_the_next_event() {
    let files = [(
        "plugins/show.rhai",
        r#"
        tool(#{ name: "show", description: "Shows.", run: |args, ctx| {
            ctx.progress("search", "Looking");
            ctx.thread.title = "Found";
            ctx.notice("warning", "Careful", "Heads up");
            ctx.effect("highlight", #{ target: "cell-7" });
            ctx.hidden("The user is in a hurry.");
            "ok"
        } });
    "#,
    )];
    let server = Server::start(&files).await;
    let shown = converse(
        &server,
        "
        user show it
        call show {}
        text done
    ",
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "show it"
    stream_options {"stream_options":{"allow_cancel":true}}
    progress_update {"icon":"search","text":"Looking"}
    notice {"level":"warning","message":"Careful","title":"Heads up"}
    updated title="Found" status="active"
    client_effect {"name":"highlight","data":{"target":"cell-7"}}
    item.added assistant_message
    item.updated content part
    item.updated "done"
    item.updated part done "done"
    item.done assistant_message "done"
    "#);
    assert_snapshot!(server.last_input(), @r#"
    user "show it"
    call show {}
    output "ok"
    user "Hidden context for the agent (not shown to the user):\n<HiddenContext>\nThe user is in a hurry.\n</HiddenContext>"
    "#);
}

#[tokio::test]
async fn a_tool_can_end_the_turn_with_an_error_for_the_user() {
    let files = [(
        "plugins/quota.rhai",
        r#"
        tool(#{ name: "quota", description: "Ends.", run: |args, ctx| ctx.error("Quota used up.", false) });
    "#,
    )];
    let shown = check(
        &files,
        "
        user go
        call quota {}
    ",
    )
    .await;
    assert!(
        shown
            .ends_with(r#"error {"code":"custom","message":"Quota used up.","allow_retry":false}"#),
        "{shown}"
    );
}

#[tokio::test]
async fn an_endless_loop_of_calls_comes_to_an_end() {
    let config = "[limits]\nrounds = 3\n";
    let files = [("plugins/clock.rhai", CLOCK), ("kitfox.toml", config)];
    let shown = check(
        &files,
        "
        user go
        call clock {}
        call clock {}
        call clock {}
    ",
    )
    .await;
    assert!(shown.contains("error {\"code\":\"custom\""), "{shown}");
}

#[tokio::test]
async fn one_tool_calls_another_by_permission_only() {
    let files = [
        ("plugins/clock.rhai", CLOCK),
        (
            "plugins/caller.rhai",
            r#"
            plugin(#{ permissions: #{ tools: ["add"] } });
            tool(#{ name: "twice", description: "Adds twice.", run: |args, ctx| {
                ctx.call_tool("add", #{ a: ctx.call_tool("add", #{ a: 1 }) })
            } });
            tool(#{ name: "sneak", description: "May not.", run: |args, ctx| ctx.call_tool("clock", #{}) });
        "#,
        ),
    ];
    let server = Server::start(&files).await;
    converse(
        &server,
        "
        user go
        calls twice {} & sneak {}
        text done
    ",
    )
    .await;
    let input = server.last_input();
    assert!(input.contains(r#"output "5""#), "{input}");
    assert!(input.contains("permissions.tools"), "{input}");
}

#[tokio::test]
async fn an_agent_is_a_tool_of_another() {
    let files = [
        ("plugins/clock.rhai", CLOCK),
        (
            "plugins/agents.rhai",
            r#"
            agent_tool(#{ name: "ask_expert", agent: "expert", description: "Asks an expert." });
        "#,
        ),
        ("prompts/expert.md", "---\ntools: [clock]\n---\nYou are an expert.\n"),
    ];
    let server = Server::start(&files).await;
    converse(
        &server,
        r#"
        user go
        call ask_expert {"input": "what time?"}
        call clock {}
        text noon, says the expert
        text It is noon.
    "#,
    )
    .await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call ask_expert {"input":"what time?"}
    output "noon, says the expert"
    "#);
    let requests = server.model.requests();
    assert_eq!(requests[1].instructions, "You are an expert.");
    assert_eq!(requests[1].tools.len(), 1);
}

#[tokio::test]
async fn what_a_user_keeps_is_that_users_alone() {
    let files = [(
        "plugins/notes.rhai",
        r#"
        tool(#{ name: "count", description: "Counts.", run: |args, ctx| {
            let mine = ctx.kv.user.update("n", |n| (n ?? 0) + 1);
            let all = ctx.kv.all.update("n", |n| (n ?? 0) + 1);
            let here = ctx.kv.thread.update("n", |n| (n ?? 0) + 1);
            `${mine} ${all} ${here}`
        } });
    "#,
    )];
    let server = Server::start(&files).await;
    for (user, expected) in [("ada", "1 1 1"), ("ada", "2 2 1"), ("eve", "1 3 1")] {
        let script = format!("as {user}\nuser go\ncall count {{}}\ntext done");
        converse(&server, &script).await;
        let input = server.last_input();
        assert!(input.contains(&format!("output \"{expected}\"")), "{user}: {input}");
    }
}

#[tokio::test]
async fn a_tool_shows_its_work_as_a_workflow() {
    let files = [(
        "plugins/work.rhai",
        r#"
        tool(#{ name: "work", description: "Works.", run: |args, ctx| {
            let workflow = ctx.workflow(#{ title: "Working" });
            let first = workflow.task(#{ title: "Step 1", status: "loading" });
            first.update(#{ content: "half" });
            first.done();
            workflow.task(#{ title: "Step 2", icon: "check" });
            "ok"
        } });
    "#,
    )];
    let shown = check(
        &files,
        "
        user go
        call work {}
        text done
    ",
    )
    .await;
    let shown: Vec<_> = shown.lines().skip(3).take(5).collect();
    assert_snapshot!(shown.join("\n"), @r#"
    item.added workflow of 1 tasks
    item.updated task updated {"type":"custom","status_indicator":"loading","title":"Step 1","content":"half"}
    item.updated task updated {"type":"custom","status_indicator":"complete","title":"Step 1","content":"half"}
    item.updated task added {"type":"custom","status_indicator":"none","title":"Step 2","icon":"check"}
    item.done workflow of 2 tasks
    "#);
}

#[tokio::test]
async fn asking_for_an_answer_within_a_turn_is_told_to_be_of_no_use() {
    let script = r#"tool(#{ name: "go", description: "Goes.", run: |args, ctx| ctx.respond() });"#;
    let server = Server::start(&[("plugins/go.rhai", script)]).await;
    converse(
        &server,
        "
        user go
        call go {}
        text done
    ",
    )
    .await;
    let input = server.last_input();
    assert!(input.contains("the agent answers here anyway"), "{input}");
}

#[tokio::test]
async fn a_handler_that_shows_things_for_ever_is_stopped() {
    let script = r#"tool(#{ name: "flood", description: "Floods.", run: |args, ctx| {
        loop { ctx.say("again"); }
    } });
    tool(#{ name: "spin", description: "Spins.", run: |args, ctx| { loop { ctx.progress("on"); } } });"#;
    let server = Server::start(&[("plugins/flood.rhai", script)]).await;
    for (tool, shown) in [("flood", "assistant_message"), ("spin", "progress_update")] {
        server.model.push(ScriptedResponse::call(tool, json!({})));
        server.model.push(ScriptedResponse::text("done"));
        let (_, events) = server.create("ada", "go").await;
        let kind = |event: &&Value| event.pointer("/item/type").unwrap_or(&event["type"]) == shown;
        let count = events.iter().filter(kind).count();
        assert!((1_000..=10_000).contains(&count), "{count}");
        assert!(
            server.last_input().contains("a turn shows at most 1000 items"),
            "{}",
            server.last_input()
        );
    }
}

//! Calls of tools that end in another way than with a result, and what the model is told of them.

use insta::assert_snapshot;
use serde_json::json;

use crate::{
    model::{ScriptedResponse, ScriptedStep},
    tests::{
        harness::{Server, converse, input},
        turns::leave_after,
    },
};

const NOTES: &str = r#"
    tool(#{ name: "note", description: "Notes.", run: |args, ctx| "noted" });
    tool(#{ name: "wait", description: "Waits.", parallel: false, run: |args, ctx| {
        ctx.progress("waiting");
        sleep(30);
    } });
    tool(#{ name: "stop", description: "Stops.", parallel: false, run: |args, ctx| {
        ctx.error("Closed.", false);
    } });
    tool(#{ name: "rename", description: "Renames.", parallel: false, run: |args, ctx| {
        ctx.thread.title = "renamed";
        ctx.hidden("It rains.");
        "renamed"
    } });
    tool(#{ name: "title", description: "The title.", parallel: false, run: |args, ctx| ctx.thread.title });
"#;

#[tokio::test]
async fn calls_that_were_made_before_the_user_left_are_not_forgotten() {
    let server = Server::start(&[("plugins/notes.rhai", NOTES)]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::call("note", &json!({})),
        ScriptedStep::call("wait", &json!({})),
    ]));
    let thread = leave_after(&server, "ada", "\"waiting\"").await;
    server.app.running.idle().await;
    server.model.push(ScriptedResponse::text("next"));
    server.say("ada", &thread, "go on").await;
    assert_snapshot!(server.last_input(), @r#"
    user "hi"
    call note {}
    call wait {}
    output "noted"
    output "error: the turn ended before this call did"
    user "Hidden context for the agent (not shown to the user):\n<HiddenContext>\nThe user cancelled the stream. Stop responding to the prior request.\n</HiddenContext>"
    user "go on"
    "#);
}

#[tokio::test]
async fn calls_that_were_made_before_one_of_them_ended_the_turn_are_not_forgotten() {
    let server = Server::start(&[("plugins/notes.rhai", NOTES)]).await;
    let shown = converse(
        &server,
        "
        user hi
        calls note {} & stop {}
        user again
        text next
    ",
    )
    .await;
    assert!(shown.contains(r#"error {"code":"custom","message":"Closed.","#), "{shown}");
    assert_snapshot!(server.last_input(), @r#"
    user "hi"
    call note {}
    call stop {}
    output "noted"
    output "error: Closed."
    user "again"
    "#);
}

#[tokio::test]
async fn a_call_that_runs_alone_sees_what_the_call_before_it_did() {
    let server = Server::start(&[("plugins/notes.rhai", NOTES)]).await;
    converse(
        &server,
        "
        user hi
        calls rename {} & title {}
        text done
    ",
    )
    .await;
    assert_snapshot!(server.last_input(), @r#"
    user "hi"
    call rename {}
    call title {}
    output "renamed"
    output "renamed"
    user "Hidden context for the agent (not shown to the user):\n<HiddenContext>\nIt rains.\n</HiddenContext>"
    "#);
}

#[tokio::test]
async fn a_tool_that_calls_itself_for_ever_is_an_error_for_the_model() {
    let script = r#"
        plugin(#{ permissions: #{ tools: ["*"] } });
        tool(#{ name: "again", description: "Calls itself.", run: |args, ctx| ctx.call_tool("again", #{}) });
    "#;
    let server = Server::start(&[("plugins/again.rhai", script)]).await;
    converse(
        &server,
        "
        user hi
        call again {}
        text done
    ",
    )
    .await;
    let output = server.last_input();
    assert!(output.contains("more than 32 calls of tools by tools at one time"), "{output}");
}

#[tokio::test]
async fn what_the_user_quotes_is_known_until_the_answer_is_whole_and_not_later() {
    let server = Server::start(&[("plugins/notes.rhai", NOTES)]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("Let me see."),
        ScriptedStep::call("note", &json!({})),
    ]));
    server.model.push(ScriptedResponse::text("Noon."));
    let mut message = input("what is this?");
    message["quoted_text"] = json!("12:00");
    let events = server.stream("ada", "threads.create", json!({ "input": message })).await;
    assert_snapshot!(server.last_input(), @r#"
    user "what is this?"
    user "The user is referring to this in particular: \n12:00"
    assistant "Let me see."
    call note {}
    output "noted"
    "#);
    server.model.push(ScriptedResponse::text("Bye."));
    server.say("ada", events[0]["thread"]["id"].as_str().unwrap(), "thanks").await;
    assert!(!server.last_input().contains("12:00"), "{}", server.last_input());
}

//! Calls that wait beside others, and beside other things that wait for the user.

use insta::assert_snapshot;
use serde_json::json;

use crate::{
    model::{ScriptedResponse, ScriptedStep},
    tests::{
        approvals::{PATH, ask, cards, decide, lines, start},
        harness::Server,
    },
};

#[tokio::test]
async fn the_agent_goes_on_when_the_last_of_several_is_decided() {
    let server = start().await;
    let calls = [
        ("delete", json!({ "path": "a" })),
        ("list", json!({})),
        ("delete", json!({ "path": "b" })),
        ("delete", json!({ "path": "c" })),
    ];
    let (thread, cards) = ask(&server, &calls).await;
    assert_eq!(cards.len(), 3);
    assert_snapshot!(decide(&server, &thread, &cards[1], "kitfox.approve").await, @r#"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.replaced "Run “Delete a file”?" "Approved"
    notice {"level":"info","message":"deleted b for ada"}
    "#);
    assert_snapshot!(decide(&server, &thread, &cards[0], "kitfox.deny").await, @r#"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.replaced "Run “Delete a file”?" "Denied"
    "#);
    assert_eq!(server.model.requests().len(), 1);
    server.model.push(ScriptedResponse::text("Done."));
    let shown = decide(&server, &thread, &cards[2], "kitfox.approve").await;
    assert!(shown.contains("deleted c") && shown.ends_with("\"Done.\""), "{shown}");
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call delete {"path":"a"}
    call list {}
    call delete {"path":"b"}
    call delete {"path":"c"}
    output "error: the user declined this call: do without it, or ask them what they want instead"
    output "a b"
    output "b is gone"
    output "c is gone"
    "#);
}

#[tokio::test]
async fn who_writes_on_passes_all_that_wait() {
    let server = start().await;
    let calls = [("delete", json!({ "path": "a" })), ("delete", json!({ "path": "b" }))];
    let (thread, cards) = ask(&server, &calls).await;
    decide(&server, &thread, &cards[0], "kitfox.approve").await;
    server.model.push(ScriptedResponse::text("Kept."));
    let shown = lines(&server.say("ada", &thread, "stop").await);
    assert_eq!(shown.matches("Not approved").count(), 1, "{shown}");
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call delete {"path":"a"}
    call delete {"path":"b"}
    output "a is gone"
    output "error: the user did not approve this call: they wrote the next message instead"
    user "stop"
    "#);
}

#[tokio::test]
async fn what_is_approved_may_lead_to_more_to_approve() {
    let server = start().await;
    let (thread, first) = ask(&server, &[("delete", json!({ "path": "a" }))]).await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::text("One more."),
        ScriptedStep::call("delete", &json!({ "path": "b" })),
    ]));
    let shown = decide(&server, &thread, &first[0], "kitfox.approve").await;
    assert!(shown.ends_with(r#""Waits for your approval" [Deny] [Approve]"#), "{shown}");
    let items = server.items("ada", &thread).await;
    assert_eq!(items.matches("kitfox.approve").count(), 1, "{items}");
}

#[tokio::test]
async fn a_call_of_the_page_is_made_again_when_all_is_decided() {
    let server = start().await;
    server
        .save("plugins/page.rhai", r#"client_tool(#{ name: "look", description: "Looks." });"#)
        .await;
    let calls = [("look", json!({})), ("delete", json!({ "path": "a" }))];
    let (thread, cards) = ask(&server, &calls).await;
    server.model.push(ScriptedResponse::call("look", json!({})));
    let shown = decide(&server, &thread, &cards[0], "kitfox.approve").await;
    assert!(shown.ends_with("item.done client_tool_call pending look {}"), "{shown}");
    server.model.push(ScriptedResponse::text("Done."));
    let output = json!({ "thread_id": thread, "result": "a page" });
    server.stream("ada", "threads.add_client_tool_output", output).await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call look {}
    call delete {"path":"a"}
    output "error: `look` was not called: the user is asked to approve another call first, call it again after that"
    output "a is gone"
    call look {}
    output "\"a page\""
    "#);
}

#[tokio::test]
async fn answers_to_questions_wait_for_what_is_to_be_approved() {
    let server = start().await;
    let survey = r#"tool(#{ name: "survey", description: "Asks.", run: |args, ctx|
        ctx.ask([#{ id: "why", question: "Why?" }]) });"#;
    server.save("plugins/survey.rhai", survey).await;
    let calls = [("survey", json!({})), ("delete", json!({ "path": "a" }))];
    server.model.push(ScriptedResponse::steps(
        calls.map(|(tool, arguments)| ScriptedStep::call(tool, &arguments)),
    ));
    let (thread, events) = server.create("ada", "go").await;
    let questions =
        &events.iter().find(|it| it["item"]["type"] == "structured_input").unwrap()["item"];
    let answers = json!({ "thread_id": thread, "item_id": questions["id"], "input": {
        "answers": { "why": { "values": ["because"] } },
    } });
    let shown = lines(&server.stream("ada", "threads.add_structured_input", answers).await);
    assert!(!shown.contains("assistant_message"), "{shown}");
    server.model.push(ScriptedResponse::text("Done."));
    decide(&server, &thread, &cards(&events)[0], "kitfox.approve").await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call survey {}
    call delete {"path":"a"}
    output "the user was asked: what they answered is below"
    output "a is gone"
    user "A structured input request was displayed to the user with the following status: answered\n<StructuredInput>\n- Why?: because\n</StructuredInput>"
    "#);
}

#[tokio::test]
async fn a_tool_that_ends_the_turn_ends_it_when_it_was_approved_too() {
    let script = r#"
        tool(#{ name: "pay", description: "Pays.", approval: "always", stop: true, run: |args, ctx| { ctx.say("Paid."); "ok" } });
        tool(#{ name: "show", description: "Shows.", stop: true, run: |args, ctx| { ctx.say("Here."); "ok" } });
        tool(#{ name: "send", description: "Sends.", approval: "always", run: |args, ctx| "sent" });
    "#;
    let server = Server::start(&[(PATH, script)]).await;
    for call in ["pay", "send"] {
        let (thread, cards) = ask(&server, &[("show", json!({})), (call, json!({}))]).await;
        decide(&server, &thread, &cards[0], "kitfox.approve").await;
    }
    let (thread, cards) = ask(&server, &[("pay", json!({}))]).await;
    let shown = decide(&server, &thread, &cards[0], "kitfox.approve").await;
    assert!(shown.ends_with(r#"item.done assistant_message "Paid.""#), "{shown}");
    assert_eq!(server.model.requests().len(), 3);
}

#[tokio::test]
async fn an_approved_call_may_ask_show_and_fail_as_any_other() {
    let script = r#"
        tool(#{ name: "ask", description: "Asks.", approval: "always", run: |args, ctx| {
            ctx.hidden("It rains.");
            ctx.ask([#{ id: "why", question: "Why?" }])
        } });
        tool(#{ name: "fail", description: "Fails.", approval: "always", run: |args, ctx| throw "broken" });
        tool(#{ name: "end", description: "Ends.", approval: "always", run: |args, ctx| ctx.error("Closed.", false) });
    "#;
    let server = Server::start(&[(PATH, script)]).await;
    let (thread, cards) =
        ask(&server, &[("ask", json!({})), ("fail", json!({})), ("end", json!({}))]).await;
    let shown = decide(&server, &thread, &cards[0], "kitfox.approve").await;
    assert!(shown.ends_with("structured_input pending why=null"), "{shown}");
    decide(&server, &thread, &cards[1], "kitfox.approve").await;
    let shown = decide(&server, &thread, &cards[2], "kitfox.approve").await;
    assert!(
        shown.ends_with(r#"error {"code":"custom","message":"Closed.","allow_retry":false}"#),
        "{shown}"
    );
    server.model.push(ScriptedResponse::text("I see."));
    server.say("ada", &thread, "well?").await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call ask {}
    call fail {}
    call end {}
    output "the user was asked: what they answered is below"
    output "error: broken"
    output "error: Closed."
    user "Hidden context for the agent (not shown to the user):\n<HiddenContext>\nIt rains.\n</HiddenContext>"
    user "A structured input request was displayed to the user with the following status: pending\n<StructuredInput>\n- Why?: unanswered\n</StructuredInput>"
    user "well?"
    "#);
}

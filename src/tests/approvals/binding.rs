//! Which calls need approval, who can wait for it, and what it is an approval of.

use std::sync::Arc;

use insta::assert_snapshot;
use serde_json::{Map, json};

use crate::{
    context::RequestContext,
    model::ScriptedResponse,
    tests::{
        approvals::{FILES, PATH, ask, ask_to_delete, cards, decide, start},
        harness::Server,
    },
    turn,
    user::User,
};

#[tokio::test]
async fn an_approval_is_of_the_tool_that_the_card_shows_and_of_no_other() {
    for (what, change) in [
        ("description", ("Deletes a file.", "Deletes all files.")),
        (
            "schema",
            ("path: #{ type: \"string\" }", "path: #{ type: \"string\", description: \"*\" }"),
        ),
        ("approval", ("approval: \"always\"", "approval: \"destructive\"")),
        ("title", ("Delete a file", "Read a file")),
    ] {
        let server = start().await;
        let (thread, card) = ask_to_delete(&server).await;
        server.save(PATH, &FILES.replace(change.0, change.1)).await;
        server.model.push(ScriptedResponse::text("I see."));
        let shown = decide(&server, &thread, &card, "kitfox.approve").await;
        assert!(shown.contains("Not run: the tool has changed since"), "{what}: {shown}");
        assert!(!shown.contains("deleted"), "{what}: {shown}");
        let told = server.last_input();
        let expected = "error: `delete` changed after the user was asked, so that their approval does not count: \
                        call it again if it is still needed";
        assert!(told.ends_with(&format!("output {expected:?}")), "{what}: {told}");
    }
}

#[tokio::test]
async fn an_approval_is_not_of_a_tool_of_the_same_name_from_elsewhere() {
    let server = start().await;
    let (thread, card) = ask_to_delete(&server).await;
    server.remove(PATH).await;
    server.save("plugins/other.rhai", FILES).await;
    server.model.push(ScriptedResponse::text("I see."));
    let shown = decide(&server, &thread, &card, "kitfox.approve").await;
    assert!(shown.contains("has changed since"), "{shown}");
}

#[tokio::test]
async fn a_tool_that_is_gone_does_not_run_and_can_be_denied() {
    let server = start().await;
    let (thread, card) = ask_to_delete(&server).await;
    let (other, denied) = ask_to_delete(&server).await;
    server.remove(PATH).await;
    server.model.push(ScriptedResponse::text("I see."));
    decide(&server, &thread, &card, "kitfox.approve").await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call delete {"path":"a"}
    output "error: there is no tool `delete` any more: it was not run"
    "#);
    server.model.push(ScriptedResponse::text("I see."));
    let shown = decide(&server, &other, &denied, "kitfox.deny").await;
    assert!(shown.contains("\"Denied\""), "{shown}");
}

#[tokio::test]
async fn a_change_of_what_the_tool_does_not_show_leaves_the_approval() {
    let server = start().await;
    let (thread, card) = ask_to_delete(&server).await;
    server.save(PATH, &FILES.replace("is gone", "was deleted")).await;
    server.model.push(ScriptedResponse::text("Done."));
    decide(&server, &thread, &card, "kitfox.approve").await;
    assert!(server.last_input().ends_with("output \"a was deleted\""), "{}", server.last_input());
}

#[tokio::test]
async fn an_agent_that_lost_the_tool_does_not_run_it() {
    let server = start().await;
    let (thread, card) = ask_to_delete(&server).await;
    let prompt = "---\ntitles: false\ntools: [\"*\", \"!delete\"]\n---\nYou are a test.\n";
    server.save("prompts/assistant.md", prompt).await;
    server.model.push(ScriptedResponse::text("I see."));
    let shown = decide(&server, &thread, &card, "kitfox.approve").await;
    assert!(!shown.contains("deleted"), "{shown}");
    let told = server.last_input();
    assert!(told.ends_with("output \"error: there is no tool `delete`\""), "{told}");
}

#[tokio::test]
async fn a_tool_says_when_the_user_is_asked() {
    for (approval, annotations, asks) in [
        ("never", "", false),
        ("never", "destructiveHint: true", false),
        ("destructive", "", true),
        ("destructive", "destructiveHint: true", true),
        ("destructive", "destructiveHint: false", false),
        ("destructive", "readOnlyHint: true", false),
        ("destructive", "readOnlyHint: true, destructiveHint: true", false),
        ("destructive", "readOnlyHint: false", true),
        ("always", "", true),
        ("always", "readOnlyHint: true, destructiveHint: false", true),
    ] {
        let script = format!(
            "tool(#{{ name: \"t\", description: \"T.\", approval: \"{approval}\", annotations: #{{ {annotations} }},
                run: |args, ctx| \"ran\" }});"
        );
        let server = Server::start(&[("plugins/t.rhai", &script)]).await;
        server.model.push(ScriptedResponse::call("t", json!({})));
        if !asks {
            server.model.push(ScriptedResponse::text("Done."));
        }
        let (_, events) = server.create("ada", "go").await;
        assert_eq!(cards(&events).len(), usize::from(asks), "{approval} {annotations}");
        assert_eq!(server.model.remaining(), 0, "{approval} {annotations}");
    }
}

#[tokio::test]
async fn only_calls_of_the_agent_that_the_user_talks_to_can_wait() {
    let server = start().await;
    let script = r#"
        plugin(#{ permissions: #{ tools: ["delete"] } });
        tool(#{ name: "clean", description: "Cleans.", run: |args, ctx| ctx.call_tool("delete", #{ path: "a" }) });
        agent_tool(#{ name: "janitor", agent: "janitor", description: "Cleans." });
    "#;
    server.save("plugins/clean.rhai", script).await;
    server.save("prompts/janitor.md", "Clean.").await;
    server.model.push(ScriptedResponse::call("clean", json!({})));
    server.model.push(ScriptedResponse::call("janitor", json!({ "input": "clean" })));
    server.model.push(ScriptedResponse::call("delete", json!({ "path": "a" })));
    server.model.push(ScriptedResponse::text("I may not."));
    server.model.push(ScriptedResponse::text("I see."));
    server.create("ada", "go").await;
    let asked = server.model.requests();
    assert_eq!(asked.len(), 5);
    let refusal = "`delete` needs the user's approval, for which only a call by the agent that the user talks to can \
                   wait: leave it to that agent";
    let janitor = format!("{:?}", asked[3].input);
    assert!(janitor.contains(refusal), "{janitor}");
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call clean {}
    output "error: `delete` needs the user's approval, for which only a call by the agent that the user talks to can wait: leave it to that agent"
    call janitor {"input":"clean"}
    output "I may not."
    "#);
    let generation = server.app.generation();
    let context = || Arc::new(RequestContext::of_user(User::new("test", "", "ada"), &Map::new()));
    let arguments = json!({ "path": "a" });
    let call = turn::call_tool(&server.app, &generation, "delete", arguments.clone(), context());
    assert_eq!(call.await.unwrap_err().to_string(), refusal);
    let script =
        FILES.replace("ctx.notice(\"info\", `deleted ${args.path} for ${ctx.user.id}`);", "");
    server.save(PATH, &script).await;
    let generation = server.app.generation();
    let call = turn::call_approved_tool(&server.app, &generation, "delete", arguments, context());
    assert_eq!(call.await.unwrap(), json!("a is gone"));
}

#[tokio::test]
async fn an_approval_is_of_one_call() {
    let server = start().await;
    let (thread, cards) = ask(&server, &[("delete", json!({ "path": "a" }))]).await;
    server.model.push(ScriptedResponse::call("delete", json!({ "path": "a" })));
    let shown = decide(&server, &thread, &cards[0], "kitfox.approve").await;
    assert_eq!(shown.matches("deleted a").count(), 1, "{shown}");
    assert!(shown.ends_with("[Deny] [Approve]"), "{shown}");
}

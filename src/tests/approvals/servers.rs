//! What came from one MCP server leaves to another one only where the user says so.

use std::sync::Arc;

use futures::future::BoxFuture;
use insta::assert_snapshot;
use serde_json::{Map, Value, json};

use crate::{
    model::{ScriptedResponse, ScriptedStep},
    tests::{
        approvals::{cards, decide, lines},
        harness::Server,
    },
    tool::{Approval, CallContext, Tool, ToolError, ToolProvider, ToolSpec},
};

/// A server whose tools answer with their names.
struct Echo(&'static str);

impl ToolProvider for Echo {
    fn call(
        &self,
        name: &str,
        _arguments: Value,
        _context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        let answer = format!("{name} ran");
        Box::pin(async move {
            if answer.contains("broken") {
                Err(ToolError::Failed(answer))
            } else {
                Ok(json!(answer))
            }
        })
    }

    fn origin(&self) -> &str {
        self.0
    }
}

fn tool(server: &'static str, name: &str, approval: Approval, hint: (&str, bool)) -> Tool {
    let name = format!("{server}__{name}");
    let spec = ToolSpec {
        server: Some(Arc::from(server)),
        approval,
        annotations: Map::from_iter([(hint.0.to_owned(), json!(hint.1))]),
        ..ToolSpec::new(name, "A tool.".to_owned(), json!({ "type": "object" }))
    };
    Tool { spec: Arc::new(spec), provider: Arc::new(Echo(server)) }
}

const HELPER: &str = r#"
    plugin(#{ permissions: #{ tools: ["*"] } });
    tool(#{ name: "both", description: "Searches and files.", run: |args, ctx| {
        ctx.call_tool("notes__search", #{}) + ", " + ctx.call_tool("jira__create", #{})
    } });
    agent_tool(#{ name: "helper", agent: "helper", description: "Helps." });
"#;

async fn start(config: &str) -> Server {
    let server = Server::start(&[
        ("plugins/helper.rhai", HELPER),
        ("prompts/helper.md", "Help."),
        ("kitfox.toml", config),
    ])
    .await;
    let harmless = ("destructiveHint", false);
    let generation = server.app.generation();
    let mut tools = (*generation.tools).clone();
    for tool in [
        tool("notes", "search", Approval::Destructive, ("readOnlyHint", true)),
        tool("notes", "broken", Approval::Destructive, harmless),
        tool("notes", "add", Approval::Destructive, harmless),
        tool("jira", "create", Approval::Destructive, harmless),
        tool("jira", "ping", Approval::Never, harmless),
        tool("jira", "search", Approval::Destructive, ("readOnlyHint", true)),
    ] {
        tools.0.insert(tool.spec.name.clone(), tool);
    }
    server.app.pretend(generation.with_tools(tools));
    server
}

/// A turn in which the model makes these calls, one after the other, has so many cards.
async fn check(server: &Server, calls: &[&str], expected: usize) {
    for call in calls {
        server.model.push(ScriptedResponse::call(call, json!({})));
    }
    if expected == 0 {
        server.model.push(ScriptedResponse::text("Done."));
    }
    let (_, events) = server.create("ada", "go").await;
    assert_eq!((cards(&events).len(), server.model.remaining()), (expected, 0), "{calls:?}");
}

#[tokio::test]
async fn a_call_to_another_server_asks_once_the_model_has_seen_a_result() {
    let server = start("").await;
    for (calls, asks) in [
        (&["jira__create", "notes__search"][..], 0),
        (&["notes__search", "notes__add"], 0),
        (&["notes__search", "jira__ping"], 0),
        (&["notes__search", "jira__search"], 0),
        (&["notes__search", "jira__create"], 1),
        (&["notes__broken", "jira__create"], 1),
        (&["both", "notes__add"], 1),
    ] {
        check(&server, calls, asks).await;
    }
    let allowed = start("[mcp]\ncross_server = \"allow\"\n").await;
    check(&allowed, &["notes__search", "jira__create"], 0).await;
}

#[tokio::test]
async fn the_card_says_what_may_leave_and_the_pause_is_no_way_round() {
    let server = start("").await;
    // Of one response: the model had seen nothing.
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::call("notes__search", &json!({})),
        ScriptedStep::call("jira__create", &json!({})),
    ]));
    server.model.push(ScriptedResponse::call("jira__create", json!({ "text": "secret" })));
    let (thread, events) = server.create("ada", "go").await;
    assert_eq!(cards(&events).len(), 1);
    let page = server.call("ada", "items.list", json!({ "thread_id": thread })).await.1;
    let card = &page["data"][0];
    assert_snapshot!(card["widget"]["children"][3]["value"].as_str().unwrap(), @"What came from “notes” before may be sent on to “jira” with it.");
    assert_snapshot!(card["widget"]["children"][1]["value"].as_str().unwrap(), @"jira__create · MCP server jira");
    server.model.push(ScriptedResponse::call("notes__add", json!({})));
    let shown = decide(&server, &thread, card["id"].as_str().unwrap(), "kitfox.deny").await;
    assert!(shown.ends_with("[Deny] [Approve]"), "{shown}");
    // The user's next message is another turn.
    server.model.push(ScriptedResponse::call("jira__create", json!({})));
    server.model.push(ScriptedResponse::text("Done."));
    let shown = lines(&server.say("ada", &thread, "file it").await);
    assert!(shown.ends_with("\"Done.\""), "{shown}");
}

#[tokio::test]
async fn an_agent_that_is_a_tool_carries_nothing_either() {
    let server = start("").await;
    server.model.push(ScriptedResponse::call("helper", json!({ "input": "file it" })));
    server.model.push(ScriptedResponse::call("notes__search", json!({})));
    server.model.push(ScriptedResponse::call("jira__create", json!({})));
    server.model.push(ScriptedResponse::text("I may not."));
    server.model.push(ScriptedResponse::call("jira__create", json!({})));
    let (_, events) = server.create("ada", "go").await;
    assert_eq!(cards(&events).len(), 1);
    let nested = format!("{:?}", server.model.requests()[3].input);
    assert!(nested.contains("results of the MCP server `notes` may leave to `jira`"), "{nested}");
}

//! Calls that ask the user something before they can go on, as MCP's elicitation does.

use std::sync::Arc;

use axum::http::StatusCode;
use futures::future::BoxFuture;
use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::{
    chatkit::StructuredInput,
    model::{ScriptedResponse, ScriptedStep},
    tests::{
        approvals::lines,
        harness::{Server, converse},
    },
    tool::{
        Answered, CallContext, Inquiry, Reply, Tool, ToolError, ToolProvider, ToolSet, ToolSpec,
        TurnRequest, Wanted,
    },
};

/// Asks where to, and once more where the answer is "?".
struct Travel;

impl Travel {
    async fn ask(context: CallContext, state: Value) -> Result<Value, ToolError> {
        let question = StructuredInput::Freeform {
            id: "where".to_owned(),
            question: "Where to?".to_owned(),
            answer: None,
            description: None,
        };
        let tool = "travel".to_owned();
        let wanted = Wanted::Answers(vec![question]);
        context.ask(TurnRequest::Input(Inquiry { tool, wanted, state, shown: None })).await
    }
}

impl ToolProvider for Travel {
    fn call(
        &self,
        _name: &str,
        arguments: Value,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        Box::pin(Self::ask(context, json!({ "round": 1, "arguments": arguments })))
    }

    fn resume(
        &self,
        name: &str,
        arguments: Value,
        answered: Answered,
        context: CallContext,
    ) -> BoxFuture<'static, Result<Value, ToolError>> {
        let name = name.to_owned();
        Box::pin(async move {
            let Reply::Answers(item) = &answered.reply else { panic!("it asks to be answered") };
            let answer = item.inputs[0].answer().expect("it is answered or skipped");
            match answer.values.first().map(String::as_str) {
                Some("?") => Self::ask(context, json!({ "round": 2 })).await,
                place => Ok(
                    json!({ "tool": name, "arguments": arguments, "state": answered.state, "to": place }),
                ),
            }
        })
    }

    fn origin(&self) -> &'static str {
        "travel"
    }
}

async fn start() -> Server {
    let nested = r#"
        plugin(#{ permissions: #{ tools: ["travel"] } });
        tool(#{ name: "nested", description: "Travels.", run: |args, ctx| ctx.call_tool("travel", #{}) });
    "#;
    let server = Server::start(&[("plugins/nested.rhai", nested)]).await;
    let generation = server.app.generation();
    let mut tools = ToolSet::clone(&generation.tools);
    let spec =
        ToolSpec::new("travel".to_owned(), "Travels.".to_owned(), json!({ "type": "object" }));
    let tool = Tool { spec: Arc::new(spec), provider: Arc::new(Travel) };
    tools.0.insert("travel".to_owned(), tool);
    server.app.pretend(generation.with_tools(tools));
    server
}

#[tokio::test]
async fn a_call_goes_on_with_the_answers_and_the_agent_after_it() {
    let server = start().await;
    let shown = converse(
        &server,
        r#"
        user go
        call travel {"by": "train"}
        answer {"answers": {"where": {"values": ["Oslo"]}}}
        text Off you go.
    "#,
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "go"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.done structured_input pending where=null
    stream_options {"stream_options":{"allow_cancel":true}}
    item.replaced structured_input answered where=["Oslo"]
    item.added assistant_message
    item.updated content part
    item.updated "Off you go."
    item.updated part done "Off you go."
    item.done assistant_message "Off you go."
    "#);
    // The answers are the call's, and the model's only in its result.
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call travel {"by":"train"}
    output "{\"tool\":\"travel\",\"arguments\":{\"by\":\"train\"},\"state\":{\"round\":1,\"arguments\":{\"by\":\"train\"}},\"to\":\"Oslo\"}"
    "#);
}

#[tokio::test]
async fn a_call_may_ask_again_and_may_be_left_unanswered() {
    let server = start().await;
    let shown = converse(
        &server,
        r#"
        user go
        call travel {}
        answer {"answers": {"where": {"values": ["?"]}}}
        user never mind
        text As you wish.
    "#,
    )
    .await;
    assert_snapshot!(shown, @r#"
    created
    item.done user_message "go"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.done structured_input pending where=null
    stream_options {"stream_options":{"allow_cancel":true}}
    item.replaced structured_input answered where=["?"]
    item.done structured_input pending where=null
    item.done user_message "never mind"
    stream_options {"stream_options":{"allow_cancel":true}}
    item.replaced structured_input skipped where=null
    item.added assistant_message
    item.updated content part
    item.updated "As you wish."
    item.updated part done "As you wish."
    item.done assistant_message "As you wish."
    "#);
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call travel {}
    output "error: the user did not answer what this call asked: they wrote the next message instead"
    user "never mind"
    "#);
}

#[tokio::test]
async fn two_calls_that_ask_go_on_one_by_one_and_are_answered_once() {
    let server = start().await;
    server.model.push(ScriptedResponse::steps([
        ScriptedStep::call("travel", &json!({ "n": 1 })),
        ScriptedStep::call("travel", &json!({ "n": 2 })),
    ]));
    let (thread, events) = server.create("ada", "go").await;
    let asked: Vec<_> = events.iter().map(|it| &it["item"]).collect();
    let asked: Vec<_> = asked.iter().filter(|it| it["type"] == "structured_input").collect();
    let answer = |item: &Value| json!({ "thread_id": thread, "item_id": item["id"], "input": { "status": "skipped" } });
    let first = server.stream("ada", "threads.add_structured_input", answer(asked[1])).await;
    assert!(!lines(&first).contains("assistant_message"), "{}", lines(&first));
    server.model.push(ScriptedResponse::text("Done."));
    server.stream("ada", "threads.add_structured_input", answer(asked[0])).await;
    let told = server.last_input();
    assert_eq!(told.matches(r#"\"to\":null"#).count(), 2, "{told}");
    let (status, _) = server.call("ada", "threads.add_structured_input", answer(asked[0])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn nobody_else_gets_the_answers() {
    let server = start().await;
    let shown = converse(&server, "user go\ncall travel {}").await;
    assert!(shown.ends_with("structured_input pending where=null"), "{shown}");
    let travel =
        r#"tool(#{ name: "travel", description: "Travels.", run: |args, ctx| "stolen" });"#;
    server.save("plugins/travel.rhai", travel).await;
    let page = server.call("ada", "threads.list", json!({})).await.1;
    let thread = &page["data"][0]["id"];
    let items = server.call("ada", "items.list", json!({ "thread_id": thread })).await.1;
    server.model.push(ScriptedResponse::text("I see."));
    let input = json!({ "answers": { "where": { "values": ["secret"] } } });
    let answer = json!({ "thread_id": thread, "item_id": items["data"][0]["id"], "input": input });
    server.stream("ada", "threads.add_structured_input", answer).await;
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call travel {}
    output "error: `travel` changed after it asked the user: call it again"
    "#);
}

#[tokio::test]
async fn a_tool_that_another_one_calls_cannot_ask() {
    let server = start().await;
    let shown = converse(&server, "user go\ncall nested {}\ntext I see.").await;
    assert!(!shown.contains("structured_input"), "{shown}");
    assert_snapshot!(server.last_input(), @r#"
    user "go"
    call nested {}
    output "error: `travel` asks the user something, and only a call by the agent that they talk to can wait for their answer: leave it to that agent"
    "#);
}

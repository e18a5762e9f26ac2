use std::sync::Arc;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{
    tool,
    upstream::{Answer, Upstream},
    user,
};
use crate::{
    model::{InputContent, InputItem, ModelRequest, Role},
    prompt::Reasoning,
};

fn text(text: &str) -> InputContent {
    InputContent::Text(text.to_owned())
}

fn call(id: &str, name: &str, arguments: &str) -> InputItem {
    InputItem::FunctionCall {
        call_id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    }
}

fn output(id: &str, output: Vec<InputContent>) -> InputItem {
    InputItem::FunctionCallOutput { call_id: id.to_owned(), output }
}

/// A request that has some of everything.
fn rich() -> ModelRequest {
    let image = InputContent::Image { url: "data:image/png;base64,AA==".to_owned() };
    let file = InputContent::File {
        filename: "a.pdf".to_owned(),
        data: "data:application/pdf;base64,AA==".to_owned(),
    };
    let mut described = (*tool("a.b")).clone();
    described.parameters =
        json!({ "type": "object", "properties": { "x": { "type": "integer" } } });
    ModelRequest {
        model: "m".to_owned(),
        instructions: "Be kind.".to_owned(),
        spent: crate::tool::Spent::default(),
        input: vec![
            InputItem::Message {
                role: Role::User,
                content: vec![text("look"), image.clone(), file],
            },
            InputItem::Message { role: Role::Assistant, content: vec![text("I look.")] },
            InputItem::Raw(
                json!({ "type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x" }),
            ),
            InputItem::Raw(json!({ "type": "reasoning", "id": "rs_2", "summary": [] })),
            call("call_1", "a.b", r#"{"x":1}"#),
            call("call_2", "gone.tool", "{broken"),
            output("call_1", vec![text("1")]),
            output("call_2", vec![text("two"), image]),
            user("and?"),
        ],
        tools: vec![Arc::new(described)],
        tool_choice: Some("a.b".to_owned()),
        parallel_tool_calls: false,
        temperature: Some(0.5),
        reasoning: Some(Reasoning { effort: Some("low".to_owned()), show: true }),
        hosted: vec![json!({ "type": "web_search" })],
        schema: Some(json!({ "type": "object" })),
    }
}

/// A body, a line for each of its fields and for each entry of its lists.
fn lines(body: &Value) -> String {
    let mut lines = Vec::new();
    for (key, value) in body.as_object().unwrap() {
        match value {
            Value::Array(list) => {
                lines.push(format!("{key}:"));
                lines.extend(list.iter().map(|entry| format!("  {entry}")));
            }
            value => lines.push(format!("{key}: {value}")),
        }
    }
    lines.join("\n")
}

#[tokio::test]
async fn everything_is_said_in_the_words_of_chat_completions() {
    let upstream = Upstream::start([Answer::events(&["[DONE]"])]).await;
    super::events(upstream.chat().stream(rich())).await;
    let (path, _, body) = upstream.requests().remove(0);
    assert_eq!(path, "/v1/chat/completions");
    assert_snapshot!(lines(&body), @r#"
    model: "m"
    messages:
      {"role":"system","content":"Be kind."}
      {"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,AA=="}}]}
      {"role":"assistant","content":"I look.","tool_calls":[{"type":"function","id":"call_1","function":{"name":"a_b","arguments":"{\"x\":1}"}},{"type":"function","id":"call_2","function":{"name":"gone_tool","arguments":"{}"}}]}
      {"role":"tool","tool_call_id":"call_1","content":"1"}
      {"role":"tool","tool_call_id":"call_2","content":"two"}
      {"role":"user","content":[{"type":"text","text":"What the tools showed:"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}
      {"role":"user","content":"and?"}
    stream: true
    stream_options: {"include_usage":true}
    tools:
      {"type":"function","function":{"name":"a_b","description":"The tool a.b.","parameters":{"type":"object","properties":{"x":{"type":"integer"}}},"strict":false}}
    tool_choice: {"type":"function","function":{"name":"a_b"}}
    parallel_tool_calls: false
    temperature: 0.5
    reasoning_effort: "low"
    response_format: {"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"},"strict":false}}
    "#);
}

#[tokio::test]
async fn everything_is_said_in_the_words_of_the_responses_api() {
    let upstream = Upstream::start([Answer::events(&["[DONE]"])]).await;
    super::events(upstream.responses().stream(rich())).await;
    let (path, _, body) = upstream.requests().remove(0);
    assert_eq!(path, "/v1/responses");
    assert_snapshot!(lines(&body), @r#"
    model: "m"
    instructions: "Be kind."
    input:
      {"type":"message","role":"user","content":[{"type":"input_text","text":"look"},{"type":"input_image","image_url":"data:image/png;base64,AA==","detail":"auto"},{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,AA=="}]}
      {"type":"message","role":"assistant","content":[{"type":"output_text","text":"I look.","annotations":[]}]}
      {"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"x"}
      {"type":"function_call","call_id":"call_1","name":"a_b","arguments":"{\"x\":1}"}
      {"type":"function_call","call_id":"call_2","name":"gone_tool","arguments":"{broken"}
      {"type":"function_call_output","call_id":"call_1","output":"1"}
      {"type":"function_call_output","call_id":"call_2","output":[{"type":"input_text","text":"two"},{"type":"input_image","image_url":"data:image/png;base64,AA==","detail":"auto"}]}
      {"type":"message","role":"user","content":[{"type":"input_text","text":"and?"}]}
    stream: true
    store: false
    include:
      "reasoning.encrypted_content"
      "web_search_call.action.sources"
    tools:
      {"type":"function","name":"a_b","description":"The tool a.b.","parameters":{"type":"object","properties":{"x":{"type":"integer"}}},"strict":false}
      {"type":"web_search"}
    tool_choice: {"type":"function","name":"a_b"}
    parallel_tool_calls: false
    temperature: 0.5
    reasoning: {"effort":"low","summary":"auto"}
    text: {"format":{"type":"json_schema","name":"answer","schema":{"type":"object"},"strict":false}}
    "#);
}

#[tokio::test]
async fn what_is_not_asked_for_is_not_sent() {
    let upstream =
        Upstream::start([Answer::events(&["[DONE]"]), Answer::events(&["[DONE]"])]).await;
    let request = || ModelRequest { tool_choice: Some("x".to_owned()), ..super::say("hi") };
    super::events(upstream.chat().stream(request())).await;
    super::events(upstream.responses().stream(request())).await;
    let keys: Vec<Vec<String>> = upstream
        .requests()
        .into_iter()
        .map(|(_, _, body)| match body {
            Value::Object(body) => body.keys().cloned().collect(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(
        keys,
        [
            vec!["model", "messages", "stream", "stream_options"],
            vec!["model", "input", "stream", "store"],
        ]
    );
}

/// The official types of these APIs accept what is sent.
#[tokio::test]
async fn the_requests_are_those_of_the_apis() {
    let upstream =
        Upstream::start([Answer::events(&["[DONE]"]), Answer::events(&["[DONE]"])]).await;
    super::events(upstream.chat().stream(rich())).await;
    let mut request = rich();
    // Those types know no text of an assistant without an id, which the API takes.
    request.input.retain(|item| !matches!(item, InputItem::Message { role: Role::Assistant, .. }));
    super::events(upstream.responses().stream(request)).await;
    let mut bodies = upstream.requests().into_iter().map(|(_, _, body)| body);
    let chat: async_openai::types::chat::CreateChatCompletionRequest =
        serde_json::from_value(bodies.next().unwrap()).unwrap();
    assert_eq!(chat.messages.len(), 7);
    let responses: async_openai::types::responses::CreateResponse =
        serde_json::from_value(bodies.next().unwrap()).unwrap();
    assert_eq!(responses.store, Some(false));
}

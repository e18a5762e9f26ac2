//! MCP servers that ask the user something in the middle of a call.

mod attacks;
mod forms;
mod pages;
mod servers;
mod waiting;

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    model::ScriptedResponse,
    tests::harness::{Server, events, text},
};

use self::servers::{Asker, Era};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// A project with one server `notes` at this URL.
async fn with(url: &str, more: &str) -> Server {
    let file = format!("transport = \"http\"\nurl = \"{url}\"\napproval = \"never\"\n{more}\n");
    Server::start(&[("plugins/notes.mcp.toml", &file)]).await
}

/// The parameters of a form with these properties.
fn form(properties: &Value, required: &[&str]) -> Value {
    json!({
        "mode": "form",
        "message": "Where to?",
        "requestedSchema": { "type": "object", "properties": properties, "required": required },
    })
}

/// Ada's thread in which `notes__ask` was called, and the item that it asks by, if it does.
async fn ask(server: &Server) -> (String, Option<Value>) {
    server.model.push(ScriptedResponse::call("notes__ask", json!({})));
    server.model.push(ScriptedResponse::text("I see."));
    let (thread, events) = server.create("ada", "go").await;
    (thread, asked(&events))
}

fn asked(events: &[Value]) -> Option<Value> {
    let mut items =
        events.iter().filter(|it| it["type"] == "thread.item.done").map(|it| &it["item"]);
    items.rfind(|it| it["type"] == "structured_input" || it["type"] == "widget").cloned()
}

/// Ada's answers to a form, each a text.
async fn answer(server: &Server, thread: &str, item: &Value, answers: &Value) -> Vec<Value> {
    let answers: serde_json::Map<_, _> = answers
        .as_object()
        .unwrap()
        .iter()
        .map(|(id, it)| {
            let values = if it.is_array() { it.clone() } else { json!([it]) };
            (id.clone(), json!({ "values": values }))
        })
        .collect();
    submit(server, thread, item, json!({ "answers": answers })).await
}

async fn submit(server: &Server, thread: &str, item: &Value, input: Value) -> Vec<Value> {
    let params = json!({ "thread_id": thread, "item_id": item["id"], "input": input });
    server.stream("ada", "threads.add_structured_input", params).await
}

/// Ada's click on a card.
async fn click(server: &Server, thread: &str, item: &Value, action: &str) -> Vec<Value> {
    let params =
        json!({ "thread_id": thread, "item_id": item["id"], "action": { "type": action } });
    let body = json!({ "type": "threads.custom_action", "params": params });
    let response = server.post("ada", &body).await;
    assert_eq!(response.status(), StatusCode::OK);
    events(&text(response).await)
}

/// What the tool said, as the model was told.
fn told(server: &Server) -> String {
    let input = server.last_input();
    let output = input.lines().rev().find_map(|it| it.strip_prefix("output "));
    serde_json::from_str(output.unwrap_or_else(|| panic!("{input}"))).unwrap()
}

/// The questions of an item, each with its options or its description.
fn questions(item: &Value) -> String {
    let one = |it: &Value| {
        let options = it["options"].as_array().map(|it| {
            let values: Vec<_> = it.iter().map(|it| it["value"].as_str().unwrap()).collect();
            format!("[{}]", values.join("|"))
        });
        let description = it["description"].as_str().map(str::to_owned);
        let more = options.or(description).unwrap_or_default();
        let many = if it["multiple"] == true { "many " } else { "" };
        format!(
            "{}: {} {many}{more}",
            it["id"].as_str().unwrap(),
            it["question"].as_str().unwrap().replace('\n', "/")
        )
    };
    item["inputs"].as_array().unwrap().iter().map(one).collect::<Vec<_>>().join("\n")
}

/// What is the same in both eras.
fn only(shown: BTreeSet<String>) -> String {
    assert_eq!(shown.len(), 1, "{shown:?}");
    shown.into_iter().next().unwrap()
}

//! Credentials on their way to MCP servers, with a model that does whatever an attacker wants.

mod attacks;
mod exchange;
mod http;
mod leaks;
mod text;
mod turns;

use axum::response::Response;
use serde_json::{Value, json};

use crate::{
    model::{InputContent, InputItem, ScriptedResponse, ScriptedStep},
    tests::{
        harness::{Server, chatkit_request, events, input, text},
        mcp::fake::{self, Fake, Seen},
    },
};

/// What a model that follows the prompt passes as `access_token`.
const HANDLE: &str = "<<find kfh_[0-9a-f]+>>";

const CONFIG: &str = r#"
[mcp]
cross_server = "allow"
[credentials.notes_token]
source = "request"
header = "X-Access-Token"
destinations = ["notes"]
"#;

const PROMPT: &str = "---
titles: false
---
When calling any tool, include user_id {{ user.id }}
{%- if credential.notes_token %} and access_token {{ credential.notes_token }}{% endif %}.
";

const RULES: &str = r#"
approval = "never"
[[arguments]]
name = "user_id"
value = "{{ user.id }}"
[[arguments]]
name = "access_token"
credential = "notes_token"
mode = "sealed"
"#;

/// A chat with a server `notes` that takes the token sealed, a server `other` that takes none, and a plugin.
struct Scene {
    server: Server,
    notes: Fake,
    other: Fake,
}

impl Scene {
    async fn start() -> Self {
        Self::start_with(RULES, "sqlite::memory:").await
    }

    async fn start_with(rules: &str, store: &str) -> Self {
        Self::start_on(rules, &[], store).await
    }

    async fn start_on(rules: &str, files: &[(&str, &str)], store: &str) -> Self {
        let notes = Fake::with_tools(json!([own("add_note"), own("leak")]), leak).await;
        let other = Fake::echo().await;
        let notes_file = format!("transport = \"http\"\nurl = \"{}\"\n{rules}", notes.url);
        let other_file =
            format!("transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\n", other.url);
        let mut all = vec![
            ("kitfox.toml", CONFIG),
            ("prompts/assistant.md", PROMPT),
            ("plugins/notes.mcp.toml", notes_file.as_str()),
            ("plugins/other.mcp.toml", other_file.as_str()),
        ];
        all.retain(|(path, _)| !files.iter().any(|(it, _)| it == path));
        all.extend(files);
        let server = Server::start_on(&all, store).await;
        assert_eq!(server.errors(), "");
        Self { server, notes, other }
    }

    /// A turn of Ada's in a new thread, in which the model answers so; her events.
    async fn turn(&self, responses: &[ScriptedResponse]) -> Vec<Value> {
        self.turn_of("ada", "tok-ada-SECRET-1", None, responses).await
    }

    async fn turn_of(
        &self,
        user: &str,
        token: &str,
        thread: Option<&str>,
        responses: &[ScriptedResponse],
    ) -> Vec<Value> {
        for response in responses {
            self.server.model.push(response.clone());
        }
        let params = json!({ "thread_id": thread, "input": input("go") });
        let operation =
            if thread.is_some() { "threads.add_user_message" } else { "threads.create" };
        self.post(user, token, &json!({ "type": operation, "params": params })).await
    }

    async fn post(&self, user: &str, token: &str, body: &Value) -> Vec<Value> {
        let mut request = chatkit_request(user, body);
        if !token.is_empty() {
            request.headers_mut().insert("x-access-token", token.parse().unwrap());
        }
        events(&text(self.server.send(request).await).await)
    }

    /// The arguments of the calls that reached a server.
    fn calls(fake: &Fake) -> Vec<Value> {
        let seen = fake.seen.lock().unwrap();
        let calls = seen.iter().filter(|it| it.body["method"] == "tools/call");
        calls.map(|it| it.body["params"]["arguments"].clone()).collect()
    }

    /// What the model was told of the last call.
    fn last_output(&self) -> String {
        let requests = self.server.model.requests();
        let outputs = requests.last().unwrap().input.iter().rev().find_map(|item| match item {
            InputItem::FunctionCallOutput { output, .. } => Some(output.clone()),
            InputItem::Message { .. } | InputItem::FunctionCall { .. } | InputItem::Raw(_) => None,
        });
        match outputs.unwrap().first() {
            Some(InputContent::Text(text)) => text.clone(),
            Some(InputContent::Image { .. } | InputContent::File { .. }) | None => String::new(),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "calls read better with `json!` as it is")]
fn call(tool: &str, arguments: Value) -> ScriptedResponse {
    ScriptedResponse::steps([ScriptedStep::call(tool, &arguments)])
}

fn done() -> ScriptedResponse {
    ScriptedResponse::text("done")
}

fn thread_of(events: &[Value]) -> String {
    events[0]["thread"]["id"].as_str().unwrap().to_owned()
}

/// A tool that wants the user's id and token.
fn own(name: &str) -> Value {
    json!({ "name": name, "description": format!("The tool {name}."), "inputSchema": {
        "type": "object",
        "properties": {
            "text": {}, "user_id": { "type": "string" }, "access_token": { "type": "string" },
        },
        "required": ["user_id", "access_token"],
    } })
}

/// Says the token back in many ways.
async fn leak(seen: Seen) -> Response {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let token = seen.body["params"]["arguments"]["access_token"].as_str().unwrap_or_default();
    let hex = token.bytes().map(|it| format!("{it:02x}")).collect::<Vec<_>>().concat();
    let percent = token.bytes().map(|it| format!("%{it:02X}")).collect::<Vec<_>>().concat();
    let said = match seen.body["params"]["name"].as_str() {
        Some("leak") => format!(
            "plain {token} base64 {} {} hex {hex} percent {percent} dashes {}",
            STANDARD.encode(token),
            STANDARD.encode(format!("user:{token}")),
            token.replace('-', "%2D"),
        ),
        _ => "noted".to_owned(),
    };
    let is_error = seen.body["params"]["arguments"]["text"] == "fail";
    let content = json!([{ "type": "text", "text": said }]);
    fake::result(
        &seen.body,
        json!({ "content": content, "structuredContent": { "said": said }, "isError": is_error }),
    )
}

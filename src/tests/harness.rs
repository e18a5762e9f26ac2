//! A whole server in a test: the real router over SQLite in memory (or over the server that `KITFOX_TEST_STORE` asks for), a
//! scripted model and a project in a temporary folder.

use std::{fmt::Write, path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Response, StatusCode},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{
    app::{App, Options},
    config::Environment,
    model::{
        InputContent, InputItem, Models, Role, Scripted, ScriptedFailure, ScriptedResponse,
        ScriptedStep,
    },
    server,
    store::tests::databases::TestDatabase,
};

/// A prompt that names no thread, so that tests script nothing but answers.
const PROMPT: &str = "---\ntitles: false\n---\nYou are a test.\n";

/// A server, and what a test needs to look into it.
pub struct Server {
    pub app: App,
    pub model: Scripted,
    pub router: Router,
    pub folder: TempDir,
    /// Last, so that it goes when nobody uses it any more.
    _database: Option<TestDatabase>,
}

impl Server {
    /// A server for a project of these files (path, text).
    pub async fn start(files: &[(&str, &str)]) -> Self {
        Self::start_with(files, &[]).await
    }

    /// The same, with variables of the environment.
    pub async fn start_with(files: &[(&str, &str)], environment: &[(&str, &str)]) -> Self {
        Self::begin(files, environment, "sqlite::memory:", false).await
    }

    /// The same, over a store that may hold something already.
    pub async fn start_with_on(
        files: &[(&str, &str)],
        environment: &[(&str, &str)],
        store: &str,
    ) -> Self {
        Self::begin(files, environment, store, false).await
    }

    /// The same, over a store that may hold something already.
    pub async fn start_on(files: &[(&str, &str)], store: &str) -> Self {
        Self::begin(files, &[], store, false).await
    }

    /// The same, which notices changes of files by itself.
    pub async fn start_watching(files: &[(&str, &str)]) -> Self {
        Self::begin(files, &[], "sqlite::memory:", true).await
    }

    async fn begin(
        files: &[(&str, &str)],
        environment: &[(&str, &str)],
        store: &str,
        watch: bool,
    ) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "prompts/assistant.md", PROMPT);
        for (path, text) in files {
            write(folder.path(), path, text);
        }
        let model = Scripted::new(Vec::new());
        let environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut environment = Environment(environment.collect());
        environment.0.entry("KITFOX_AUTH__MODE".to_owned()).or_insert_with(|| "header".to_owned());
        let database =
            if store == "sqlite::memory:" { TestDatabase::asked_for().await } else { None };
        let store = database.as_ref().map_or_else(|| store.to_owned(), TestDatabase::url);
        let mut models = Models::with_provider("default", Arc::new(model.clone()));
        // The script answers for all models that the project names.
        let config = files.iter().find(|(path, _)| *path == "kitfox.toml").map_or("", |it| it.1);
        for line in config.lines() {
            let key = line.trim().strip_prefix("[models.").and_then(|it| it.strip_suffix(']'));
            if let Some(key) = key {
                models = models.and_provider(key, Arc::new(model.clone()));
            }
        }
        let app = App::start(Options {
            project: folder.path().to_owned(),
            environment,
            models: Some(Arc::new(models)),
            store: Some(store),
            watch,
        })
        .await
        .unwrap_or_else(|errors| panic!("{errors:?}"));
        let router = server::router(app.clone());
        Self { app, model, router, folder, _database: database }
    }

    /// Writes a file of the project and puts it in force, as the watcher would.
    pub async fn save(&self, path: &str, text: &str) {
        write(self.folder.path(), path, text);
        self.app.reload().await;
    }

    pub async fn remove(&self, path: &str) {
        std::fs::remove_file(self.folder.path().join(path)).unwrap();
        self.app.reload().await;
    }

    /// What is not in force and why, one line each.
    pub fn errors(&self) -> String {
        let errors = &self.app.generation().errors;
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    pub async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// `POST /chatkit` as this user.
    pub async fn post(&self, user: &str, body: &Value) -> Response<Body> {
        self.send(chatkit_request(user, body)).await
    }

    /// An operation's status and JSON answer.
    pub async fn call(&self, user: &str, operation: &str, params: Value) -> (StatusCode, Value) {
        let response = self.post(user, &json!({ "type": operation, "params": params })).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// The events of a streaming operation, to its end.
    pub async fn stream(&self, user: &str, operation: &str, params: Value) -> Vec<Value> {
        let response = self.post(user, &json!({ "type": operation, "params": params })).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert_eq!(status, StatusCode::OK, "{text}");
        events(&text)
    }

    /// A new thread that begins with `text`: its id and events.
    pub async fn create(&self, user: &str, text: &str) -> (String, Vec<Value>) {
        let events = self.stream(user, "threads.create", json!({ "input": input(text) })).await;
        let thread = events[0]["thread"]["id"].as_str().unwrap().to_owned();
        (thread, events)
    }

    pub async fn say(&self, user: &str, thread: &str, text: &str) -> Vec<Value> {
        let params = json!({ "thread_id": thread, "input": input(text) });
        self.stream(user, "threads.add_user_message", params).await
    }

    /// The thread's items as a client lists them, oldest first, one line each.
    pub async fn items(&self, user: &str, thread: &str) -> String {
        let params = json!({ "thread_id": thread, "order": "asc", "limit": 100 });
        let (status, page) = self.call(user, "items.list", params).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let items = page["data"].as_array().unwrap();
        items.iter().map(item_line).collect::<Vec<_>>().join("\n")
    }

    /// What the model was asked last, one line for each item of its input.
    pub fn last_input(&self) -> String {
        let requests = self.model.requests();
        let request = requests.last().expect("the model was asked");
        request.input.iter().map(input_line).collect::<Vec<_>>().join("\n")
    }
}

/// Runs a conversation on a project with these files and renders what the client sees.
///
/// Each line of `script` that begins with `user`, `retry`, `output JSON`, `answer JSON` or `as NAME` acts; the lines that follow it
/// are the model's responses: `text a|b`, `call TOOL {json}`, `calls TOOL {json} TOOL {json}`,
/// `think a|b`, `fail overloaded`.
pub async fn check(files: &[(&str, &str)], script: &str) -> String {
    let server = Server::start(files).await;
    converse(&server, script).await
}

/// As [`check`], on a server that is there.
pub async fn converse(server: &Server, script: &str) -> String {
    let lines: Vec<&str> = script.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    let mut out = String::new();
    let mut user = "ada".to_owned();
    let mut thread: Option<String> = None;
    let mut last_message: Option<String> = None;
    let mut last_questions: Option<String> = None;
    let mut index = 0;
    while index < lines.len() {
        let (verb, rest) = lines[index].split_once(' ').unwrap_or((lines[index], ""));
        index += 1;
        while let Some(response) = lines.get(index).and_then(|line| parse_response(line)) {
            server.model.push(response);
            index += 1;
        }
        let events = match (verb, &thread) {
            ("as", _) => {
                rest.clone_into(&mut user);
                continue;
            }
            ("user", None) => server.create(&user, rest).await.1,
            ("user", Some(thread)) => server.say(&user, thread, rest).await,
            ("retry", Some(thread)) => {
                let params = json!({ "thread_id": thread, "item_id": last_message });
                server.stream(&user, "threads.retry_after_item", params).await
            }
            ("output", Some(thread)) => {
                let result: Value = serde_json::from_str(rest).unwrap();
                let params = json!({ "thread_id": thread, "result": result });
                server.stream(&user, "threads.add_client_tool_output", params).await
            }
            ("answer", Some(thread)) => {
                let input: Value = serde_json::from_str(rest).unwrap();
                let params =
                    json!({ "thread_id": thread, "item_id": last_questions, "input": input });
                server.stream(&user, "threads.add_structured_input", params).await
            }
            _ => panic!("`{verb}` is no line of a script"),
        };
        for event in &events {
            if event["type"] == "thread.created" {
                thread = event["thread"]["id"].as_str().map(str::to_owned);
            }
            if event["item"]["type"] == "user_message" {
                last_message = event["item"]["id"].as_str().map(str::to_owned);
            }
            if event["item"]["type"] == "structured_input" {
                last_questions = event["item"]["id"].as_str().map(str::to_owned);
            }
            writeln!(out, "{}", event_line(event)).unwrap();
        }
    }
    assert_eq!(server.model.remaining(), 0, "responses that nobody asked for:\n{out}");
    out.trim_end().to_owned()
}

fn parse_response(line: &str) -> Option<ScriptedResponse> {
    let (verb, rest) = line.split_once(' ')?;
    Some(match verb {
        "text" => ScriptedResponse::text(rest),
        "call" => {
            let (tool, arguments) = rest.split_once(' ').unwrap_or((rest, "{}"));
            ScriptedResponse::call(tool, serde_json::from_str(arguments).unwrap())
        }
        "calls" => {
            let mut steps = Vec::new();
            for call in rest.split(" & ") {
                let (tool, arguments) = call.split_once(' ').unwrap_or((call, "{}"));
                steps.push(ScriptedStep::call(tool, &serde_json::from_str(arguments).unwrap()));
            }
            ScriptedResponse::steps(steps)
        }
        "json" => serde_json::from_str(rest).unwrap(),
        "fail" => ScriptedResponse::fail(match rest {
            "overloaded" => ScriptedFailure::Overloaded,
            "overflow" => ScriptedFailure::Overflow,
            "unconfigured" => ScriptedFailure::Unconfigured,
            _ => ScriptedFailure::Failed,
        }),
        _ => return None,
    })
}

pub fn input(text: &str) -> Value {
    json!({
        "content": [{ "type": "input_text", "text": text }],
        "attachments": [],
        "inference_options": {},
    })
}

pub fn chatkit_request(user: &str, body: &Value) -> Request<Body> {
    Request::post("/chatkit")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("x-user-id", user)
        .body(Body::from(body.to_string()))
        .unwrap()
}

pub fn get_request(user: &str, path: &str) -> Request<Body> {
    Request::get(path)
        .header("host", "localhost")
        .header("x-user-id", user)
        .body(Body::empty())
        .unwrap()
}

pub async fn text(response: Response<Body>) -> String {
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

pub async fn json_body(response: Response<Body>) -> Value {
    serde_json::from_str(&text(response).await).unwrap()
}

pub fn events(text: &str) -> Vec<Value> {
    text.split("\n\n")
        .filter_map(|frame| frame.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// One event in one line: what it is and what a reader would look for in it.
pub fn event_line(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap();
    let kind = kind.trim_start_matches("thread.");
    let detail = match kind {
        "item.added" | "item.done" | "item.replaced" => item_line(&event["item"]),
        "item.updated" => {
            let update = &event["update"];
            let what = update["type"].as_str().unwrap().rsplit('.').next().unwrap();
            match what {
                "text_delta" => format!("{:?}", update["delta"].as_str().unwrap()),
                "added" if !update["task"].is_null() => format!("task added {}", update["task"]),
                "updated" if !update["task"].is_null() => {
                    format!("task updated {}", update["task"])
                }
                "added" => "content part".to_owned(),
                "value_delta" => format!("{} {}", update["component_id"], update["delta"]),
                "updated" if !update["widget"].is_null() => format!("widget {}", update["widget"]),
                "done" => format!("part done {:?}", update["content"]["text"].as_str().unwrap()),
                other => format!("{other} {}", update["annotation"]),
            }
        }
        "updated" => format!(
            "title={} status={}",
            event["thread"]["title"], event["thread"]["status"]["type"]
        ),
        "created" | "item.removed" => String::new(),
        _ => {
            let mut rest = event.as_object().unwrap().clone();
            rest.shift_remove("type");
            Value::Object(rest).to_string()
        }
    };
    format!("{kind} {detail}").trim_end().to_owned()
}

fn item_line(item: &Value) -> String {
    let kind = item["type"].as_str().unwrap();
    match kind {
        "user_message" | "assistant_message" => {
            let parts = item["content"].as_array().unwrap();
            let text: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            if parts.is_empty() { kind.to_owned() } else { format!("{kind} {text:?}") }
        }
        "task" => format!("task {}", item["task"]["title"]),
        "widget" => match &item["copy_text"] {
            Value::Null => format!("widget {}", item["widget"]),
            text => format!("widget {} copy_text={text}", item["widget"]),
        },
        "workflow" => {
            format!("workflow of {} tasks", item["workflow"]["tasks"].as_array().unwrap().len())
        }
        "client_tool_call" => format!(
            "client_tool_call {} {} {}",
            item["status"].as_str().unwrap(),
            item["name"].as_str().unwrap(),
            item["arguments"],
        ),
        "structured_input" => {
            let questions = item["inputs"].as_array().unwrap().iter().map(|it| {
                let values = &it["answer"]["values"];
                format!(" {}={values}", it["id"].as_str().unwrap())
            });
            let status = item["status"].as_str().unwrap();
            format!("structured_input {status}{}", questions.collect::<String>())
        }
        other => other.to_owned(),
    }
}

fn input_line(item: &InputItem) -> String {
    let content = |parts: &[InputContent]| -> String {
        parts
            .iter()
            .map(|part| match part {
                InputContent::Text(text) => text.clone(),
                InputContent::Image { .. } => "[image]".to_owned(),
                InputContent::File { filename, .. } => format!("[file {filename}]"),
            })
            .collect::<Vec<_>>()
            .join(" + ")
    };
    match item {
        InputItem::Message { role: Role::User, content: parts } => {
            format!("user {:?}", content(parts))
        }
        InputItem::Message { role: Role::Assistant, content: parts } => {
            format!("assistant {:?}", content(parts))
        }
        InputItem::FunctionCall { name, arguments, .. } => format!("call {name} {arguments}"),
        InputItem::FunctionCallOutput { output, .. } => format!("output {:?}", content(output)),
        InputItem::Raw(raw) => format!("raw {raw}"),
    }
}

/// Writes a file of a project, and the folders that it is in.
pub fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

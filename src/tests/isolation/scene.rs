use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{Request, Response, StatusCode, request},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    model::{ScriptedResponse, ScriptedStep},
    tests::{
        auth::{browser::Browser, issuer::Issuer},
        harness::{Server, events, input, text},
    },
};

/// What is Ada's alone holds this.
pub const SECRET: &str = "SECRET-of-ada";

pub const MODES: [&str; 5] = ["header", "session", "token", "jwt", "oidc"];

/// Those who come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Person {
    /// Whose everything is.
    Ada,
    /// Of her organisation, and an operator, where the login says such things.
    Bob,
    /// Of another organisation.
    Eve,
    /// Who shows nothing.
    Nobody,
}

pub const STRANGERS: [Person; 3] = [Person::Bob, Person::Eve, Person::Nobody];

impl Person {
    const fn name(self) -> &'static str {
        match self {
            Self::Ada => "ada",
            Self::Bob => "bob",
            Self::Eve => "eve",
            Self::Nobody => "",
        }
    }

    fn claims(self) -> Value {
        let (org, roles) = match self {
            Self::Ada => ("cats", json!([])),
            Self::Bob => ("cats", json!(["operator"])),
            Self::Eve | Self::Nobody => ("dogs", json!([])),
        };
        json!({ "sub": self.name(), "org": org, "roles": roles })
    }
}

/// A server whose users log in so, and Ada's things.
pub struct Scene {
    pub server: Server,
    pub mode: &'static str,
    issuer: Issuer,
    browsers: BTreeMap<Person, Browser>,
}

/// The ids of somebody's things.
#[derive(Debug, Clone)]
pub struct Things {
    /// One with a message, its attachment, and a widget.
    pub thread: String,
    pub message: String,
    pub widget: String,
    /// One that waits for answers.
    pub asking_thread: String,
    pub questions: String,
    /// One that waits for the page.
    pub calling_thread: String,
    /// One that waits for an approval.
    pub approving_thread: String,
    pub card: String,
    pub attachment: String,
    pub content_url: String,
    /// One that is not uploaded yet.
    pub unfinished: String,
    pub upload_url: String,
}

const PLUGIN: &str = r#"
    tool(#{ name: "show", description: "Shows.", run: |args, ctx| {
        ctx.widget(#{ type: "Card", title: "SECRET-of-ada" }, #{ copy_text: "x" }); ()
    } });
    action("press", |action, ctx| { ctx.say("pressed"); });
    sync_action("press", |action, ctx| { ctx.replace(action.sender, #{ type: "Card", title: "pressed" }); });
    tool(#{ name: "question", description: "Asks.", run: |args, ctx| { ctx.ask([#{ id: "q", question: "SECRET-of-ada?" }]); } });
    client_tool(#{ name: "look", description: "Looks at the page." });
    tool(#{ name: "delete", description: "Deletes.", approval: "always", run: |args, ctx| "gone" });
    tool(#{ name: "recall", description: "Recalls.", mcp: true, run: |args, ctx| [ctx.kv.user.get("k")] });
    route("POST", "/keep", |request, ctx| { ctx.kv.user.set("k", request.body); ctx.kv.all.set("k", request.body); "kept" });
    route("GET", "/kept", |request, ctx| [ctx.kv.user.get("k")]);
    route("GET", "/own", |request, ctx| [ctx.kv.user.get("k")]);
    route("GET", "/all", |request, ctx| [ctx.kv.all.get("k")]);
    route("GET", "/thread/{thread_id}", |request, ctx| [ctx.thread.title, ctx.kv.thread.get("k")]);
    route("POST", "/thread/{thread_id}", |request, ctx| { ctx.thread.title = "taken"; ctx.hidden("hi"); ctx.respond(); "ok" });
    route("GET", "/thread", |request, ctx| [ctx.thread.title]);
"#;

impl Scene {
    pub async fn start(mode: &'static str) -> Self {
        Self::start_with(mode, "", &[]).await
    }

    pub async fn start_with(mode: &'static str, config: &str, files: &[(&str, &str)]) -> Self {
        let issuer = Issuer::start().await;
        let login = match mode {
            "token" => [Person::Ada, Person::Bob, Person::Eve].map(token_config).concat(),
            "jwt" => issuer.config(),
            "oidc" => issuer.login_config(),
            _ => String::new(),
        };
        let config = format!(
            "[credentials.pin]\nsource = \"store\"\ndestinations = [\"notes\"]\n[routes]\n\"/kept\" = \"mine\"\n{config}\n{login}"
        );
        let mut all = vec![("kitfox.toml", config.as_str()), ("plugins/mine.rhai", PLUGIN)];
        all.extend(files);
        let server = Server::start_with(&all, &[("KITFOX_AUTH__MODE", mode)]).await;
        assert_eq!(server.errors(), "");
        let mut browsers = BTreeMap::new();
        if mode == "oidc" {
            for person in [Person::Ada, Person::Bob, Person::Eve] {
                let browser = Browser::signed_in(&server, &issuer, &person.claims()).await;
                browsers.insert(person, browser);
            }
        }
        Self { server, mode, issuer, browsers }
    }

    /// Whether logins say who is of which organisation and has which role.
    pub fn has_organisations(&self) -> bool {
        !["header", "session"].contains(&self.mode)
    }

    /// A request with what the person logs in by.
    pub fn request(&self, person: Person, method: &str, path: &str) -> request::Builder {
        let request = Request::builder().method(method).uri(path).header("host", "localhost:8000");
        let name = person.name();
        if person == Person::Nobody {
            return request;
        }
        match self.mode {
            "header" => request.header("x-user-id", name),
            "session" => request.header("x-session-id", format!("{name}-0123456789abcdef")),
            "token" => request.header("authorization", format!("Bearer token-of-{name}")),
            "jwt" => {
                let token = self.issuer.token(person.claims());
                request.header("authorization", format!("Bearer {token}"))
            }
            _ => {
                let (name, value) = self.browsers[&person].cookies.first_key_value().unwrap();
                request.header("cookie", format!("{name}={value}"))
            }
        }
    }

    pub async fn send(
        &self,
        person: Person,
        method: &str,
        path: &str,
        body: &str,
    ) -> Response<Body> {
        let request = self.request(person, method, path).header("content-type", "application/json");
        let request = request.header("accept", "application/json, text/event-stream");
        self.server.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// The status and the text of an answer, without what differs from request to request.
    pub async fn answer(
        &self,
        person: Person,
        method: &str,
        path: &str,
        body: &str,
    ) -> (StatusCode, String) {
        let response = self.send(person, method, path, body).await;
        let status = response.status();
        let text = text(response).await;
        match serde_json::from_str::<Value>(&text) {
            Ok(Value::Object(mut body)) => {
                body.remove("request_id");
                (status, Value::Object(body).to_string())
            }
            Ok(_) | Err(_) => (status, text),
        }
    }

    pub async fn call(
        &self,
        person: Person,
        operation: &str,
        params: &Value,
    ) -> (StatusCode, String) {
        let body = json!({ "type": operation, "params": params }).to_string();
        self.answer(person, "POST", "/chatkit", &body).await
    }

    async fn json(&self, person: Person, operation: &str, params: Value) -> Value {
        let (status, body) = self.call(person, operation, &params).await;
        assert_eq!(status, StatusCode::OK, "{operation}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// A new thread of this message: its id, and the events.
    pub async fn create(
        &self,
        person: Person,
        message: &str,
        attachments: &[&str],
    ) -> (String, Vec<Value>) {
        let mut input = input(message);
        input["attachments"] = json!(attachments);
        let params = json!({ "input": input });
        let (status, body) = self.call(person, "threads.create", &params).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        let events = events(&body);
        (events[0]["thread"]["id"].as_str().unwrap().to_owned(), events)
    }

    /// Everything that a person can have.
    pub async fn furnish(&self, person: Person) -> Things {
        let attachment = self.upload(person).await;
        let id = attachment["id"].as_str().unwrap();
        let model = &self.server.model;
        let call = |tool: &str| ScriptedResponse::steps(vec![ScriptedStep::call(tool, &json!({}))]);
        model.push(call("show"));
        model.push(ScriptedResponse::text(SECRET));
        let (thread, shown) = self.create(person, SECRET, &[id]).await;
        model.push(call("question"));
        let (asking_thread, asked) = self.create(person, SECRET, &[]).await;
        model.push(call("look"));
        let (calling_thread, _) = self.create(person, SECRET, &[]).await;
        model.push(call("delete"));
        let (approving_thread, approving) = self.create(person, SECRET, &[]).await;
        assert_eq!(model.remaining(), 0);
        let unfinished = self.begin_upload(person).await;
        let (status, _) = self.answer(person, "POST", "/x/mine/keep", SECRET).await;
        assert_eq!(status, StatusCode::OK);
        let pin = json!({ "value": SECRET }).to_string();
        let (status, body) = self.answer(person, "PUT", "/api/credentials/pin", &pin).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
        let message = find(&shown, "user_message");
        Things {
            content_url: path_of(&message["attachments"][0]["preview_url"]),
            message: id_of(&message),
            widget: id_of(&find(&shown, "widget")),
            questions: id_of(&find(&asked, "structured_input")),
            card: id_of(&find(&approving, "widget")),
            attachment: id.to_owned(),
            upload_url: path_of(&unfinished["upload_descriptor"]["url"]),
            unfinished: id_of(&unfinished),
            thread,
            asking_thread,
            calling_thread,
            approving_thread,
        }
    }

    async fn begin_upload(&self, person: Person) -> Value {
        let size = PNG.len();
        let params =
            json!({ "name": format!("{SECRET}.png"), "size": size, "mime_type": "image/png" });
        self.json(person, "attachments.create", params).await
    }

    async fn upload(&self, person: Person) -> Value {
        let attachment = self.begin_upload(person).await;
        let url = path_of(&attachment["upload_descriptor"]["url"]);
        let request = Request::put(url).header("host", "localhost").body(Body::from(PNG));
        let response = self.server.send(request.unwrap()).await;
        assert_eq!(response.status(), StatusCode::OK);
        attachment
    }

    /// All that Ada has, as she sees it.
    pub async fn state(&self) -> String {
        let mut state = Vec::new();
        let list = self.json(Person::Ada, "threads.list", json!({ "limit": 100 })).await;
        for thread in list["data"].as_array().unwrap() {
            let params = json!({ "thread_id": thread["id"], "order": "asc", "limit": 100 });
            state.push(thread.clone());
            state.push(self.json(Person::Ada, "items.list", params).await);
        }
        for path in ["/x/mine/own", "/api/credentials"] {
            let (status, body) = self.answer(Person::Ada, "GET", path, "").await;
            assert_eq!(status, StatusCode::OK);
            state.push(Value::String(body));
        }
        for value in &mut state {
            forget_links(value);
        }
        state.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }
}

impl Things {
    /// Those that nobody has.
    pub fn unknown() -> Self {
        let [thread, asking_thread, calling_thread, approving_thread] =
            ["thr_0", "thr_1", "thr_2", "thr_3"].map(str::to_owned);
        let [message, widget, questions, card] =
            ["msg_0", "wig_0", "sti_0", "wig_1"].map(str::to_owned);
        let [attachment, unfinished] = ["atc_0", "atc_1"].map(str::to_owned);
        let url =
            |id: &str, end: &str| format!("/chatkit/attachments/{id}/{end}?expires=1&signature=00");
        Self {
            content_url: url(&attachment, "content"),
            upload_url: url(&unfinished, "upload"),
            thread,
            message,
            widget,
            asking_thread,
            questions,
            calling_thread,
            approving_thread,
            card,
            attachment,
            unfinished,
        }
    }
}

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

fn token_config(person: Person) -> String {
    let claims = person.claims();
    let name = person.name();
    let hash = Sha256::digest(format!("token-of-{name}"));
    format!(
        "[auth.tokens.{name}]\nhash = \"sha256:{hash:x}\"\norg = {}\nroles = {}\n",
        claims["org"], claims["roles"]
    )
}

/// The finished item of this kind.
fn find(events: &[Value], kind: &str) -> Value {
    let mut items =
        events.iter().filter(|it| it["type"] == "thread.item.done").map(|it| &it["item"]);
    items.find(|it| it["type"] == kind).unwrap_or_else(|| panic!("no {kind}: {events:?}")).clone()
}

fn id_of(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

fn path_of(url: &Value) -> String {
    let url = url::Url::parse(url.as_str().unwrap()).unwrap();
    format!("{}?{}", url.path(), url.query().unwrap())
}

/// Links are signed anew each time.
fn forget_links(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("signature=") => text.clear(),
        Value::Array(values) => values.iter_mut().for_each(forget_links),
        Value::Object(map) => map.values_mut().for_each(forget_links),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => (),
    }
}

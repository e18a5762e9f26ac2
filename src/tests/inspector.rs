//! What an inspector is told of turns, and who may look.

use std::fmt::Write;

use axum::{
    body::{Body, BodyDataStream},
    http::{Request, StatusCode},
};
use futures::StreamExt;
use insta::assert_snapshot;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    model::ScriptedResponse,
    tests::harness::{Server, get_request, input, text},
    user::UserKey,
};

const HELLO: &str = r#"
tool(#{
    name: "hello",
    description: "Greets somebody.",
    parameters: #{ who: #{ type: "string" } },
    run: |args, ctx| if args.who == "Eve" { throw "I do not greet Eve" } else { `Hello, ${args.who}!` },
});
"#;

/// The frames of an event stream, as they come.
struct Frames {
    body: BodyDataStream,
    rest: String,
}

impl Frames {
    async fn of(server: &Server, user: &str) -> Self {
        let response = server.send(get_request(user, "/api/events")).await;
        assert_eq!(response.status(), StatusCode::OK);
        Self { body: response.into_body().into_data_stream(), rest: String::new() }
    }

    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((frame, rest)) = self.rest.split_once("\n\n") {
                let (name, data) = frame.split_once('\n').unwrap();
                let name = name.strip_prefix("event: ").unwrap().to_owned();
                let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
                self.rest = rest.to_owned();
                return (name, data);
            }
            let chunk = self.body.next().await.expect("the stream goes on").unwrap();
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next frames, one line each, without times and ids.
    async fn lines(&mut self, count: usize) -> String {
        let mut lines = String::new();
        for _ in 0..count {
            let (name, data) = self.next().await;
            writeln!(lines, "{}", line(&name, &data)).unwrap();
        }
        lines
    }
}

fn line(name: &str, data: &Value) -> String {
    match name {
        "turn" => {
            let steps = data["steps"].as_array().map_or(0, Vec::len);
            format!(
                "turn {} of {} {} error={} steps={steps}",
                data["cause"], data["agent"], data["state"], data["error"]
            )
        }
        "model" => format!(
            "model {} failed={} calls={} tools={} items={} instructions={} error={}",
            data["step"],
            data["failed"],
            data["calls"],
            data["tools"],
            data["input_items"],
            data["instructions"],
            data["error"]
        ),
        "tool" => format!(
            "tool {} failed={} {} {} {}",
            data["step"], data["failed"], data["tool"], data["arguments"], data["output"]
        ),
        other => other.to_owned(),
    }
}

#[tokio::test]
async fn each_call_of_a_turn_is_told_as_it_ends() {
    let server = Server::start(&[("plugins/hello.rhai", HELLO)]).await;
    let mut frames = Frames::of(&server, "ada").await;
    assert_eq!(frames.lines(1).await, "generation\n");
    server.model.push(ScriptedResponse::call("hello", json!({ "who": "Bob" })));
    server.model.push(ScriptedResponse::call("hello", json!({ "who": "Eve" })));
    server.model.push(ScriptedResponse::text("done"));
    server.create("ada", "greet them").await;
    assert_snapshot!(frames.lines(7).await, @r#"
    turn "message" of "assistant" "running" error=null steps=0
    model 0 failed=false calls=1 tools=1 items=1 instructions="You are a test." error=null
    tool 1 failed=false "hello" "{\"who\":\"Bob\"}" "Hello, Bob!"
    model 2 failed=false calls=1 tools=1 items=3 instructions=null error=null
    tool 3 failed=true "hello" "{\"who\":\"Eve\"}" "I do not greet Eve"
    model 4 failed=false calls=0 tools=1 items=5 instructions=null error=null
    turn "message" of "assistant" "done" error=null steps=0
    "#);
}

#[tokio::test]
async fn whoever_comes_later_is_told_of_the_turns_before() {
    let server = Server::start(&[("plugins/hello.rhai", HELLO)]).await;
    server.model.push(ScriptedResponse::call("hello", json!({ "who": "Bob" })));
    server.model.push(ScriptedResponse::text("done"));
    let (thread, _) = server.create("ada", "greet Bob").await;
    server.model.push(ScriptedResponse::fail(crate::model::ScriptedFailure::Failed));
    server.say("ada", &thread, "again").await;
    let lines = Frames::of(&server, "ada").await.lines(3).await;
    assert_snapshot!(lines, @r#"
    generation
    turn "message" of "assistant" "done" error=null steps=3
    turn "message" of "assistant" "failed" error="the model failed: as the script says" steps=1
    "#);
}

#[tokio::test]
async fn nobody_is_told_of_the_turns_of_others() {
    let server = Server::start(&[("plugins/hello.rhai", HELLO)]).await;
    let mut eve = Frames::of(&server, "eve").await;
    assert_eq!(eve.lines(1).await, "generation\n");
    server.model.push(ScriptedResponse::call("hello", json!({ "who": "the secret of Ada" })));
    server.model.push(ScriptedResponse::text("done"));
    let (thread, _) = server.create("ada", "hi").await;
    // Nor by naming her thread: it is not eve's.
    let say = json!({ "thread_id": thread, "input": input("let me in") });
    let (status, _) = server.call("eve", "threads.add_user_message", say).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    server.model.push(ScriptedResponse::text("hello Eve"));
    server.create("eve", "mine").await;
    // What comes first is her own.
    let lines = eve.lines(3).await;
    assert_snapshot!(lines, @r#"
    turn "message" of "assistant" "running" error=null steps=0
    model 0 failed=false calls=0 tools=1 items=1 instructions="You are a test." error=null
    turn "message" of "assistant" "done" error=null steps=0
    "#);
    let mut again = Frames::of(&server, "eve").await;
    let shown = format!("{}{}", again.next().await.1, again.next().await.1);
    assert!(!shown.contains("the secret of Ada") && !shown.contains(&thread), "{shown}");
}

#[tokio::test]
async fn nothing_is_kept_of_those_who_may_not_look() {
    let hash = |token: &str| {
        let hash = Sha256::digest(token);
        hash.iter().map(|it| format!("{it:02x}")).collect::<Vec<_>>().concat()
    };
    let config = format!(
        "[server]\nlisten = \"0.0.0.0:8000\"\n[auth.tokens.ada]\nhash = \"sha256:{}\"\n\
         [auth.tokens.olga]\nhash = \"sha256:{}\"\nroles = [\"operator\"]\n",
        hash("token-of-ada"),
        hash("token-of-olga")
    );
    let server =
        Server::start_with(&[("kitfox.toml", &config)], &[("KITFOX_AUTH__MODE", "token")]).await;
    let request = |token: &str, path: &str, body: Option<Value>| {
        let request = Request::builder()
            .method(if body.is_some() { "POST" } else { "GET" })
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        request.body(body.map_or_else(Body::empty, |it| Body::from(it.to_string()))).unwrap()
    };
    for token in ["token-of-ada", "token-of-olga"] {
        server.model.push(ScriptedResponse::text("hi"));
        let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
        text(server.send(request(token, "/chatkit", Some(body))).await).await;
    }
    let kept = |user: &str| server.app.timeline.of(&UserKey::new("token", "", user)).len();
    assert_eq!((kept("ada"), kept("olga")), (0, 1));
    let refused = server.send(request("token-of-ada", "/api/events", None)).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let admitted = server.send(request("token-of-olga", "/api/events", None)).await;
    assert_eq!(admitted.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_watcher_who_may_look_no_more_is_told_nothing_more() {
    let server = Server::start(&[]).await;
    let mut frames = Frames::of(&server, "ada").await;
    assert_eq!(frames.lines(1).await, "generation\n");
    let public = "[server]\npublic_url = \"https://chat.example.com\"\n";
    server.save("kitfox.toml", public).await;
    assert!(frames.body.next().await.is_none());
}

#[tokio::test]
async fn a_thread_that_is_deleted_leaves_no_trace() {
    let server = Server::start(&[]).await;
    server.model.push(ScriptedResponse::text("hi"));
    let (thread, _) = server.create("ada", "hi").await;
    let ada = UserKey::new("header", "", "ada");
    assert_eq!(server.app.timeline.of(&ada).len(), 1);
    let (status, _) = server.call("ada", "threads.delete", json!({ "thread_id": thread })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(server.app.timeline.of(&ada).len(), 0);
}

#[tokio::test]
async fn the_generation_says_where_its_files_are_and_who_looks() {
    let server = Server::start(&[("plugins/hello.rhai", HELLO)]).await;
    let shown = text(server.send(get_request("ada", "/api/generation")).await).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["project"]["folder"], json!(server.app.project));
    assert_eq!(
        shown["files"],
        json!(["kitfox.toml", "plugins/hello.rhai", "prompts/assistant.md"])
    );
    assert_eq!(shown["agents"][0]["path"], "prompts/assistant.md");
    assert_eq!(shown["viewer"]["user"], json!({ "id": "ada", "name": null, "roles": [] }));
    assert_eq!(shown["viewer"]["auth"], json!({ "modes": ["header"], "header": "X-User-ID" }));
}

#[tokio::test]
async fn the_page_may_load_the_element_that_the_operator_wants_and_no_more() {
    let server = Server::start(&[]).await;
    let policy = async || {
        let response = server.send(get_request("ada", "/")).await;
        response.headers()["content-security-policy"].to_str().unwrap().to_owned()
    };
    assert!(!policy().await.contains("script-src"));
    server.save("kitfox.toml", "[page]\nelement = \"auto\"\n").await;
    assert!(policy().await.contains("script-src 'self' https://cdn.platform.openai.com;"));
    server.save("kitfox.toml", "[page]\nelement = \"ours\"\n").await;
    assert_snapshot!(server.errors(), @"kitfox.toml:2:11: `page.element` must be one of `builtin`, `official`, `auto`, not `ours`");
}

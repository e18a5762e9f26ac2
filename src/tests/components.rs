//! Components in a project: as scripts, they are there as soon as their file is, and change while conversations go on.

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;

use crate::{
    model::{ScriptedResponse, ScriptedStep},
    tests::{
        guest::{answer, forwarder, plugin},
        harness::{Server, converse, input, text},
    },
};

/// A component with one tool of this name, whose code this is.
fn tool(name: &str, code: &str) -> Vec<u8> {
    let describe = format!(
        r#"{{"tools":[{{"name":"{name}","description":"Test.","parameters":{{"type":"object"}}}}]}}"#
    );
    plugin(&describe, code)
}

fn save(server: &Server, path: &str, bytes: &[u8]) {
    let path = server.folder.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

async fn answer_of(server: &Server, name: &str) -> String {
    server.model.push(ScriptedResponse::call(name, json!({})));
    server.model.push(ScriptedResponse::text("done"));
    server.create("ada", "go").await;
    server.last_input().lines().last().unwrap().to_owned()
}

#[tokio::test]
async fn a_component_speaks_to_the_user_and_answers_the_model() {
    let server = Server::start(&[]).await;
    let describe = r#"{"tools":[{"name":"forward","description":"d","parameters":{"type":"object"}}],
        "hooks":[]}"#;
    save(&server, "plugins/forward.wasm", &forwarder(describe));
    server.app.reload().await;
    assert_eq!(server.errors(), "");
    let script = r#"
        user hi
        call forward {"m":"progress","a":["globe","Looking"]}
        call forward {"m":"thread.set","a":[{"title":"Trip"}]}
        call forward {"m":"widget","a":[{"type":"Card","children":[]}]}
        text done
    "#;
    assert_snapshot!(converse(&server, script).await, @r#"
    created
    item.done user_message "hi"
    stream_options {"stream_options":{"allow_cancel":true}}
    progress_update {"icon":"globe","text":"Looking"}
    updated title="Trip" status="active"
    item.done widget {"type":"Card","children":[]}
    item.added assistant_message
    item.updated content part
    item.updated "done"
    item.updated part done "done"
    item.done assistant_message "done"
    "#);
}

#[tokio::test]
async fn a_component_changes_while_conversations_go_on() {
    let server = Server::start(&[]).await;
    save(&server, "plugins/hello.wasm", &tool("hello", &answer("\"one\"")));
    server.app.reload().await;
    assert_eq!(answer_of(&server, "hello").await, r#"output "one""#);

    server.model.push(ScriptedResponse::steps([
        ScriptedStep::Gate("held".to_owned()),
        ScriptedStep::call("hello", &json!({})),
    ]));
    server.model.push(ScriptedResponse::text("done"));
    let body = json!({ "type": "threads.create", "params": { "input": input("hi") } });
    let running = server.post("ada", &body).await;
    server.model.reached("held").await;
    save(&server, "plugins/hello.wasm", &tool("hello", &answer("\"two\"")));
    server.app.reload().await;
    server.model.open("held");
    text(running).await;
    assert!(server.last_input().ends_with(r#"output "one""#), "{}", server.last_input());
    assert_eq!(answer_of(&server, "hello").await, r#"output "two""#);

    let before = server.app.generation().id.clone();
    save(&server, "plugins/hello.wasm", b"\0asm\x0d\0\x01\0 broken");
    server.app.reload().await;
    assert_eq!(server.app.generation().id, before);
    assert!(
        server.errors().starts_with("plugins/hello.wasm: it is no valid component"),
        "{}",
        server.errors()
    );
    assert_eq!(answer_of(&server, "hello").await, r#"output "two""#);

    server.remove("plugins/hello.wasm").await;
    assert_eq!(answer_of(&server, "hello").await, r#"output "error: there is no tool `hello`""#);
}

#[tokio::test]
async fn a_name_that_a_script_has_is_refused_to_a_component() {
    let script = "tool(#{ name: \"hello\", description: \"d\", run: |args, ctx| \"script\" });";
    let server = Server::start(&[("plugins/a.rhai", script)]).await;
    save(&server, "plugins/b.wasm", &tool("hello", &answer("1")));
    server.app.reload().await;
    assert_snapshot!(server.errors(), @"plugins/b.wasm: the tool `hello` is offered by plugins/a.rhai as well (rename it in one of the two files)");
    assert_eq!(answer_of(&server, "hello").await, r#"output "script""#);
}

/// While it is compiled, everything else is reloaded; then it is in force by itself.
#[tokio::test]
async fn a_component_is_compiled_beside_everything_else() {
    let server = Server::start_watching(&[]).await;
    let mut changes = server.app.changes();
    save(&server, "plugins/slow.wasm", &tool("slow", &answer("\"compiled\"")));
    let wait = async {
        while !server.app.generation().tools.0.contains_key("slow") {
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap();
    assert_eq!(server.errors(), "");
    assert_eq!(answer_of(&server, "slow").await, r#"output "compiled""#);
}

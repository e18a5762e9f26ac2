//! Agents, models, tools and MCP servers that are for some roles only.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use insta::assert_snapshot;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    model::ScriptedResponse,
    tests::{
        harness::{Server, events, input, json_body, text},
        mcp::fake::Fake,
    },
};

const CONFIG: &str = r#"
[auth.tokens.ada]
hash = "sha256:HASH-ada"
roles = ["staff", "operator"]
[auth.tokens.bob]
hash = "sha256:HASH-bob"
roles = ["operator"]
[plugins.narrowed]
allow = ["role:staff"]
[models.default]
provider = "demo"
[models.big]
provider = "demo"
allow = ["role:staff", "role:boss"]
"#;

const TOOLS: &str = r#"
    tool(#{ name: "open", description: "For all.", mcp: true, run: |args, ctx| "opened" });
    tool(#{ name: "payroll", description: "For some.", mcp: true, allow: ["role:staff"], run: |args, ctx| "paid" });
    client_tool(#{ name: "show_payroll", description: "For some.", allow: ["role:staff"] });
    agent_tool(#{ name: "ask_expert", agent: "expert", description: "Asks the expert." });
    agent_tool(#{ name: "ask_boss", agent: "assistant", description: "Asks.", allow: ["role:staff"] });
    plugin(#{ permissions: #{ tools: ["*"] } });
    route("GET", "/pay", |request, ctx| ctx.call_tool("payroll", #{}));
    tool(#{ name: "around", description: "Another way.", run: |args, ctx| ctx.call_tool("payroll", #{}) });
"#;

const NARROWED: &str =
    r#"tool(#{ name: "narrowed", description: "The operator's word.", run: |args, ctx| 1 });"#;

const PACK: &str =
    r#"tool(#{ name: "packed", description: "The pack's word.", run: |args, ctx| 1 });"#;

const EXPERT: &str = "---\nallow: [\"role:staff\"]\ntitles: false\nwhen: { tool_choice: [expert] }\n---\nYou are the expert.\n";

async fn start(mcp: &Fake) -> Server {
    let mut config = CONFIG.to_owned();
    for user in ["ada", "bob"] {
        let hash = format!("{:x}", Sha256::digest(format!("token-of-{user}")));
        config = config.replace(&format!("HASH-{user}"), &hash);
    }
    let vault = format!(
        "transport = \"http\"\nurl = \"{}\"\napproval = \"never\"\nallow = [\"role:staff\"]\n",
        mcp.url
    );
    let files = [
        ("kitfox.toml", config.as_str()),
        ("prompts/expert.md", EXPERT),
        ("plugins/tools.rhai", TOOLS),
        ("plugins/narrowed.rhai", NARROWED),
        ("plugins/pack/plugin.toml", "allow = [\"role:staff\"]\n"),
        ("plugins/pack/pack.rhai", PACK),
        ("plugins/vault.mcp.toml", &vault),
    ];
    let server = Server::start_with(&files, &[("KITFOX_AUTH__MODE", "token")]).await;
    assert_eq!(server.errors(), "");
    server
}

fn request(method: &str, path: &str, user: &str, body: Option<&Value>) -> Request<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("authorization", format!("Bearer token-of-{user}"));
    request.body(body.map_or_else(Body::empty, |it| Body::from(it.to_string()))).unwrap()
}

async fn get(server: &Server, user: &str, path: &str) -> Value {
    json_body(server.send(request("GET", path, user, None)).await).await
}

async fn create(server: &Server, user: &str, input: Value) -> (StatusCode, String) {
    let body = json!({ "type": "threads.create", "params": { "input": input } });
    let response = server.send(request("POST", "/chatkit", user, Some(&body))).await;
    (response.status(), text(response).await)
}

/// The names of what the model was offered last.
fn offered(server: &Server) -> String {
    let requests = server.model.requests();
    let tools = requests.last().unwrap().tools.iter().map(|it| it.name.clone());
    tools.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn what_is_for_other_roles_is_not_there() {
    let mcp = Fake::echo().await;
    let server = start(&mcp).await;
    let mut shown = Vec::new();
    for user in ["ada", "bob"] {
        server.model.push(ScriptedResponse::text("hi"));
        create(&server, user, input("hello")).await;
        let options = get(&server, user, "/chatkit/options").await;
        let ids = |value: &Value| {
            let all = value.as_array().unwrap().iter().map(|it| {
                it["id"].as_str().unwrap_or(it["name"].as_str().unwrap_or_default()).to_owned()
            });
            all.collect::<Vec<_>>().join(" ")
        };
        let generation = get(&server, user, "/api/generation").await;
        let tools = generation["tools"].as_array().unwrap().iter();
        let tools: Vec<_> = tools.map(|it| it["name"].as_str().unwrap()).collect();
        let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
        let response = server.send(request("POST", "/mcp", user, Some(&list))).await;
        let list = json_body(response).await;
        let list = list["result"]["tools"].as_array().unwrap().iter();
        let list: Vec<_> = list.map(|it| it["name"].as_str().unwrap()).collect();
        shown.push(format!(
            "{user}\n  offered: {}\n  agents: {}\n  models: {}\n  api agents: {}\n  api tools: {}\n  mcp servers: {}\n  /mcp: {}",
            offered(&server),
            ids(&options["agents"]),
            ids(&options["models"]),
            ids(&generation["agents"]),
            tools.join(" "),
            generation["mcp"].as_array().unwrap().len(),
            list.join(" "),
        ));
    }
    assert_snapshot!(shown.join("\n"), @"
    ada
      offered: around ask_boss ask_expert narrowed open packed payroll show_payroll vault__echo
      agents: assistant expert
      models: big default
      api agents: assistant expert
      api tools: around ask_boss ask_expert narrowed open packed payroll show_payroll vault__echo
      mcp servers: 1
      /mcp: open payroll
    bob
      offered: around open
      agents: assistant
      models: default
      api agents: assistant
      api tools: around open
      mcp servers: 0
      /mcp: open
    ");
}

#[tokio::test]
async fn whoever_names_it_all_the_same_is_told_that_there_is_no_such_thing() {
    let mcp = Fake::echo().await;
    let server = start(&mcp).await;
    // A model that calls what it was not offered.
    for call in [
        "payroll",
        "show_payroll",
        "ask_expert",
        "ask_boss",
        "narrowed",
        "packed",
        "vault__echo",
        "around",
    ] {
        server.model.push(ScriptedResponse::call(call, json!({})));
        server.model.push(ScriptedResponse::text("done"));
        let (status, _) = create(&server, "bob", input("go")).await;
        assert_eq!(status, StatusCode::OK);
        let last = server.last_input();
        let output = last.lines().last().unwrap();
        assert!(output.contains("there is no tool"), "{call}: {output}");
    }
    assert_eq!(server.model.remaining(), 0);
    // A model that the composer does not show.
    let with = |key: &str, value: Value| {
        let mut input = input("hello");
        input["inference_options"][key] = value;
        input
    };
    let (status, body) = create(&server, "bob", with("model", json!("big"))).await;
    let (unknown_status, unknown) = create(&server, "bob", with("model", json!("none"))).await;
    assert_eq!((status, unknown_status), (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST));
    let without = |text: &str, name: &str| {
        let mut body: Value = serde_json::from_str(text).unwrap();
        body.as_object_mut().unwrap().remove("request_id");
        body.to_string().replace(name, "NAME")
    };
    assert_eq!(without(&body, "`big`"), without(&unknown, "`none`"));
    assert!(!unknown.contains("big"), "{unknown}");
    // An agent by its tool choice: as one that is not there, the default answers.
    server.model.push(ScriptedResponse::text("hi"));
    create(&server, "bob", with("tool_choice", json!({ "id": "expert" }))).await;
    assert_eq!(server.model.requests().last().unwrap().instructions.trim(), "You are a test.");
    server.model.push(ScriptedResponse::text("hi"));
    create(&server, "ada", with("tool_choice", json!({ "id": "expert" }))).await;
    assert_eq!(server.model.requests().last().unwrap().instructions.trim(), "You are the expert.");
    // A route's own call, and another MCP client's.
    let response = server.send(request("GET", "/x/tools/pay", "bob", None)).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let response = server.send(request("GET", "/x/tools/pay", "ada", None)).await;
    assert_eq!(text(response).await, "paid");
    let call = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "payroll", "arguments": {} },
    });
    let response = server.send(request("POST", "/mcp", "bob", Some(&call))).await;
    assert_eq!(json_body(response).await["error"]["message"], "there is no tool `payroll`");
    let response = server.send(request("POST", "/mcp", "ada", Some(&call))).await;
    assert_eq!(json_body(response).await["result"]["content"][0]["text"], "paid");
}

#[tokio::test]
async fn who_may_not_talk_to_the_default_agent_is_told_so() {
    let mcp = Fake::echo().await;
    let server = start(&mcp).await;
    server
        .save(
            "prompts/assistant.md",
            "---\nallow: [\"role:staff\"]\ntitles: false\n---\nFor staff.\n",
        )
        .await;
    let (status, body) = create(&server, "bob", input("hello")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("this chat is not for you"), "{body}");
    let response = server.send(request("GET", "/chatkit/options", "bob", None)).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    server.model.push(ScriptedResponse::text("hi"));
    let (status, body) = create(&server, "ada", input("hello")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!events(&body).is_empty());
}

#[tokio::test]
async fn a_word_that_names_nobody_keeps_the_file_out() {
    let server = Server::start(&[
        ("prompts/boss.md", "---\nallow: [\"boss\"]\n---\n"),
        (
            "plugins/a.rhai",
            r#"tool(#{ name: "a", description: "A.", allow: ["user:ada"], run: |args, ctx| 1 });"#,
        ),
        ("plugins/b/plugin.toml", "allow = [\"role:\"]\n"),
        ("plugins/b/b.rhai", ""),
        (
            "plugins/c.mcp.toml",
            "transport = \"http\"\nurl = \"http://127.0.0.1:9/mcp\"\nallow = \"staff\"\n",
        ),
    ])
    .await;
    assert_snapshot!(server.errors(), @"
    plugins/a.rhai:1:1: `user:ada` in `allow` names nobody: write `role:NAME`
    plugins/b/plugin.toml:1:9: `role:` in `allow` names nobody: write `role:NAME`
    plugins/c.mcp.toml:3:9: `staff` in `allow` names nobody: write `role:NAME`
    prompts/boss.md:2:8: `boss` in `allow` names nobody: write `role:NAME`
    ");
}

//! Plugin routes: where they answer, for whom, and what they may send.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::json;

use crate::{
    model::ScriptedResponse,
    tests::harness::{Server, get_request, input, json_body, text},
};

const CATS: &str = r#"
    plugin(#{ permissions: #{ public: true } });
    route("GET", "/cats", |request, ctx| ["Tom"]);
    route("GET", "/cats/{id}", |request, ctx| #{ id: request.params.id, by: ctx.user.id, q: request.query.q });
    route("POST", "/cats", |request, ctx| #{ status: 201, headers: #{ "x-cat": "1", "set-cookie": "a=b" }, body: request.json });
    route("GET", "/page", |request, ctx| #{ status: 200, headers: #{ "content-type": "text/html" }, body: "<script>1</script>" });
    route("GET", "/open", #{ public: true }, |request, ctx| `user: ${ctx.user}`);
    route("GET", "/threads/{thread_id}", |request, ctx| { ctx.thread.title = "Seen"; ctx.thread.id });
    route("GET", "/broken", |request, ctx| throw "no cats in /home/cats");
"#;

async fn server() -> Server {
    Server::start(&[
        ("plugins/cats.rhai", CATS),
        ("kitfox.toml", "[routes]\n\"/cats\" = \"cats\"\n"),
    ])
    .await
}

#[tokio::test]
async fn a_route_answers_below_its_plugin_and_at_its_mount() {
    let server = server().await;
    for path in ["/x/cats/cats", "/cats"] {
        let response = server.send(get_request("ada", path)).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(json_body(response).await, json!(["Tom"]));
    }
    let response = server.send(get_request("ada", "/cats/a%20b?q=1")).await;
    assert_eq!(json_body(response).await, json!({ "id": "a b", "by": "ada", "q": "1" }));
    // Mounted is what lies at or below /cats, and nothing else.
    assert_eq!(server.send(get_request("ada", "/page")).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.send(get_request("ada", "/x/dogs/")).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_response_may_set_neither_cookies_nor_run_scripts() {
    let server = server().await;
    let request = Request::post("/cats")
        .header("host", "localhost")
        .header("x-user-id", "ada")
        .header("content-type", "application/json")
        .body(Body::from(r#"{"name": "Tom"}"#))
        .unwrap();
    let response = server.send(request).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(response.headers()["x-cat"], "1");
    assert!(!response.headers().contains_key("set-cookie"));
    assert_eq!(json_body(response).await, json!({ "name": "Tom" }));
    let page = server.send(get_request("ada", "/x/cats/page")).await;
    assert_eq!(page.headers()["content-security-policy"], "sandbox");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn only_a_public_route_answers_without_a_user() {
    let server = server().await;
    let anonymous =
        |path: &str| Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
    let response = server.send(anonymous("/x/cats/cats")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let response = server.send(anonymous("/x/cats/open")).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(text(response).await, "user: ");
}

#[tokio::test]
async fn a_route_runs_in_its_callers_thread_and_in_nobody_elses() {
    let server = server().await;
    server.model.push(ScriptedResponse::text("hello"));
    let (thread, _) = server.create("ada", "hi").await;
    let path = format!("/x/cats/threads/{thread}");
    let response = server.send(get_request("eve", &path)).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    let response = server.send(get_request("ada", &path)).await;
    assert_eq!(text(response).await, thread);
    let (_, stored) = server.call("ada", "threads.get_by_id", json!({ "thread_id": thread })).await;
    assert_eq!(stored["title"], "Seen");
}

#[tokio::test]
async fn a_failing_route_leaks_nothing() {
    let server = server().await;
    let response = server.send(get_request("ada", "/x/cats/broken")).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let body = text(response).await;
    assert!(!body.contains("/home"), "{body}");
    assert!(body.contains("the plugin failed"), "{body}");
}

#[tokio::test]
async fn a_route_whose_tool_calls_itself_for_ever_is_answered() {
    let script = r#"
        plugin(#{ permissions: #{ tools: ["*"] } });
        tool(#{ name: "again", description: "Calls itself.", run: |args, ctx| ctx.call_tool("again", #{}) });
        route("GET", "/again", |request, ctx| {
            let answer = "";
            try { answer = ctx.call_tool("again", #{}); } catch (err) { answer = `${err}`; }
            answer
        });
    "#;
    let server = Server::start(&[("plugins/again.rhai", script)]).await;
    let answer = text(server.send(get_request("ada", "/x/again/again")).await).await;
    assert!(answer.contains("more than 32 calls of tools by tools at one time"), "{answer}");
}

#[tokio::test]
async fn a_route_that_runs_when_the_server_stops_gets_time_to_end() {
    let script = r#"
        route("GET", "/slow", |request, ctx| { ctx.kv.user.set("began", true); sleep(0.3); "done" });
        route("GET", "/began", |request, ctx| ctx.kv.user.get("began"));
    "#;
    let server = Server::start(&[("plugins/slow.rhai", script)]).await;
    let stop = async {
        while text(server.send(get_request("ada", "/x/slow/began")).await).await != "true" {
            tokio::task::yield_now().await;
        }
        server.app.stopping.cancel();
    };
    let (answer, ()) = tokio::join!(server.send(get_request("ada", "/x/slow/slow")), stop);
    assert_eq!(text(answer).await, "done");
}

const RESPOND: &str = r#"
    route("POST", "/tell/{thread_id}", |request, ctx| {
        ctx.hidden(request.json.text);
        ctx.respond();
        ctx.respond();
        if request.json.fail == true { throw "no"; }
        "told"
    });
    route("POST", "/nowhere", |request, ctx| { ctx.respond(); "told" });
    route("POST", "/why/{thread_id}", |request, ctx| {
        let why = "";
        try { ctx.respond(); } catch (err) { why = `${err}`; }
        why
    });
    tool(#{ name: "lock", description: "Locks.", run: |args, ctx| { ctx.thread.status = "locked"; "ok" } });
"#;

async fn post(server: &Server, path: &str, body: &serde_json::Value) -> String {
    let request = Request::post(path)
        .header("host", "localhost")
        .header("x-user-id", "ada")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    text(server.send(request).await).await
}

#[tokio::test]
async fn a_route_has_the_agent_respond_in_the_background() {
    let prompt = "---\ntitles: false\n---\nOn {{ page.title }}.\n";
    let files = [("plugins/news.rhai", RESPOND), ("prompts/assistant.md", prompt)];
    let server = Server::start(&files).await;
    server.model.push(ScriptedResponse::text("hello"));
    let mut message = input("hi");
    message["metadata"] = json!({ "pageContext": { "title": "Home" } });
    let events = server.stream("ada", "threads.create", json!({ "input": message })).await;
    let thread = events[0]["thread"]["id"].as_str().unwrap();
    server.model.push(ScriptedResponse::text("A parcel came."));
    let answer =
        post(&server, &format!("/x/news/tell/{thread}"), &json!({ "text": "parcel" })).await;
    assert_eq!(answer, "told");
    server.app.running.idle().await;
    assert!(
        server.items("ada", thread).await.ends_with(r#"assistant_message "A parcel came.""#),
        "{}",
        server.items("ada", thread).await
    );
    assert_eq!(server.model.requests()[1].instructions, "On Home.");
    assert!(server.last_input().contains("<HiddenContext>\\nparcel"), "{}", server.last_input());
}

#[tokio::test]
async fn an_agent_responds_to_no_route_that_failed_and_in_no_thread_that_is_busy_locked_or_none() {
    let server = Server::start(&[("plugins/news.rhai", RESPOND)]).await;
    server.model.push(ScriptedResponse::text("hello"));
    let (thread, _) = server.create("ada", "hi").await;
    let failing = json!({ "text": "x", "fail": true });
    let answer = post(&server, &format!("/x/news/tell/{thread}"), &failing).await;
    assert!(answer.contains("the plugin failed"), "{answer}");
    assert!(server.app.running.is_empty());
    let answer = post(&server, "/x/news/nowhere", &json!({})).await;
    assert!(answer.contains("the plugin failed"), "{answer}");
    let why = format!("/x/news/why/{thread}");
    let guard =
        server.app.running.begin(&thread.as_str().into(), std::time::Duration::ZERO).await.unwrap();
    let answer = post(&server, &why, &json!({})).await;
    assert!(answer.contains("`respond`: another turn is running on this thread"), "{answer}");
    drop(guard);
    server.model.push(ScriptedResponse::call("lock", json!({})));
    server.model.push(ScriptedResponse::text("locked"));
    server.say("ada", &thread, "lock").await;
    assert_eq!(post(&server, &why, &json!({})).await, "`respond`: the thread is locked");
    assert_eq!(server.model.requests().len(), 3);
}

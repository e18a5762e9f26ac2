//! `/mcp`: plugin tools for MCP clients of both eras of the protocol.

use axum::{
    body::Body,
    http::{Request, Response, StatusCode, header::ALLOW},
};
use futures::future::join_all;
use rmcp::{
    RoleClient,
    model::{CallToolRequestParams, ClientConfig, ProtocolVersion},
    service::{ClientLifecycleMode, ClientServiceExt, RunningService},
    transport::{
        StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig,
    },
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_stream::StreamExt;

use crate::{
    server,
    tests::harness::{Server, json_body, text},
};

const TOOLS: &str = r#"
    tool(#{
        name: "greet", description: "Greets somebody.", mcp: true,
        annotations: #{ title: "Greeting", readOnlyHint: true },
        parameters: #{ who: #{ type: "string" }, loud: #{ type: "boolean", default: false } },
        run: |args, ctx| if args.loud { `HELLO ${args.who}` } else { `Hello ${args.who}` },
    });
    tool(#{
        name: "whoami", description: "Says who calls.", mcp: true, parameters: #{},
        run: |args, ctx| #{ user: ctx.user.id, thread: ctx.thread, session: ctx.request.session_id },
    });
    tool(#{
        name: "picture", description: "Shows a picture.", mcp: true, parameters: #{},
        run: |args, ctx| #{ content: [#{ type: "image", mimeType: "image/png", data: "iVBORw0KGgo=" }] },
    });
    tool(#{
        name: "steps", description: "Takes some steps.", mcp: true, parameters: #{},
        run: |args, ctx| { for step in ["one", "two"] { ctx.progress("bolt", step); } "done" },
    });
    tool(#{
        name: "fails", description: "Fails.", mcp: true, parameters: #{},
        run: |args, ctx| throw "the cat is out",
    });
    tool(#{
        name: "chats", description: "Speaks to a chat.", mcp: true, parameters: #{},
        run: |args, ctx| ctx.say("hi"),
    });
    tool(#{
        name: "asks", description: "Needs approval.", mcp: true, approval: "always", parameters: #{},
        run: |args, ctx| "never",
    });
    tool(#{
        name: "deletes", description: "Needs approval too.", mcp: true, approval: "destructive", parameters: #{},
        run: |args, ctx| "never",
    });
    tool(#{
        name: "private", description: "For the chat alone.", parameters: #{},
        run: |args, ctx| "never",
    });
"#;

/// Waits for an answer that does not come.
const WAITS: &str = r#"
    plugin(#{ permissions: #{ http: ["URL"] } });
    tool(#{
        name: "waits", description: "Waits.", mcp: true, parameters: #{},
        run: |args, ctx| { ctx.progress("waiting"); ctx.http.get("URL") },
    });
"#;

/// A revision of the protocol, from before and from after it gave up its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    Sessions,
    Stateless,
}

const ERAS: [Era; 2] = [Era::Sessions, Era::Stateless];

impl Era {
    fn version(self) -> &'static str {
        match self {
            Self::Sessions => "2025-11-25",
            Self::Stateless => "2026-07-28",
        }
    }

    /// A request as its clients send it.
    fn request(self, user: &str, method: &str, mut params: Value) -> Request<Body> {
        let mut request = post(&[("x-user-id", user), ("mcp-protocol-version", self.version())]);
        if self == Self::Stateless {
            let headers = request.headers_mut();
            headers.insert("mcp-method", method.parse().unwrap());
            if let Some(name) = params["name"].as_str() {
                headers.insert("mcp-name", name.parse().unwrap());
            }
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = self.version().into();
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        request.map(|_| Body::from(body.to_string()))
    }
}

fn post(headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::post("/mcp")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::empty()).unwrap()
}

async fn server() -> Server {
    Server::start(&[("plugins/tools.rhai", TOOLS)]).await
}

async fn ask(server: &Server, era: Era, method: &str, params: Value) -> Value {
    let answer = json_body(server.send(era.request("ada", method, params)).await).await;
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)), "{answer}");
    answer
}

async fn call(server: &Server, era: Era, tool: &str, arguments: Value) -> Value {
    ask(server, era, "tools/call", json!({ "name": tool, "arguments": arguments })).await
}

/// The messages of an event stream.
fn messages(text: &str) -> Vec<Value> {
    let data = text.lines().filter_map(|it| it.strip_prefix("data:"));
    data.filter(|it| !it.trim().is_empty()).map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[tokio::test]
async fn a_client_is_told_who_answers_and_that_there_are_tools() {
    let server = Server::start(&[("kitfox.toml", "[project]\nname = \"Cat Lounge\"\n")]).await;
    let params = json!({
        "protocolVersion": "2025-11-25", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    });
    let initialized = ask(&server, Era::Sessions, "initialize", params).await;
    insta::assert_snapshot!(initialized["result"], @r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"Cat Lounge","version":"0.1.0"}}"#);
    let discovered = ask(&server, Era::Stateless, "server/discover", json!({})).await;
    insta::assert_snapshot!(discovered["result"], @r#"{"resultType":"complete","supportedVersions":["2024-11-05","2025-03-26","2025-06-18","2025-11-25","2026-07-28"],"capabilities":{"tools":{"listChanged":true}},"ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"Cat Lounge","version":"0.1.0"}}}"#);
}

#[tokio::test]
async fn the_tools_that_say_so_and_need_no_approval_are_listed() {
    let server = server().await;
    for era in ERAS {
        let listed = ask(&server, era, "tools/list", json!({})).await;
        let tools = listed["result"]["tools"].as_array().unwrap();
        let names: Vec<_> = tools.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["chats", "fails", "greet", "picture", "steps", "whoami"]);
        insta::allow_duplicates! {
            insta::assert_snapshot!(tools[2], @r#"{"name":"greet","title":"Greeting","description":"Greets somebody.","inputSchema":{"type":"object","properties":{"loud":{"default":false,"type":"boolean"},"who":{"type":"string"}},"required":["who"],"additionalProperties":false},"annotations":{"title":"Greeting","readOnlyHint":true}}"#);
        }
    }
}

#[tokio::test]
async fn a_tool_is_called_without_a_thread_as_the_user_of_the_request() {
    let server = server().await;
    for era in ERAS {
        let greeting = call(&server, era, "greet", json!({ "who": "Ada", "loud": true })).await;
        assert_eq!(greeting["result"]["content"], json!([{ "type": "text", "text": "HELLO Ada" }]));
        let caller = call(&server, era, "whoami", json!({})).await;
        let who = json!({ "session": null, "thread": null, "user": "ada" });
        assert_eq!(caller["result"]["structuredContent"], who);
        let text = caller["result"]["content"][0]["text"].as_str().unwrap();
        assert_eq!(serde_json::from_str::<Value>(text).unwrap(), who);
        let picture = call(&server, era, "picture", json!({})).await;
        assert_eq!(picture["result"]["content"][0]["type"], "image");
    }
}

#[track_caller]
fn check_failed(answer: &Value, says: &str) {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains(says), "{text}");
}

#[tokio::test]
async fn a_failing_tool_is_a_result_that_names_it() {
    let server = server().await;
    for era in ERAS {
        check_failed(&call(&server, era, "fails", json!({})).await, "`fails`: the cat is out");
        check_failed(
            &call(&server, era, "chats", json!({})).await,
            "`chats`: `ctx.say` needs a thread, and there is none",
        );
        check_failed(
            &call(&server, era, "greet", json!({ "who": 5 })).await,
            "`greet`: the arguments are not valid: /who: ",
        );
    }
}

#[tokio::test]
async fn what_is_not_offered_is_not_there() {
    let server = server().await;
    for era in ERAS {
        for tool in ["asks", "deletes", "private", "nothing"] {
            let error = call(&server, era, tool, json!({})).await["error"].clone();
            let message = format!("there is no tool `{tool}`");
            assert_eq!(error, json!({ "code": -32602, "message": message }), "{era:?}");
        }
        let error = &call(&server, era, "greet", json!(["Ada"])).await["error"];
        assert_eq!(error["code"], -32602, "{error}");
        for method in ["prompts/list", "resources/list", "completion/complete", "nothing"] {
            let error = &ask(&server, era, method, json!({})).await["error"];
            assert_eq!(error["code"], -32601, "{method}: {error}");
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_for_it_is_told_of_progress() {
    let server = server().await;
    for era in ERAS {
        let params = json!({ "name": "steps", "_meta": { "progressToken": "p1" } });
        let response = server.send(era.request("ada", "tools/call", params)).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let messages = messages(&text(response).await);
        let told: Vec<_> = messages[..2].iter().map(|it| it["params"].to_string()).collect();
        insta::allow_duplicates! {
            insta::assert_snapshot!(told.join("\n"), @r#"
            {"progressToken":"p1","progress":1.0,"message":"one"}
            {"progressToken":"p1","progress":2.0,"message":"two"}
            "#);
        }
        assert_eq!(messages[2]["result"]["content"][0]["text"], "done");
        // Whoever does not ask misses nothing.
        let plain = call(&server, era, "steps", json!({})).await;
        assert_eq!(plain["result"]["content"][0]["text"], "done");
    }
}

#[tokio::test]
async fn a_call_ends_when_its_client_leaves() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let tool = WAITS.replace("URL", &format!("http://{address}"));
    let config = format!("[plugins]\nallow_addresses = [\"{address}\"]\n");
    let files = [("plugins/waits.rhai", tool.as_str()), ("kitfox.toml", config.as_str())];
    let server = Server::start(&files).await;
    for era in ERAS {
        let waits = era.request("ada", "tools/call", json!({ "name": "waits" }));
        let mut connection = tokio::select! {
            response = server.send(waits) => panic!("{}", text(response).await),
            accepted = listener.accept() => accepted.unwrap().0,
        };
        // What the tool waits for is given up with it.
        connection.read_to_end(&mut Vec::new()).await.unwrap();
        // A client that is told of progress has the head of its answer already.
        let params = json!({ "name": "waits", "_meta": { "progressToken": 1 } });
        let response = server.send(era.request("ada", "tools/call", params)).await;
        let mut connection = listener.accept().await.unwrap().0;
        drop(response);
        connection.read_to_end(&mut Vec::new()).await.unwrap();
    }
}

#[tokio::test]
async fn calls_of_two_users_never_meet() {
    let server = server().await;
    let calls = (0..200).map(|number| {
        let user = if number % 2 == 0 { "ada" } else { "bob" };
        let era = ERAS[number / 2 % 2];
        let request = era.request(user, "tools/call", json!({ "name": "whoami" }));
        let response = server.send(request);
        async move { (user, json_body(response.await).await) }
    });
    for (user, answer) in join_all(calls).await {
        assert_eq!(answer["result"]["structuredContent"]["user"], user);
    }
}

#[tokio::test]
async fn a_change_of_the_tools_is_in_force_at_once_and_told_to_those_who_listen() {
    let server = server().await;
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let response = server.send(Era::Stateless.request("ada", "subscriptions/listen", filter)).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut chunks = response.into_body().into_data_stream();
    let mut next = async || {
        let chunk = chunks.next().await.unwrap().unwrap();
        messages(std::str::from_utf8(&chunk).unwrap())
    };
    assert_eq!(next().await[0]["method"], "notifications/subscriptions/acknowledged");
    let tool = r#"tool(#{ name: "new", description: "Is new.", parameters: #{}, MCP run: |args, ctx| "new" });"#;
    // Nobody is told of what is not offered.
    server.save("plugins/new.rhai", &tool.replace("MCP", "")).await;
    server.save("plugins/new.rhai", &tool.replace("MCP", "mcp: true,")).await;
    assert_eq!(next().await[0]["method"], "notifications/tools/list_changed");
    let answer = call(&server, Era::Sessions, "new", json!({})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "new");
    server.remove("plugins/new.rhai").await;
    assert_eq!(next().await[0]["method"], "notifications/tools/list_changed");
    let answer = call(&server, Era::Sessions, "new", json!({})).await;
    assert_eq!(answer["error"]["message"], "there is no tool `new`");
    server.app.stopping.cancel();
    assert_eq!(next().await[0]["id"], 7, "the subscription ends with its result");
}

async fn refusal(server: &Server, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let response = server.send(post(headers).map(|_| Body::from(body.to_owned()))).await;
    (response.status().as_u16(), text(response).await)
}

#[tokio::test]
async fn whoever_is_nobody_or_comes_from_elsewhere_is_refused() {
    let server = server().await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let ada = ("x-user-id", "ada");
    assert_eq!(refusal(&server, &[ada], list).await.0, 200);
    assert_eq!(refusal(&server, &[], list).await.0, 401);
    assert_eq!(refusal(&server, &[ada, ("x-user-id", "eve")], list).await.0, 401);
    assert_eq!(refusal(&server, &[("authorization", "Bearer ada")], list).await.0, 401);
    let foreign = [ada, ("origin", "https://evil.example")];
    assert_eq!(refusal(&server, &foreign, list).await.0, 403);
    let mut rebound = post(&[ada]).map(|_| Body::from(list));
    rebound.headers_mut().insert("host", "evil.example".parse().unwrap());
    assert_eq!(server.send(rebound).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_is_no_request_is_refused_with_its_reason() {
    let limit = ("kitfox.toml", "[limits]\nbody_bytes = 1000\n");
    let server = Server::start(&[limit]).await;
    let ada = ("x-user-id", "ada");
    let (status, body) = refusal(&server, &[ada], "{").await;
    assert_eq!(status, 400);
    insta::assert_snapshot!(body, @r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"the body is not JSON: EOF while parsing an object at line 1 column 1"}}"#);
    let (status, body) = refusal(&server, &[ada], r#"{"id": 5}"#).await;
    assert_eq!(status, 400);
    insta::assert_snapshot!(body, @r#"{"jsonrpc":"2.0","id":5,"error":{"code":-32600,"message":"the body is no request of JSON-RPC 2.0: one object with `jsonrpc`, `id` and `method`"}}"#);
    assert_eq!(refusal(&server, &[ada], "[]").await.0, 400);
    let unknown = [ada, ("mcp-protocol-version", "1999-01-01")];
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(refusal(&server, &unknown, list).await.0, 400);
    assert_eq!(refusal(&server, &[ada], &"x".repeat(1001)).await.0, 413);
    let mut plain = post(&[ada]);
    plain.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(server.send(plain).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let mut unacceptable = post(&[ada]).map(|_| Body::from(list));
    unacceptable.headers_mut().insert("accept", "text/html".parse().unwrap());
    assert_eq!(server.send(unacceptable).await.status(), StatusCode::NOT_ACCEPTABLE);
    for method in ["GET", "DELETE"] {
        let mut request = post(&[ada]);
        *request.method_mut() = method.parse().unwrap();
        let response = server.send(request).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert_eq!(response.headers()[ALLOW], "POST");
    }
}

#[tokio::test]
async fn a_newcomer_is_served_and_known_again_by_a_session_id() {
    let session = [("KITFOX_AUTH__MODE", "session")];
    let server = Server::start_with(&[("plugins/tools.rhai", TOOLS)], &session).await;
    let caller = async |headers: &[(&str, &str)]| {
        let body = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "whoami" },
        });
        let response = server.send(post(headers).map(|_| Body::from(body.to_string()))).await;
        assert!(!response.headers().contains_key("set-cookie"));
        json_body(response).await["result"]["structuredContent"]["user"].clone()
    };
    let known = [("x-session-id", "0123456789abcdef")];
    assert_eq!(caller(&known).await, caller(&known).await);
    assert_ne!(caller(&[]).await, caller(&[]).await);
    let (status, _) = refusal(&server, &[("x-session-id", "short")], "{}").await;
    assert_eq!(status, 401);
}

/// rmcp's own client, over loopback.
async fn connect(
    server: &Server,
    lifecycle: ClientLifecycleMode,
) -> RunningService<RoleClient, ClientConfig> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    server.app.tasks.spawn(server::serve(server.app.clone(), listener));
    let user = ("x-user-id".parse().unwrap(), "ada".parse().unwrap());
    let config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers([user].into());
    let transport = StreamableHttpClientTransport::with_client(reqwest::Client::new(), config);
    ClientConfig::default().serve_with_lifecycle(transport, lifecycle).await.unwrap()
}

#[tokio::test]
async fn a_client_with_a_library_lists_and_calls() {
    let server = server().await;
    let stateless = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    };
    for lifecycle in [ClientLifecycleMode::Initialize, stateless] {
        let client = connect(&server, lifecycle).await;
        assert_eq!(client.list_all_tools().await.unwrap().len(), 6);
        let request = CallToolRequestParams::new("whoami");
        let result = client.call_tool(request).await.unwrap();
        assert_eq!(result.structured_content.unwrap()["user"], "ada");
        client.cancel().await.unwrap();
    }
    server.app.stopping.cancel();
}

#[tokio::test]
async fn answers_are_kept_by_no_cache() {
    let server = server().await;
    let response: Response<Body> =
        server.send(Era::Stateless.request("ada", "tools/list", json!({}))).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn a_token_is_for_this_server_or_for_nobody_here() {
    let issuer = crate::tests::auth::issuer::Issuer::start().await;
    let config = issuer.config();
    let files = [("kitfox.toml", config.as_str()), ("plugins/tools.rhai", TOOLS)];
    let server = Server::start_with(&files, &[("KITFOX_AUTH__MODE", "jwt")]).await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for (claims, status) in [
        (json!({}), 200),
        (json!({ "aud": "other" }), 401),
        (json!({ "aud": null }), 401),
        (json!({ "iss": "https://login.example.com/" }), 401),
    ] {
        let bearer = format!("Bearer {}", issuer.token(claims.clone()));
        let answer = refusal(&server, &[("authorization", &bearer)], list).await;
        assert_eq!(answer.0, status, "{claims}: {}", answer.1);
    }
}

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Turn, call, file, host, host_with, load_or_panic, no_thread, outcome, show};
use crate::{
    plugin::HandlerId,
    tests::guest::{self, answer, forwarder, one_tool},
};

#[tokio::test]
async fn a_tool_gives_what_call_returns() {
    assert_snapshot!(outcome(&answer(r#"{"answer":42}"#)).await, @r#"{"answer":42}"#);
}

#[tokio::test]
async fn the_error_of_call_is_thrown() {
    let code = answer("no such city").replace("$answer (i32.const 0)", "$answer (i32.const 1)");
    assert_snapshot!(outcome(&code).await, @"thrown: no such city");
}

#[tokio::test]
async fn a_handler_is_called_by_its_name_with_its_argument() {
    let describe = r#"{"tools":[{"name":"t","description":"d","parameters":{"a":{"type":"integer","default":3}}}],
        "hooks":["message"],"actions":["order"],"sync_actions":["order"],"routes":[{"method":"get","path":"/x/{id}"}]}"#;
    // Answers with the number of the case, the name and the argument, put together as JSON.
    let code = r"
        (i32.store8 (i32.const 512) (i32.const 91))
        (i32.store8 (i32.const 513) (i32.add (local.get $tag) (i32.const 48)))
        (i32.store8 (i32.const 514) (i32.const 44))
        (i32.store8 (i32.const 515) (i32.const 34))
        (memory.copy (i32.const 516) (local.get $name) (local.get $name_len))
        (local.set $i (i32.add (i32.const 516) (local.get $name_len)))
        (i32.store8 (local.get $i) (i32.const 34))
        (i32.store8 (i32.add (local.get $i) (i32.const 1)) (i32.const 44))
        (memory.copy (i32.add (local.get $i) (i32.const 2)) (local.get $arg) (local.get $arg_len))
        (local.set $i (i32.add (local.get $i) (i32.add (i32.const 2) (local.get $arg_len))))
        (i32.store8 (local.get $i) (i32.const 93))
        (call $answer (i32.const 0) (i32.const 512) (i32.sub (local.get $i) (i32.const 511)))";
    let plugin = load_or_panic(&file(&guest::plugin(describe, code)), &host().await);
    let mut seen = Vec::new();
    for handler in 0..5 {
        let argument = if handler == 0 { json!({}) } else { json!({ "it": handler }) };
        let result =
            plugin.clone().call(HandlerId(handler), argument, Turn::start().context()).await;
        seen.push(show(&result));
    }
    assert_snapshot!(seen.join("\n"), @r#"
    [0,"t",{"a":3}]
    [1,"message",{"it":1}]
    [2,"order",{"it":2}]
    [3,"order",{"it":3}]
    [4,"GET /x/{id}",{"it":4}]
    "#);
    let wrong = plugin.call(HandlerId(0), json!({ "a": "x" }), Turn::start().context()).await;
    assert_snapshot!(show(&wrong), @r#"thrown: the arguments are not valid: /a: "x" is not of type "integer""#);
}

#[tokio::test]
async fn nothing_outlives_a_call_but_what_is_kept() {
    let count = "(i32.store8 (i32.const 600) (i32.add (i32.load8_u (i32.const 600)) (i32.const 1)))
        (i32.store8 (i32.const 512) (i32.add (i32.load8_u (i32.const 600)) (i32.const 48)))
        (call $answer (i32.const 0) (i32.const 512) (i32.const 1))";
    let plugin = load_or_panic(&file(&guest::plugin(&one_tool(), count)), &host().await);
    assert_eq!(call(&plugin, json!({})).await, "1");
    assert_eq!(call(&plugin, json!({})).await, "1");

    let plugin = load_or_panic(&file(&forwarder(&one_tool())), &host().await);
    let set = json!({ "m": "kv.user.set", "a": ["seen", { "count": 1 }] });
    assert_eq!(call(&plugin, set).await, "null");
    let get = json!({ "m": "kv.user.get", "a": ["seen"] });
    assert_eq!(call(&plugin, get).await, r#"{"count":1}"#);
}

#[tokio::test]
async fn what_ends_the_turn_ends_the_call() {
    let plugin = load_or_panic(&file(&forwarder(&one_tool())), &host().await);
    let error = json!({ "m": "error", "a": ["closed today", true] });
    assert_snapshot!(call(&plugin, error).await, @"user: closed today retry=true");
}

#[tokio::test]
async fn members_that_need_a_thread_say_so() {
    let plugin = load_or_panic(&file(&forwarder(&one_tool())), &host().await);
    let say = json!({ "m": "say", "a": ["hi"] });
    let result = plugin.clone().call(HandlerId(0), say, no_thread()).await;
    assert_snapshot!(show(&result), @"thrown: `ctx.say` needs a thread, and there is none: `kitfox call`, /mcp and most routes have none");
}

#[tokio::test]
async fn permissions_are_checked_as_those_of_scripts() {
    let plugin = load_or_panic(&file(&forwarder(&one_tool())), &host().await);
    let get = json!({ "m": "http.get", "a": ["https://example.org/"] });
    assert_snapshot!(call(&plugin, get).await, @"thrown: plugin `guest` may not fetch `https://example.org`: add `example.org` to `permissions.http` in plugins/guest.wasm");
    let env = json!({ "m": "env", "a": ["HOME"] });
    assert_snapshot!(call(&plugin, env).await, @"thrown: plugin `guest` may not read the environment variable `HOME`: add `HOME` to `permissions.env` in plugins/guest.wasm, and add `HOME` to `permissions.env` of `[plugins.guest]` in kitfox.toml");
}

#[tokio::test]
async fn http_goes_out_where_it_is_permitted() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    // It ends with its one answer.
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let len = stream.read(&mut request).unwrap();
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"cats\":[]}";
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..len]).lines().next().unwrap().to_owned()
    });
    let describe =
        one_tool().replacen('{', &format!(r#"{{"permissions":{{"http":["{url}"]}},"#), 1);
    let host = host_with("[plugins]\nallow_addresses = ['127.0.0.1']").await;
    let plugin = load_or_panic(&file(&forwarder(&describe)), &host);
    let get = json!({ "m": "http.get", "a": [url, { "query": { "q": "a b" } }] });
    let answer: Value = serde_json::from_str(&call(&plugin, get).await).unwrap();
    assert_eq!((&answer["status"], &answer["json"]), (&json!(200), &json!({ "cats": [] })));
    assert_eq!(server.join().unwrap(), "GET /?q=a+b HTTP/1.1");
}

#[tokio::test]
async fn a_result_that_is_too_large_or_no_json_is_an_error() {
    assert_snapshot!(outcome(&answer("{")).await, @"thrown: the component's result is not JSON: EOF while parsing an object at line 1 column 1");
    let host = host_with("[limits.plugin]\nstring_bytes = 8").await;
    let bytes = guest::plugin(&one_tool(), &answer("\"123456789\""));
    let plugin = load_or_panic(&file(&bytes), &host);
    assert_snapshot!(call(&plugin, json!({})).await, @"limit: the result has 11 bytes, more than 8, the limit: `string_bytes` in `[limits.plugin]`");
}

use insta::assert_snapshot;
use serde_json::json;

use super::{
    Turn, call, errors_of, file, files, host, host_with, load_or_panic, show, show_errors,
};
use crate::{
    plugin::{HandlerId, inspect, load},
    tests::guest::{self, answer, component, forwarder, module, one_tool, plugin},
};

#[tokio::test]
async fn what_is_no_component_is_told_with_what_to_do() {
    assert_snapshot!(errors_of(b"").await, @"plugins/guest.wasm: it is no WebAssembly (put a component there)");
    assert_snapshot!(errors_of(b"not at all").await, @"plugins/guest.wasm: it is no WebAssembly (put a component there)");
    let core = wat::parse_str("(module (func (export \"run\")))").unwrap();
    assert_snapshot!(errors_of(&core).await, @"plugins/guest.wasm: it is a core module, and no component (make it a component with `wasm-tools component new`, or build it for the target `wasm32-wasip2`)");
    let wasi = wat::parse_str(
        "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32))))",
    )
    .unwrap();
    assert_snapshot!(errors_of(&wasi).await, @"plugins/guest.wasm: it is a core module, and no component (build it for the target `wasm32-wasip2`, or make it a component with `wasm-tools component new --adapt wasi_snapshot_preview1.wasm`)");
    let extism = wat::parse_str(
        "(module (import \"extism:host/env\" \"input_length\" (func (result i64))))",
    )
    .unwrap();
    assert_snapshot!(errors_of(&extism).await, @"plugins/guest.wasm: it is a plugin for Extism, and no component (build it for the world `kitfox:plugin/plugin`, see `kitfox new wasm`)");
}

#[tokio::test]
async fn no_bytes_make_it_panic() {
    let good = forwarder(&one_tool());
    let host = host().await;
    for len in (8..good.len()).step_by(good.len() / 12) {
        assert!(load(&file(&good[..len]), &host).is_err(), "cut off after {len} bytes");
    }
    for at in (8..good.len()).step_by(good.len() / 12) {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        // It may even be valid: what counts is that it comes back.
        let _ = load(&file(&bytes), &host);
    }
}

#[tokio::test]
async fn one_that_begins_too_large_is_told() {
    let wit = "package test:large;\nworld large { export f: func() -> u32; }";
    let code = "(module (memory (export \"memory\") 3000) (func (export \"f\") (result i32) (i32.const 1)))";
    let large = component(wit, "large", code);
    assert_snapshot!(errors_of(&large).await, @"plugins/guest.wasm: it begins with 187 MiB of memory, and may have 128 MiB (build it with less to begin with, or raise `memory` in `[limits.plugin]`)");
    let host = host_with("[limits.plugin]\nmemory = 268435456").await;
    assert_eq!(call(&load_or_panic(&file(&large), &host), json!({})).await, "1");
}

#[tokio::test]
async fn a_registration_is_read_as_that_of_a_script() {
    let describe = r#"{
        "name": "weather", "version": "1.2.0", "description": "Tells the weather.", "kitfox": "0.1",
        "permissions": { "http": ["api.test"], "model": true },
        "tools": [{ "name": "get_weather", "description": "d", "parameters": { "city": { "type": "string" } }, "stop": true }],
        "agent_tools": [{ "name": "ask", "agent": "lawyer", "description": "d" }],
        "client_tools": [{ "name": "page", "description": "d" }],
        "hooks": ["message", "turn.done"], "actions": ["order"], "sync_actions": ["filter"],
        "routes": [{ "method": "get", "path": "/today" }]
    }"#;
    let plugin = load_or_panic(&file(&plugin(describe, &answer("1"))), &host().await);
    let (manifest, registration) = (plugin.manifest(), plugin.registration());
    assert_eq!((manifest.name.as_str(), manifest.version.as_deref()), ("weather", Some("1.2.0")));
    assert_snapshot!(manifest.permissions, @"http (api.test), model");
    let (spec, _) = &registration.tools[0];
    assert!(spec.stop && spec.parameters["required"] == json!(["city"]));
    assert_eq!(registration.agent_tools[0].agent, "lawyer");
    assert_eq!(registration.client_tools[0].spec.name, "page");
    assert_snapshot!(format!("{:?} {:?} {:?}", registration.hooks, registration.actions, registration.routes), @r#"[(Message, HandlerId(1)), (TurnDone, HandlerId(2))] [(ActionSpec { kind: Turn, type: "order" }, HandlerId(3)), (ActionSpec { kind: Sync, type: "filter" }, HandlerId(4))] [(RouteSpec { method: "GET", path: "/today", public: false }, HandlerId(5))]"#);
}

#[tokio::test]
async fn what_is_wrong_in_a_registration_is_told() {
    let errors = async |describe: &str| errors_of(&plugin(describe, &answer("1"))).await;
    assert_snapshot!(errors("{").await, @"plugins/guest.wasm: what `describe` gives is not JSON: EOF while parsing an object at line 1 column 1");
    assert_snapshot!(errors("[]").await, @"plugins/guest.wasm: what `describe` gives is no JSON object");
    assert_snapshot!(errors(r#"{"tool":[]}"#).await, @"plugins/guest.wasm: `describe` knows no `tool`: did you mean `tools`?");
    assert_snapshot!(errors(r#"{"tools":[{"name":"a b","description":"d"}]}"#).await, @"plugins/guest.wasm: `a b` cannot be a tool's name: use 1 to 128 letters, digits, `_`, `.` and `-`");
    assert_snapshot!(errors(r#"{"tools":[{"name":"a","description":"d"},{"name":"a","description":"d"}]}"#).await, @"plugins/guest.wasm: the tool `a` is there already: give one of the two another name");
    assert_snapshot!(errors(r#"{"tools":[{"name":"a","description":"d","parameters":{"x":3}}]}"#).await, @r#"plugins/guest.wasm: the tool `a`: the parameter `x` is not a map: write `{ "type": "string" }`"#);
    assert_snapshot!(errors(r#"{"hooks":["mesage"]}"#).await, @"plugins/guest.wasm: there is no event `mesage`: did you mean `message`?");
    assert_snapshot!(errors(r#"{"kitfox":"0.2"}"#).await, @"plugins/guest.wasm: it was written for Kitfox 0.2, and this is 0.1 (update Kitfox, or take a version of the plugin for 0.1)");
    assert_snapshot!(errors(r#"{"routes":[{"method":"GET","path":"/x","public":true}]}"#).await, @"plugins/guest.wasm: the plugin `guest` may not have public routes (state the permission `public` in plugins/guest.wasm)");
}

#[tokio::test]
async fn a_describe_that_fails_is_told() {
    let wit = "package test:guest;\nworld guest { include kitfox:plugin/plugin@0.1.0; }";
    let code = "(func (export \"describe\") (result i32) unreachable)
        (func (export \"call\") (param i32 i32 i32 i32 i32) (result i32) unreachable)";
    let bytes = component(wit, "guest", &module(code));
    assert_snapshot!(errors_of(&bytes).await, @"plugins/guest.wasm: its `describe` failed: the component stopped itself, as after a panic: its log says more");
}

#[tokio::test]
async fn what_it_needs_and_is_not_offered_is_told() {
    let wit = "package test:other;\ninterface weather { now: func() -> u32; }\n\
               world other { import weather; export f: func() -> u32; }";
    let code = format!(
        "(module (import \"test:other/weather\" \"now\" (func $now (result i32))) {}",
        module("(func (export \"f\") (result i32) (call $now))")
            .trim_start()
            .trim_start_matches("(module")
    );
    assert_snapshot!(errors_of(&component(wit, "other", &code)).await, @"plugins/guest.wasm: it imports `test:other/weather`, which Kitfox does not offer (join it with a component that offers it (`wac plug`), or build it without)");
}

#[tokio::test]
async fn what_wasi_has_beyond_the_small_one_is_there_and_denied() {
    let bytes = guest::plugin_with(
        &one_tool(),
        "import wasi:keyvalue/store@0.2.0;",
        r#"(import "wasi:keyvalue/store@0.2.0" "knock" (func $knock (result i32)))"#,
        "(drop (call $knock)) (i32.const 64)",
    );
    let plugin = load_or_panic(&file(&bytes), &host().await);
    assert_snapshot!(call(&plugin, json!({})).await, @"thrown: the component failed: `wasi:keyvalue/store@0.2.0` is not for plugins: use the interface `host`");
}

#[tokio::test]
async fn a_pack_joins_scripts_and_components_under_one_name() {
    let script = "tool(#{ name: \"from_script\", description: \"d\", run: |args, ctx| ctx.kv.all.set(\"a\", 1) });";
    let described = r#"{"tools":[{"name":"t","description":"d","parameters":{"type":"object"}}]}"#;
    let forward = forwarder(described);
    let pack = [
        ("plugin.toml", b"name = \"mixed\"".as_slice()),
        ("main.rhai", script.as_bytes()),
        ("forward.wasm", &forward),
        ("data/cats.json", b"[\"tom\"]"),
        ("data/other.wasm", b"not loaded"),
    ];
    let plugin = load_or_panic(&files("plugins/mixed", &pack), &host().await);
    assert_eq!(plugin.manifest().name, "mixed");
    let ids: Vec<_> =
        plugin.registration().tools.iter().map(|(spec, id)| (spec.name.as_str(), id.0)).collect();
    assert_eq!(ids, [("from_script", 0), ("t", 1)]);
    assert_eq!(call(&plugin, json!({})).await, "null");
    let get = async |argument| {
        let turn = Turn::start();
        let result = plugin.clone().call(HandlerId(1), argument, turn.context()).await;
        show(&result)
    };
    assert_eq!(get(json!({ "m": "kv.all.get", "a": ["a"] })).await, "1");
    assert_eq!(get(json!({ "m": "data", "a": ["cats.json"] })).await, r#"["tom"]"#);

    let clash = forwarder(&described.replace("\"t\"", "\"from_script\""));
    let pack = [("main.rhai", script.as_bytes()), ("forward.wasm", &clash)];
    let errors = load(&files("plugins/mixed", &pack), &host().await).err().unwrap();
    assert_snapshot!(show_errors(&errors), @"plugins/mixed: the tool `from_script` is there already: give one of the two another name");
    let named = forwarder(&one_tool());
    let errors =
        load(&files("plugins/mixed", &[("forward.wasm", &named)]), &host().await).err().unwrap();
    assert_snapshot!(show_errors(&errors), @"plugins/mixed/forward.wasm: `describe` gives `name`, and this is a pack: state it in its plugin.toml");
}

#[tokio::test]
async fn under_ask_nothing_runs_before_it_is_approved() {
    let host = host_with("[plugins]\ntrust = \"ask\"").await;
    let plugin = load_or_panic(&file(&forwarder(&one_tool())), &host);
    assert!(!plugin.manifest().approved && plugin.registration().tools.is_empty());
    assert_snapshot!(call(&plugin, json!({})).await, @"thrown: the plugin `guest` is not approved yet");
}

#[test]
fn a_file_can_be_looked_into_without_a_project() {
    let bytes = plugin(
        r#"{"name":"cats","permissions":{"model":true},"tools":[{"name":"t","description":"d"}],"hooks":["message"]}"#,
        &answer("1"),
    );
    let seen = inspect("cats.wasm", "cats", &bytes).unwrap().to_json();
    assert_eq!((&seen["world"], &seen["name"]), (&json!("kitfox:plugin/plugin"), &json!("cats")));
    assert_eq!((&seen["tools"][0]["name"], &seen["hooks"]), (&json!("t"), &json!(["message"])));
    let imports = json!([
        { "name": "kitfox:plugin/types@0.1.0", "offered": true },
        { "name": "kitfox:plugin/host@0.1.0", "offered": true },
    ]);
    assert_eq!(seen["imports"], imports);
    assert_snapshot!(inspect("x.wasm", "x", b"").err().unwrap(), @"x.wasm: it is no WebAssembly (put a component there)");
}

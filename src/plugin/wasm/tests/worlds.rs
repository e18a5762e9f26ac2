//! Components of other worlds: their functions are tools.

use std::{fmt::Write, sync::Arc};

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::{Turn, errors_of, file, host, load_or_panic, show};
use crate::{
    plugin::{HandlerId, Plugin},
    tests::guest::{component, lists, module},
};

async fn call_tool(plugin: &Arc<dyn Plugin>, name: &str, argument: Value) -> String {
    let tools = &plugin.registration().tools;
    let (_, id) = tools.iter().find(|(spec, _)| spec.name == name).unwrap();
    show(&plugin.clone().call(HandlerId(id.0), argument, Turn::start().context()).await)
}

#[tokio::test]
async fn functions_are_tools_with_schemas_of_their_types() {
    let wit = "package test:units;\n\
        interface convert { add: func(a: u64, b: u64) -> u64; }\n\
        world units { export convert; export half-of: func(x: f64) -> f64; export check: func(x: u32) -> result<u32, string>; }";
    let code = r#"
        (func (export "test:units/convert#add") (param i64 i64) (result i64) (i64.add (local.get 0) (local.get 1)))
        (func (export "half-of") (param f64) (result f64) (f64.div (local.get 0) (f64.const 2)))
        (data (i32.const 512) "too large")
        (func (export "check") (param i32) (result i32)
            (i32.store8 (i32.const 16) (i32.gt_u (local.get 0) (i32.const 9)))
            (i32.store (i32.const 20) (local.get 0))
            (if (i32.gt_u (local.get 0) (i32.const 9)) (then
                (i32.store (i32.const 20) (i32.const 512)) (i32.store (i32.const 24) (i32.const 9))))
            (i32.const 16))"#;
    let plugin = load_or_panic(&file(&component(wit, "units", &module(code))), &host().await);
    let tools = &plugin.registration().tools;
    let lines: Vec<_> = tools
        .iter()
        .map(|(it, _)| format!("{}: {} {}", it.name, it.description, it.parameters))
        .collect();
    assert_snapshot!(lines.join("\n"), @r#"
    guest__half_of: The function `half-of(x: f64) -> f64`. {"type":"object","properties":{"x":{"type":"number"}},"required":["x"],"additionalProperties":false}
    guest__check: The function `check(x: u32) -> result<u32, string>`. {"type":"object","properties":{"x":{"type":"integer","minimum":0,"maximum":4294967295}},"required":["x"],"additionalProperties":false}
    guest__convert_add: The function `add(a: u64, b: u64) -> u64` of `convert`. {"type":"object","properties":{"a":{"type":"integer","minimum":0,"maximum":18446744073709551615},"b":{"type":"integer","minimum":0,"maximum":18446744073709551615}},"required":["a","b"],"additionalProperties":false}
    "#);
    let add = json!({ "a": 9_007_199_254_740_993_u64, "b": 18_437_736_874_454_810_000_u64 });
    assert_snapshot!(call_tool(&plugin, "guest__convert_add", add).await, @"18446744073709550993");
    assert_snapshot!(call_tool(&plugin, "guest__half_of", json!({ "x": 5 })).await, @"2.5");
    assert_snapshot!(call_tool(&plugin, "guest__check", json!({ "x": 5 })).await, @"5");
    assert_snapshot!(call_tool(&plugin, "guest__check", json!({ "x": 10 })).await, @"thrown: too large");
    assert_snapshot!(call_tool(&plugin, "guest__check", json!({ "x": -1 })).await, @"thrown: the arguments are not valid: /x: -1 is less than the minimum of 0");
    assert_snapshot!(call_tool(&plugin, "guest__convert_add", json!({ "a": 1 })).await, @r#"thrown: the arguments are not valid: /: "b" is a required property"#);
}

#[tokio::test]
async fn every_type_goes_there_and_back() {
    let types = "record point { x: s32, label: option<string> }
        variant shape { dot, circle(f64), at(point) }
        enum color { red, green }
        flags rights { read, write }";
    let table = [
        ("bools", "bool", json!([true, false])),
        ("bytes", "u8", json!("AAH/")),
        ("s8s", "s8", json!([-128, 127])),
        ("s16s", "s16", json!([-32768, 32767])),
        ("u16s", "u16", json!([0, 65535])),
        ("s32s", "s32", json!([i32::MIN, i32::MAX])),
        ("u32s", "u32", json!([0, u32::MAX])),
        ("s64s", "s64", json!([i64::MIN, i64::MAX])),
        ("u64s", "u64", json!([0, u64::MAX])),
        ("f32s", "f32", json!([0.5, -2.0])),
        ("f64s", "f64", json!([0.1, 1e300])),
        ("chars", "char", json!(["a", "é", "🦊"])),
        ("texts", "string", json!(["", "a\u{0}é🦊"])),
        ("lists", "list<string>", json!([[], ["a"]])),
        ("tuples", "tuple<u8, string>", json!([[1, "a"]])),
        ("records", "point", json!([{ "x": 1, "label": null }, { "x": -1, "label": "a" }])),
        (
            "variants",
            "shape",
            json!(["dot", { "circle": 1.5 }, { "at": { "x": 1, "label": "b" } }]),
        ),
        ("enums", "color", json!(["green", "red"])),
        ("flagged", "rights", json!([[], ["read", "write"]])),
        ("options", "option<u8>", json!([null, 3])),
        ("doubtful", "option<option<u8>>", json!([null, { "some": null }, { "some": 3 }])),
        ("results", "result<u8, string>", json!([{ "ok": 1 }, { "error": "no" }])),
        ("done", "result", json!([{ "ok": null }, { "error": null }])),
    ];
    let functions: Vec<_> = table.iter().map(|(name, ty, _)| (*name, *ty)).collect();
    let plugin = load_or_panic(&file(&lists(&functions, types)), &host().await);
    for (name, ty, value) in table {
        let tool = format!("guest__echo_{name}");
        let result = call_tool(&plugin, &tool, json!({ "x": value.clone() })).await;
        assert_eq!(result, value.to_string(), "{ty}");
        let wrong = call_tool(&plugin, &tool, json!({ "x": [{ "nothing": "like it" }] })).await;
        assert!(wrong.starts_with("thrown: the arguments are not valid: /x"), "{ty}: {wrong}");
    }
}

#[tokio::test]
async fn what_json_cannot_hold_is_left_out_and_the_rest_stays() {
    let wit = "package test:mixed;\n\
        interface files { resource file { size: func() -> u64; } open: func() -> file; count: func() -> u32; }\n\
        world mixed { export files; }";
    let code = r#"
        (import "[export]test:mixed/files" "[resource-new]file" (func $new (param i32) (result i32)))"#;
    let body = r#"
        (func (export "test:mixed/files#[method]file.size") (param i32) (result i64) (i64.const 1))
        (func (export "test:mixed/files#open") (result i32) (call $new (i32.const 1)))
        (func (export "test:mixed/files#count") (result i32) (i32.const 7))"#;
    let text = module(body).replacen("(module", &format!("(module {code}"), 1);
    let plugin = load_or_panic(&file(&component(wit, "mixed", &text)), &host().await);
    let tools: Vec<_> = plugin.registration().tools.iter().map(|(it, _)| it.name.clone()).collect();
    assert_eq!(tools, ["guest__files_count"]);
    assert_snapshot!(call_tool(&plugin, "guest__files_count", json!({})).await, @"7");
}

#[tokio::test]
async fn names_that_come_out_alike_are_counted() {
    let wit = "package test:names;\n\
        interface a-b { c: func() -> u32; }\ninterface a { b-c: func() -> u32; }\n\
        world names { export a-b; export a; }";
    let code = r#"
        (func (export "test:names/a-b#c") (result i32) (i32.const 1))
        (func (export "test:names/a#b-c") (result i32) (i32.const 2))"#;
    let plugin = load_or_panic(&file(&component(wit, "names", &module(code))), &host().await);
    let tools: Vec<_> = plugin.registration().tools.iter().map(|(it, _)| it.name.clone()).collect();
    assert_eq!(tools, ["guest__a_b_c", "guest__a_b_c_2"]);
}

#[tokio::test]
async fn a_component_without_functions_is_told() {
    let bytes = component("package test:none;\nworld none {}", "none", &module(""));
    assert_snapshot!(errors_of(&bytes).await, @"plugins/guest.wasm: it exports no function (export functions, which become tools, or the world `kitfox:plugin/plugin`)");
}

#[tokio::test]
async fn types_that_describe_themselves_without_end_are_refused() {
    let mut types = "type t0 = u32;".to_owned();
    for level in 1..15 {
        write!(types, " type t{level} = tuple<t{0}, t{0}>;", level - 1).unwrap();
    }
    let bytes = lists(&[("huge", "t14"), ("small", "t2")], &types);
    let plugin = load_or_panic(&file(&bytes), &host().await);
    let tools: Vec<_> = plugin.registration().tools.iter().map(|(it, _)| it.name.clone()).collect();
    assert_eq!(tools, ["guest__echo_small"]);
}

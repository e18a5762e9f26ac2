use std::fmt::Write as _;

use insta::assert_snapshot;
use serde_json::json;

use super::{Turn, call, errors_of, file, host, load_or_panic, plugin_of};
use crate::plugin::tools;

#[tokio::test]
async fn a_tool_is_registered_with_all_that_it_says() {
    let plugin = plugin_of(
        r#"
        plugin(#{ name: "weather", version: "1.0", description: "Weather.", permissions: #{ http: ["api.example.org"] } });
        tool(#{
            name: "get_weather", description: "Current weather.",
            parameters: #{ city: #{ type: "string", description: "City name" },
                           unit: #{ type: "string", enum: ["c", "f"], default: "c" },
                           note: #{ type: "string", optional: true } },
            examples: ["weather in {city}?"], stop: true, approval: "destructive", timeout: 5, parallel: false,
            mcp: true, annotations: #{ readOnlyHint: true, title: "Weather" },
            run: |args, ctx| 1,
        });
        agent_tool(#{ name: "ask_expert", agent: "expert", description: "Asks the expert." });
        on("turn.done", |event, ctx| ());
        route("post", "/hook/{id}", |request, ctx| ());
        "#,
    )
    .await;
    assert_eq!(plugin.manifest().name, "weather");
    let registration = plugin.registration();
    assert_snapshot!(serde_json::to_string_pretty(&registration.tools[0].0).unwrap(), @r#"
    {
      "name": "get_weather",
      "description": "Current weather.",
      "parameters": {
        "type": "object",
        "properties": {
          "city": {
            "description": "City name",
            "type": "string"
          },
          "note": {
            "type": "string"
          },
          "unit": {
            "default": "c",
            "enum": [
              "c",
              "f"
            ],
            "type": "string"
          }
        },
        "required": [
          "city"
        ],
        "additionalProperties": false
      },
      "examples": [
        "weather in {city}?"
      ],
      "stop": true,
      "parallel": false,
      "approval": "destructive",
      "annotations": {
        "title": "Weather",
        "readOnlyHint": true
      },
      "mcp": true
    }
    "#);
    assert_snapshot!(format!("{:?}", registration.hooks), @"[(TurnDone, HandlerId(1))]");
    assert_snapshot!(format!("{:?}", registration.routes), @r#"[(RouteSpec { method: "POST", path: "/hook/{id}", public: false }, HandlerId(2))]"#);
    let names: Vec<_> = tools(&plugin).iter().map(|it| it.spec.name.clone()).collect();
    assert_eq!(names, ["get_weather", "ask_expert"]);
}

#[tokio::test]
async fn an_agent_as_a_tool_runs_in_the_turn() {
    let script = r#"agent_tool(#{ name: "ask", agent: "expert", description: "d", stop: true });"#;
    let tools = tools(&load_or_panic(&file(script), &host().await));
    let turn = Turn::start();
    let result = tools[0].provider.call("ask", json!({ "input": "why?" }), turn.context()).await;
    assert!(result.is_ok());
    assert_snapshot!(turn.shown(), @r#"RunAgent { agent: "expert", input: "why?", stop: true }"#);
}

#[tokio::test]
async fn mistakes_are_told_with_place_and_remedy() {
    let tool = |fields: &str| {
        format!("\n  tool(#{{ name: \"t\", description: \"d\", run: |a, c| 1, {fields} }});")
    };
    let cases = [
        ("let x = ;".to_owned()),
        ("let x = (1;".to_owned()),
        ("foo(1);".to_owned()),
        ("print(missing);".to_owned()),
        ("fn f() { null }".to_owned()),
        ("let limit = 1;\nfn f() { limit }".to_owned()),
        ("const LIMIT = 1;\nfn f() { LIMT }".to_owned()),
        ("fn go() { 1 }".to_owned()),
        ("let x = #{ if: 1 };".to_owned()),
        ("let x = #{}; x.else".to_owned()),
        ("eval(\"1\")".to_owned()),
        ("let f = |x, y| x; f.curry(1)".to_owned()),
        ("let f = |x, y| x; curry(f, f)".to_owned()),
        ("let f = || 0; for i in 0..99 { let g = f; let h = f; f = || { g; h }; }\n\
          tool(#{ name: \"t\", description: \"d\", run: f });"
            .to_owned()),
        ("import \"other\" as other;".to_owned()),
        ("throw \"no\"".to_owned()),
        ("tool(#{ description: \"d\", run: || 1 })".to_owned()),
        tool("paramters: #{}"),
        tool("frobnicate: 1"),
        tool("stop: \"yes\""),
        tool("approval: \"sometimes\""),
        tool("timeout: -1"),
        tool("examples: \"x\""),
        tool("annotations: #{ readonlyHint: true }"),
        tool("parameters: #{ city: \"string\" }"),
        tool("parameters: #{ city: #{ type: \"strnig\" } }"),
        tool("parameters: #{ city: #{ \"$ref\": \"https://example.org/x.json\" } }"),
        tool("parameters: [1]"),
        ("tool(#{ name: \"a b\", description: \"d\", run: || 1 });".to_owned()),
        ("tool(#{ name: \"t\", description: \"d\", run: 1 });".to_owned()),
        ("tool(#{ name: \"t\", description: \"d\", run: |a, b, c| 1 });".to_owned()),
        (format!("{}{}", tool(""), tool(""))),
        ("tool(1);".to_owned()),
        ("on(\"mesage\", |e, ctx| 1);".to_owned()),
        ("on(\"zzz\", |e, ctx| 1);".to_owned()),
        ("route(\"FETCH\", \"/x\", |r, ctx| 1);".to_owned()),
        ("route(\"GET\", \"x\", |r, ctx| 1);".to_owned()),
        ("route(\"GET\", \"/x/{}\", |r, ctx| 1);".to_owned()),
        ("route(\"GET\", \"/x\", #{ publik: true }, |r, ctx| 1);".to_owned()),
        ("route(\"GET\", \"/x\", #{ public: true }, |r, ctx| 1);".to_owned()),
        ("plugin(#{ permissions: #{ htp: [] } });".to_owned()),
        ("plugin(#{ name: \"a/b\" });".to_owned()),
        ("plugin(#{}); plugin(#{});".to_owned()),
        ("client_tool(#{ name: \"x\" });".to_owned()),
        ("action(\"\", |a, ctx| 1);".to_owned()),
        ("tool(#{ name: \"x\" }); on(\"y\", || 1);".to_owned()),
    ];
    let mut report = String::new();
    for script in cases {
        writeln!(report, "{}", errors_of(&script).await).unwrap();
    }
    assert_snapshot!(report, @r#"
    plugins/test.rhai:1:9: `;` is not expected here (look here and before for a bracket, comma or quote that is missing)
    plugins/test.rhai:1:11: `)` is missing for a matching ( in this expression (look here and before for a bracket, comma or quote that is missing)
    plugins/test.rhai:1:1: there is no function `foo` that takes (integer)
    plugins/test.rhai:1:7: `missing` is not defined
    plugins/test.rhai:1:10: `null` is not defined (write `()` for nothing)
    plugins/test.rhai:2:10: `limit` is not defined (a `fn` sees top-level constants only: write `const limit`, or pass it as an argument)
    plugins/test.rhai:2:10: `LIMT` is not defined (did you mean `LIMIT`?)
    plugins/test.rhai:1:4: `go` is reserved and cannot name a function (give the function another name)
    plugins/test.rhai:1:12: `if` is a keyword of Rhai (quote it to use it as a key: `"if": …`)
    plugins/test.rhai:1:16: `else` is a keyword of Rhai (write `["else"]` to use it as a property)
    plugins/test.rhai:1:1: `eval` is not available (call a function instead)
    plugins/test.rhai:1:21: `curry` is not available (write a closure, `|x| f.call(1, x)`)
    plugins/test.rhai:1:19: `curry` is not available (write a closure, `|x| f.call(1, x)`)
    plugins/test.rhai:2:1: the handler captures too much, or what nests too deeply (keep less in it)
    plugins/test.rhai:1:8: there is no script `other` to import (name a .rhai file of the same pack, as `import "helpers" as helpers`)
    plugins/test.rhai:1:1: no
    plugins/test.rhai:1:1: `tool` lacks `name` (add `name: …` to its map)
    plugins/test.rhai:2:3: `tool` knows no `paramters` (did you mean `parameters`?)
    plugins/test.rhai:2:3: `tool` knows no `frobnicate` (it knows `name`, `description`, `parameters`, `examples`, `run`, `stop`, `approval`, `annotations`, `timeout`, `parallel`, `mcp` and `allow`)
    plugins/test.rhai:2:3: `stop` of `tool` must be `true` or `false`, and is a string
    plugins/test.rhai:2:3: `sometimes` is no `approval` (write `never`, `destructive` or `always`)
    plugins/test.rhai:2:3: `timeout` of `tool` must be a positive number of seconds, and is `-1`
    plugins/test.rhai:2:3: `examples` of `tool` must be an array of strings, and is a string
    plugins/test.rhai:2:3: `annotations` knows no `readonlyHint` (did you mean `readOnlyHint`?)
    plugins/test.rhai:2:3: the parameter `city` is a string, not a map (write `city: #{ type: "string" }`)
    plugins/test.rhai:2:3: `parameters` is not a valid JSON Schema at `/properties/city/type`: "strnig" is not valid under any of the schemas listed in the 'anyOf' keyword (see https://json-schema.org/understanding-json-schema for what it may say)
    plugins/test.rhai:2:3: `parameters` is not a valid JSON Schema: Resource 'https://example.org/x.json' is not present in a registry and retrieving it failed: `https://example.org/x.json` is not fetched: put it under `$defs` (see https://json-schema.org/understanding-json-schema for what it may say)
    plugins/test.rhai:2:3: `parameters` of `tool` is no map but of the type array (write `parameters: #{ name: #{ type: "string" } }`)
    plugins/test.rhai:1:1: `a b` cannot be a tool's name (use 1 to 128 letters, digits, `_`, `.` and `-`)
    plugins/test.rhai:1:1: `run` of `tool` must be a closure, `|…| …`, and is `1`
    plugins/test.rhai:1:1: the handler takes 3 arguments, and is given two (write `|args, ctx| …`)
    plugins/test.rhai:3:3: the tool `t` is there already (give one of the two another name)
    plugins/test.rhai:1:1: there is no function `tool` that takes (integer)
    plugins/test.rhai:1:1: there is no event `mesage` (did you mean `message`?)
    plugins/test.rhai:1:1: there is no event `zzz` (there are `thread.created`, `thread.deleted`, `message`, `tag`, `attachment`, `request`, `response`, `answer`, `feedback`, `turn.done` and `turn.failed`)
    plugins/test.rhai:1:1: `FETCH` is no method of a route (use `GET`, `POST`, `PUT`, `PATCH` and `DELETE`)
    plugins/test.rhai:1:1: the route's path `x` does not begin with `/` (write it as `/cats/{id}/toys`)
    plugins/test.rhai:1:1: the route's path `/x/{}` has a parameter without a name (write it as `/cats/{id}/toys`)
    plugins/test.rhai:1:1: `route` knows no `publik` (did you mean `public`?)
    plugins/test.rhai:1:1: the plugin `test` may not have public routes (add `permissions: #{ public: true }` to `plugin(#{…})`)
    plugins/test.rhai:1:1: `permissions` knows no `htp` (did you mean `http`?)
    plugins/test.rhai:1:1: `a/b` cannot be a plugin's name (a name has 1 to 63 of the characters a-z, 0-9, `_` and `-`, and begins with a letter or digit)
    plugins/test.rhai:1:14: `plugin` is called twice (join the two maps)
    plugins/test.rhai:1:1: `client_tool` lacks `description` (add `description: …` to its map)
    plugins/test.rhai:1:1: `action` lacks the action's type (write the `type` that the widget's action has)
    plugins/test.rhai:1:1: `tool` lacks `description` (add `description: …` to its map)
    plugins/test.rhai:1:23: there is no event `y` (there are `thread.created`, `thread.deleted`, `message`, `tag`, `attachment`, `request`, `response`, `answer`, `feedback`, `turn.done` and `turn.failed`)
    "#);
}

#[tokio::test]
async fn registering_in_a_handler_is_refused() {
    let plugin = plugin_of(
        "tool(#{ name: \"t\", description: \"d\", run: |args, ctx| on(\"message\", || 1) });",
    )
    .await;
    assert_snapshot!(call(&plugin, json!({})).await, @"thrown: `on` counts while a script loads only: call it at the top of the script, not in a handler");
}

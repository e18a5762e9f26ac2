use insta::assert_snapshot;
use serde_json::json;

use super::{Turn, call, outcome, plugin_of, run, run_with, show};
use crate::plugin::HandlerId;

/// What a tool with this parameter gives back of its arguments.
async fn admitted(parameters: &str, arguments: serde_json::Value) -> String {
    let script = format!(
        r#"tool(#{{ name: "t", description: "d", parameters: {parameters},
            run: |args, ctx| args.keys().map(|key| `${{key}}=${{args[key]}}:${{type_of(args[key])}}`) }});"#
    );
    run_with(&script, arguments).await
}

#[tokio::test]
async fn a_tool_returns_json() {
    let script = r#"
        tool(#{
            name: "add", description: "Adds.",
            parameters: #{ a: #{ type: "integer" }, b: #{ type: "integer" } },
            run: |args, ctx| #{ sum: args.a + args.b, half: 0.5, none: (), list: [1, "x", true] },
        });
    "#;
    let result = run_with(script, json!({ "a": 2, "b": 3 })).await;
    assert_snapshot!(result, @r#"{"half":0.5,"list":[1,"x",true],"none":null,"sum":5}"#);
}

#[tokio::test]
async fn handlers_may_leave_out_arguments_they_do_not_use() {
    assert_eq!(run("tool(#{ name: \"t\", description: \"d\", run: || 1 });").await, "1");
    assert_eq!(run("tool(#{ name: \"t\", description: \"d\", run: |args| 2 });").await, "2");
    assert_eq!(
        run("fn act(args, ctx) { 3 } tool(#{ name: \"t\", description: \"d\", run: act });").await,
        "3"
    );
}

#[tokio::test]
async fn defaults_are_filled_in_and_the_rest_is_unit() {
    let parameters = r#"#{ city: #{ type: "string" }, unit: #{ type: "string", default: "c" },
        days: #{ type: "integer", optional: true } }"#;
    assert_snapshot!(
        admitted(parameters, json!({ "city": "Oslo" })).await,
        @r#"["city=Oslo:string","days=:()","unit=c:string"]"#
    );
    assert_snapshot!(
        admitted(parameters, json!({ "city": "Oslo", "days": null, "unit": null })).await,
        @r#"["city=Oslo:string","days=:()","unit=c:string"]"#
    );
}

#[tokio::test]
async fn numbers_arrive_as_the_schema_types_them() {
    let parameters = r#"#{ i: #{ type: "integer" }, n: #{ type: "number" }, any: #{} }"#;
    assert_snapshot!(
        admitted(parameters, json!({ "i": 5.0, "n": 5, "any": 5 })).await,
        @r#"["any=5:i64","i=5:i64","n=5.0:f64"]"#
    );
    let whole = r##"#{ type: "object", properties: #{ list: #{ type: "array", items: #{ "$ref": "#/$defs/n" } } },
        "$defs": #{ n: #{ type: "integer" } } }"##;
    let script = format!(
        r#"tool(#{{ name: "t", description: "d", parameters: {whole}, run: |args| args.list.map(|it| type_of(it)) }});"#
    );
    assert_snapshot!(run_with(&script, json!({ "list": [1.0, 2] })).await, @r#"["i64","i64"]"#);
}

#[tokio::test]
async fn arguments_that_are_not_valid_are_told_to_the_model() {
    let parameters = r#"#{ city: #{ type: "string", maxLength: 5 }, days: #{ type: "integer" } }"#;
    assert_snapshot!(
        admitted(parameters, json!({ "city": "Reykjavik", "days": "3", "extra": 1 })).await,
        @r#"thrown: the arguments are not valid: /city: "Reykjavik" is longer than 5 characters; /days: "3" is not of type "integer"; /: Additional properties are not allowed ('extra' was unexpected)"#
    );
    assert_snapshot!(admitted(parameters, json!({ "city": "Oslo" })).await, @r#"thrown: the arguments are not valid: /: "days" is a required property"#);
    assert_snapshot!(admitted(parameters, json!("Oslo")).await, @r#"thrown: the arguments are not valid: /: "Oslo" is not of type "object""#);
}

#[tokio::test]
async fn what_a_tool_throws_is_told_to_the_model_as_it_is() {
    assert_snapshot!(outcome("throw `service answered ${500}`").await, @"thrown: service answered 500");
    assert_snapshot!(outcome("throw #{ message: \"busy\", retry: true }").await, @"thrown: busy");
    assert_snapshot!(outcome("throw 42").await, @"thrown: 42");
}

#[tokio::test]
async fn runtime_errors_name_their_place_in_the_script() {
    let script = "
        fn inner(x) { x.foo() }
        tool(#{ name: \"t\", description: \"d\", run: |args, ctx| {
            inner(1)
        } });
    ";
    assert_snapshot!(run(script).await, @"thrown: plugins/test.rhai:2:25: there is no function `foo` that takes (integer)");
    assert_snapshot!(outcome("[1, 2][5]").await, @"thrown: plugins/test.rhai:1:64: there is no entry 5 in an array of 2");
    assert_snapshot!(outcome("let m = #{}; m.a.b").await, @"thrown: plugins/test.rhai:1:74: there is no property `b` on (): write `?.` where the value may be absent");
    assert_snapshot!(outcome("1 / 0").await, @"thrown: plugins/test.rhai:1:59: division by zero: 1 / 0");
    assert_snapshot!(outcome("\"x\" - 1").await, @"thrown: plugins/test.rhai:1:61: there is no function `-` that takes (string, integer)");
    assert_snapshot!(outcome("|x| x").await, @"thrown: plugins/test.rhai: the result: a closure cannot become JSON");
    assert_snapshot!(outcome("let x = [1]; x.push(2); x.filter(|i| x.len() > i)").await, @"thrown: plugins/test.rhai: a closure uses the variable that it is called on, and both would change it: put what is called on into a variable of its own first");
}

#[tokio::test]
async fn a_hook_tells_the_user_only_what_is_meant_for_the_user() {
    let hook = |body: &str| format!("on(\"message\", |event, ctx| {{ {body} }});");
    assert_snapshot!(run(&hook("throw #{ message: \"closed\", retry: true }")).await, @"user: closed retry=true");
    assert_snapshot!(run(&hook("throw \"oh\"")).await, @"thrown: plugins/test.rhai:1:30: oh");
    assert_snapshot!(run(&hook("ctx.error(\"try later\", true)")).await, @"user: try later retry=true");
    assert_snapshot!(outcome("try { ctx.error(\"the end\", false) } catch { 1 }").await, @"user: the end retry=false");
}

#[tokio::test]
async fn reserved_words_are_names_of_properties_and_keys() {
    let words = [
        "thread",
        "default",
        "call",
        "sync",
        "is",
        "match",
        "with",
        "use",
        "new",
        "case",
        "public",
        "package",
        "static",
        "super",
        "spawn",
        "go",
        "goto",
        "async",
        "await",
        "yield",
        "module",
        "protected",
        "shared",
        "then",
        "each",
        "every",
        "when",
        "void",
        "null",
        "nil",
        "print",
        "debug",
        "type_of",
        "Fn",
        "curry",
        "var",
        "of",
        "exit",
    ];
    for word in words {
        let body = format!("let m = #{{ {word}: 1 }}; m.{word} += 1; m.{word}");
        assert_eq!(outcome(&body).await, "2", "{word}");
    }
    assert_eq!(outcome("let f = |x| x + 1; f.call(1) + call(f, 2)").await, "5");
}

#[tokio::test]
async fn globals_do_what_they_say() {
    let cases = [
        ("join([1, \"b\", 2.5], \"-\")", "\"1-b-2.5\""),
        ("[\"a\", \"b\"].join(\", \")", "\"a, b\""),
        ("json(\"[1, {\\\"a\\\": null}]\")", "[1,{\"a\":null}]"),
        ("parse_json(\"[1]\")", "[1]"),
        ("to_json(#{ a: [1, ()] })", "\"{\\\"a\\\":[1,null]}\""),
        ("title_case(\"hello wORLD's end\")", "\"Hello World's End\""),
        ("slug(\"  Hello, Wörld! \")", "\"hello-wörld\""),
        ("regex_replace(\"a1b22\", \"([0-9]+)\", \"<$1>\")", "\"a<1>b<22>\""),
        ("regex_find(\"order 4711!\", \"[0-9]+\")", "\"4711\""),
        ("regex_find(\"x\", \"[0-9]+\")", "null"),
        ("date(\"2026-11-20\").format(\"%d.%m.%Y\")", "\"20.11.2026\""),
        ("date(\"2026-11-20T08:30:00+02:00\").format(\"%H:%M %:z\")", "\"08:30 +02:00\""),
        ("date(\"Fri, 20 Nov 2026 08:30:00 GMT\").to_string()", "\"2026-11-20T08:30:00+00:00\""),
        ("let s = \" a \"; let t = s.trim(); s + t", "\"aa\""),
        ("let s = \"aXa\"; s.replace(\"X\", \"-\"); s", "\"a-a\""),
        ("sleep(0); sleep(0.001); 1", "1"),
        ("exit(7); 1", "7"),
    ];
    for (body, expected) in cases {
        assert_eq!(outcome(body).await, expected, "{body}");
    }
    assert_snapshot!(outcome("date(\"soon\")").await, @"thrown: `soon` is no date: write it as `2026-11-20`, `2026-11-20T08:30:00Z` or `Fri, 20 Nov 2026 08:30:00 GMT`");
    assert_snapshot!(outcome("regex_find(\"a\", \"(\")").await, @r#"
    thrown: `(` is not a valid pattern: regex parse error:
        (
        ^
    error: unclosed group
    "#);
    assert_snapshot!(outcome("eval_it()").await, @"thrown: plugins/test.rhai:1:57: there is no function `eval_it()`");
}

#[tokio::test]
async fn constants_are_visible_in_closures_and_functions() {
    let script = r#"
        fn double() { FACTOR * TABLE.two }
        const FACTOR = 21;
        const TABLE = #{ two: 2 };
        tool(#{ name: "t", description: "d", run: |args, ctx| [double(), FACTOR, TABLE.two] });
    "#;
    assert_snapshot!(run(script).await, @"[42,21,2]");
}

#[tokio::test]
async fn closures_inside_a_call_may_use_what_the_call_is_on() {
    assert_eq!(outcome("let x = [1, 2, 3]; x.filter(|i| x.len() - 1 > i)").await, "[1]");
    assert_eq!(outcome("let x = #{ l: [1], n: 2 }; x.l.map(|i| i * x.n)").await, "[2]");
    // What is changed is still the same variable inside and outside.
    assert_eq!(outcome("let n = 0; [1, 2].for_each(|| n += 1); n").await, "2");
    assert_eq!(outcome("let l = []; let add = |x| l.push(x); add.call(1); l").await, "[1]");
    assert_eq!(outcome("let l = [[]]; let add = |x| l[0].push(x); add.call(1); l").await, "[[1]]");
    assert_eq!(outcome("let m = #{}; let set = |x| m.x = x; set.call(1); m").await, "{\"x\":1}");
}

#[tokio::test]
async fn a_cancelled_call_ends() {
    let plugin =
        plugin_of("tool(#{ name: \"t\", description: \"d\", run: || { loop {} } });").await;
    let turn = Turn::start();
    let call = plugin.call(HandlerId(0), json!({}), turn.context());
    let cancel = async {
        tokio::task::yield_now().await;
        turn.context.cancelled.cancel();
    };
    let (result, ()) = tokio::join!(call, cancel);
    assert_eq!(show(&result), "cancelled");
}

#[tokio::test]
async fn routes_get_their_request() {
    let plugin = plugin_of(
        "route(\"GET\", \"/cats/{id}\", |request, ctx| #{ status: 200, body: request.params.id });",
    )
    .await;
    let result = call(&plugin, json!({ "params": { "id": "tom" } })).await;
    assert_snapshot!(result, @r#"{"body":"tom","status":200}"#);
}

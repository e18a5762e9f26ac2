use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::json;

use super::{Turn, file, host_with, load_or_panic, show, show_errors};
use crate::plugin::{HandlerId, load};

const TIGHT: &str = "[limits.plugin]\ntimeout = \"2s\"\n";

/// Time ends first.
const SHORT: &str = "[limits.plugin]\ntimeout = \"200ms\"\noperations = 1000000000000\n";

/// Operations end first.
const FEW: &str = "[limits.plugin]\noperations = 100000\n";

/// What comes of this body. It must come soon.
async fn attack(body: &str) -> String {
    attack_under(TIGHT, body).await
}

async fn attack_under(config: &str, body: &str) -> String {
    let script =
        format!("tool(#{{ name: \"t\", description: \"d\", run: |args, ctx| {{ {body} }} }});");
    let plugin = load_or_panic(&file(&script), &host_with(config).await);
    let begun = Instant::now();
    let result = plugin.call(HandlerId(0), json!({}), Turn::start().context()).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{body} took {:?}", begun.elapsed());
    show(&result)
}

#[tokio::test]
async fn endless_loops_end() {
    let too_long =
        "limit: the script ran longer than 0.2 s, its limit: `timeout` in `[limits.plugin]`";
    for body in ["loop {}", "sleep(3600)", "loop { try { throw 1 } catch { continue } }"] {
        assert_eq!(attack_under(SHORT, body).await, too_long, "{body}");
    }
    let too_many = "limit: the script took more than 100000 operations, its limit: `operations` in `[limits.plugin]`";
    for body in ["loop {}", "[1].map(|x| { loop {} })"] {
        assert_eq!(attack_under(FEW, body).await, too_many, "{body}");
    }
}

#[tokio::test]
async fn deep_recursion_ends() {
    let script = "fn down(n) { 1 + down(n + 1) }\n\
                  tool(#{ name: \"t\", description: \"d\", run: || down(0) });";
    let plugin = load_or_panic(&file(script), &host_with(TIGHT).await);
    let result = plugin.call(HandlerId(0), json!({}), Turn::start().context()).await;
    assert_snapshot!(show(&result), @"limit: the script called itself or others deeper than 64 levels, its limit: `call_depth` in `[limits.plugin]`");
}

#[tokio::test]
async fn growing_values_end() {
    for body in [
        "let s = \"x\"; loop { s += s; }",
        "let s = \"x\"; s.pad(1000000000, \"x\"); s",
        "let s = \"x\"; s.pad(4000000, \"x\"); let t = s; s.replace(\"x\", t); s",
        "let s = \"x\"; s.pad(4000000, \"x\"); regex_replace(s, \"x\", s)",
        "let a = [\"x\"]; a.pad(90000, \"0123456789012345678901234567890123456789012345678901234567890123456789\"); join(a, \",\")",
        "let a = [1]; loop { a += a; }",
        "let a = [1]; loop { a.push(a); }",
        "let b = blob(1000000000); b",
        "let m = #{}; let i = 0; loop { m[i.to_string()] = i; i += 1; }",
        "let m = #{}; let add = |k| { m[k] = k; }; let i = 0; loop { add.call(i.to_string()); i += 1; }",
        "let a = []; a.pad(100000, 0); let m = #{}; let i = 0; loop { m[i.to_string()] = a; i += 1; }",
        "let a = []; a.pad(100000, 0); let b = a; let i = 0; loop { b[i] = a; i += 1; }",
        "let s = \"x\"; s.pad(4000000, \"x\"); let m = #{}; let i = 0; loop { m[i.to_string()] = s + i; i += 1; }",
        "let a = []; loop { a = [a]; }",
        "let m = #{}; loop { m = #{ a: m }; }",
        "let f = || 0; loop { let g = f; f = || g; }",
        "let f = || 0; loop { let g = f; let h = f; f = || { g; h }; }",
        "let f = || 0; loop { let g = [f]; let h = [f]; f = || { g; h }; }",
    ] {
        let outcome = attack(body).await;
        assert!(outcome.starts_with("limit: "), "{body}\n{outcome}");
    }
}

#[tokio::test]
async fn limits_are_told_with_their_setting() {
    assert_snapshot!(attack_under("", "let s = \"x\"; loop { s += s; }").await, @"limit: a string is longer than 4 MiB, the limit: `string_bytes` in `[limits.plugin]`");
    assert_snapshot!(attack_under("", "let a = [1]; loop { a += a; }").await, @"limit: an array or map has more than 100000 entries, the limit: `entries` in `[limits.plugin]`");
    assert_snapshot!(attack_under("", "let m = #{}; let i = 0; loop { m[i.to_string()] = i; i += 1; }").await, @"limit: an array or map has more than 100000 entries, the limit: `entries` in `[limits.plugin]`");
    assert_snapshot!(attack_under("", "let a = []; loop { a = [a]; }").await, @"limit: a value nests deeper than 128 levels, the limit");
    assert_snapshot!(
        attack_under("", "let a = []; a.pad(100000, 0); let b = a; let i = 0; loop { b[i] = a; i += 1; }").await,
        @"limit: the script holds more than 128 MiB of values, its limit: 32 times `string_bytes` in `[limits.plugin]`"
    );
}

#[tokio::test]
async fn loading_has_limits_too() {
    let host = host_with(FEW).await;
    let errors = load(&file("let x = 1;\nloop {}"), &host).err().unwrap();
    assert_snapshot!(show_errors(&errors), @"plugins/test.rhai:2:6: loading was stopped: the script took more than 100000 operations, its limit: `operations` in `[limits.plugin]` (do the work in a handler, and only register at the top)");
}

#[tokio::test]
async fn a_call_waits_for_a_free_thread_within_its_time() {
    let host = host_with("[limits.plugin]\ntimeout = \"1s\"\nthreads = 1\n").await;
    let script = "tool(#{ name: \"t\", description: \"d\", parameters: #{ s: #{ type: \"number\" } }, \
                  run: |args| { sleep(args.s); 1 } });";
    let plugin = load_or_panic(&file(script), &host);
    let turn = Turn::start();
    let call =
        |seconds: f64| plugin.clone().call(HandlerId(0), json!({ "s": seconds }), turn.context());
    let (one, two) = tokio::join!(call(0.05), call(0.05));
    assert_eq!((show(&one), show(&two)), ("1".to_owned(), "1".to_owned()));
    // The second may just get the thread when the first is stopped. The third cannot.
    let (one, _, three) = tokio::join!(call(60.0), call(60.0), call(0.0));
    assert_snapshot!(show(&one), @"limit: the script ran longer than 1 s, its limit: `timeout` in `[limits.plugin]`");
    assert_snapshot!(show(&three), @"limit: all 1 threads for scripts were busy all the time: `threads` in `[limits.plugin]`");
}

#[tokio::test]
async fn a_tool_has_a_limit_of_its_own() {
    let script = "tool(#{ name: \"t\", description: \"d\", timeout: 0.05, run: || sleep(60) });";
    let plugin = load_or_panic(&file(script), &host_with("").await);
    let result = plugin.call(HandlerId(0), json!({}), Turn::start().context()).await;
    assert_snapshot!(show(&result), @"limit: the tool took longer than 0.05 s, its `timeout`");
}

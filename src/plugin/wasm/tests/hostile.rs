//! What a plugin may try, and how it ends: within its limit, and with a text.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use serde_json::json;

use super::{Turn, call, file, host, host_with, load_or_panic, outcome};
use crate::{
    plugin::{CallError, HandlerId},
    tests::guest::{self, RETURN, answer, one_tool},
};

const SHORT: &str = "[limits.plugin]\ntimeout = '200ms'";

/// What this code gives where a call has 200 ms, and how long it takes.
async fn within(code: &str) -> (String, Duration) {
    let bytes = guest::plugin(&one_tool(), code);
    within_of(&bytes).await
}

async fn within_of(bytes: &[u8]) -> (String, Duration) {
    let plugin = load_or_panic(&file(bytes), &host_with(SHORT).await);
    let begun = Instant::now();
    (call(&plugin, json!({})).await, begun.elapsed())
}

#[tokio::test]
async fn an_endless_loop_ends_within_its_time() {
    let (result, took) = within(&format!("(loop $for_ever (br $for_ever)) {RETURN}")).await;
    assert_snapshot!(result, @"limit: the component ran longer than 0.2 s, its limit: `timeout` in `[limits.plugin]`");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_sleep_ends_within_its_time() {
    let bytes = guest::plugin_with(
        &one_tool(),
        "import wasi:clocks/monotonic-clock@0.2.0; import wasi:io/poll@0.2.0;",
        r#"(import "wasi:clocks/monotonic-clock@0.2.0" "subscribe-duration" (func $alarm (param i64) (result i32)))
           (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $wait (param i32)))"#,
        &format!("(call $wait (call $alarm (i64.const 60000000000))) {RETURN}"),
    );
    let (result, took) = within_of(&bytes).await;
    assert_snapshot!(result, @"limit: the component ran longer than 0.2 s, its limit: `timeout` in `[limits.plugin]`");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn memory_has_a_limit() {
    let hog = format!(
        "(loop $more (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable)) (br $more)) {RETURN}"
    );
    assert_snapshot!(outcome(&hog).await, @"limit: the component wanted more than 128 MiB of memory, its limit: `memory` in `[limits.plugin]`");
    let small = host_with("[limits.plugin]\nmemory = 1048576").await;
    let plugin = load_or_panic(&file(&guest::plugin(&one_tool(), &hog)), &small);
    assert_snapshot!(call(&plugin, json!({})).await, @"limit: the component wanted more than 1 MiB of memory, its limit: `memory` in `[limits.plugin]`");
}

#[tokio::test]
async fn the_stack_has_a_limit() {
    let bytes = guest::plugin_with(
        &one_tool(),
        "",
        "(func $deeper (param i32) (result i32) (i32.add (call $deeper (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))",
        &format!("(drop (call $deeper (i32.const 0))) {RETURN}"),
    );
    let plugin = load_or_panic(&file(&bytes), &host().await);
    assert_snapshot!(call(&plugin, json!({})).await, @"limit: the component called itself too deeply");
}

#[tokio::test]
async fn a_huge_output_is_not_taken() {
    let huge = "(drop (memory.grow (i32.const 500)))
        (call $answer (i32.const 0) (i32.const 0) (i32.const 30000000))";
    assert_snapshot!(outcome(huge).await, @"limit: the component gave more than 4194304 bytes at once, the limit: `string_bytes` in `[limits.plugin]`");
    let huge_argument = "(drop (memory.grow (i32.const 500)))
        (call $invoke (i32.const 0) (i32.const 30000000) (i32.const 0) (i32.const 0) (i32.const 64)) (i32.const 64)";
    assert_snapshot!(outcome(huge_argument).await, @"limit: the component gave more than 4194304 bytes at once, the limit: `string_bytes` in `[limits.plugin]`");
}

#[tokio::test]
async fn bytes_that_are_no_text_and_addresses_that_are_none_are_errors() {
    let no_text = "(i32.store8 (i32.const 512) (i32.const 255)) (call $answer (i32.const 0) (i32.const 512) (i32.const 1))";
    assert_snapshot!(outcome(no_text).await, @"thrown: the component failed: invalid utf-8 sequence of 1 bytes from index 0");
    let nowhere = "(call $answer (i32.const 0) (i32.const -8) (i32.const 100))";
    assert_snapshot!(outcome(nowhere).await, @"thrown: the component failed: string pointer/length out of bounds of memory");
    assert_snapshot!(outcome("(i32.const -4)").await, @"thrown: the component failed: pointer out of bounds of memory");
}

#[tokio::test]
async fn a_trap_is_an_error_of_the_tool_also_in_the_middle_of_a_host_call() {
    assert_snapshot!(outcome("unreachable").await, @"thrown: the component stopped itself, as after a panic: its log says more");
    // The host asks the guest for memory to put its answer in, and there the guest wants too much and traps.
    let code = r"(global.set $heap (i32.const 0x7fffffff))
        (i32.store8 (i32.const 512) (i32.const 91)) (i32.store8 (i32.const 513) (i32.const 93))
        (i32.store8 (i32.const 520) (i32.const 110)) (i32.store8 (i32.const 521) (i32.const 111)) (i32.store8 (i32.const 522) (i32.const 119))
        (call $invoke (i32.const 520) (i32.const 3) (i32.const 512) (i32.const 2) (i32.const 64)) (i32.const 64)";
    assert_snapshot!(outcome(code).await, @"limit: the component wanted more than 128 MiB of memory, its limit: `memory` in `[limits.plugin]`");
}

#[tokio::test]
async fn host_calls_in_a_tight_loop_end() {
    let code = format!(
        r"(i32.store8 (i32.const 512) (i32.const 91)) (i32.store8 (i32.const 513) (i32.const 93))
        (i32.store8 (i32.const 520) (i32.const 110)) (i32.store8 (i32.const 521) (i32.const 111)) (i32.store8 (i32.const 522) (i32.const 119))
        (loop $again
            (global.set $heap (i32.const 131072))
            (call $invoke (i32.const 520) (i32.const 3) (i32.const 512) (i32.const 2) (i32.const 64))
            (br $again)) {RETURN}"
    );
    let (result, took) = within(&code).await;
    assert!(result.starts_with("limit: the component"), "{result}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn what_is_cancelled_stops() {
    let bytes = guest::plugin(&one_tool(), &format!("(loop $for_ever (br $for_ever)) {RETURN}"));
    let plugin = load_or_panic(&file(&bytes), &host().await);
    let turn = Turn::start();
    let context = turn.context();
    let cancelled = context.cancelled.clone();
    let running = plugin.call(HandlerId(0), json!({}), context);
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        cancelled.cancel();
    };
    let (result, ()) = tokio::join!(running, cancel);
    assert!(matches!(result, Err(CallError::Cancelled)));
}

#[tokio::test]
async fn one_that_spins_keeps_no_other_from_running() {
    let host = host_with("[limits.plugin]\ntimeout = '2s'").await;
    let spinning = guest::plugin(&one_tool(), &format!("(loop $for_ever (br $for_ever)) {RETURN}"));
    let spinning = load_or_panic(&file(&spinning), &host);
    let quick = load_or_panic(&file(&guest::plugin(&one_tool(), &answer("1"))), &host);
    let turns: Vec<_> = (0..8).map(|_| Turn::start()).collect();
    let hostile =
        turns.iter().map(|turn| spinning.clone().call(HandlerId(0), json!({}), turn.context()));
    let hostile = futures::future::join_all(hostile);
    let good = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let begun = Instant::now();
        for _ in 0..5 {
            assert_eq!(call(&quick, json!({})).await, "1");
        }
        begun.elapsed()
    };
    let (results, took) = tokio::join!(hostile, good);
    assert!(results.iter().all(Result::is_err));
    assert!(took < Duration::from_millis(1900), "the good ones took {took:?}");
}

#[tokio::test]
async fn hostile_calls_leave_nothing_behind() {
    let hog = format!(
        "(loop $more (if (i32.eq (memory.grow (i32.const 64)) (i32.const -1)) (then unreachable))
            (memory.fill (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4194304)) (i32.const 7)
                (i32.const 4194304))
            (br $more)) {RETURN}"
    );
    let plugin = load_or_panic(&file(&guest::plugin(&one_tool(), &hog)), &host().await);
    let run = async || assert!(call(&plugin, json!({})).await.starts_with("limit: "));
    run().await;
    let before = resident();
    for _ in 0..16 {
        run().await;
    }
    let grown = resident().saturating_sub(before);
    // Each has used 128 MiB; other tests run beside this one.
    assert!(grown < 768 << 20, "{grown} bytes more are in use");
}

/// The memory of this process, in bytes, where the system tells.
fn resident() -> usize {
    let status = std::fs::read("/proc/self/statm").unwrap_or_default();
    let pages = String::from_utf8_lossy(&status).split(' ').nth(1).and_then(|it| it.parse().ok());
    pages.unwrap_or(0_usize) * 4096
}

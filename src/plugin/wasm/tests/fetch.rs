//! `wasi:http`, as the standard libraries of guests use it.

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use insta::assert_snapshot;
use serde_json::json;

use super::{call, file, host_with, load_or_panic};
use crate::tests::guest::{self, one_tool};

/// A plugin that fetches `http://AUTHORITY/cats?all=1` where its argument is `{"a":"AUTHORITY"}`, and gives the body as it
/// is, or the text of the error. It may fetch from `permitted`.
fn fetcher(permitted: &str) -> Vec<u8> {
    let describe =
        one_tool().replacen('{', &format!(r#"{{"permissions":{{"http":["{permitted}"]}},"#), 1);
    let imports = "import wasi:http/types@0.2.0; import wasi:http/outgoing-handler@0.2.0;
        import wasi:io/streams@0.2.0; import wasi:io/poll@0.2.0;";
    let code = r#"
        (import "wasi:http/types@0.2.0" "[constructor]fields" (func $fields (result i32)))
        (import "wasi:http/types@0.2.0" "[constructor]outgoing-request" (func $request (param i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-scheme"
            (func $scheme (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-authority"
            (func $authority (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types@0.2.0" "[method]outgoing-request.set-path-with-query"
            (func $path (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/outgoing-handler@0.2.0" "handle" (func $handle (param i32 i32 i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]future-incoming-response.subscribe"
            (func $subscribe (param i32) (result i32)))
        (import "wasi:io/poll@0.2.0" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:http/types@0.2.0" "[method]future-incoming-response.get" (func $get (param i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]incoming-response.consume" (func $consume (param i32 i32)))
        (import "wasi:http/types@0.2.0" "[method]incoming-body.stream" (func $stream (param i32 i32)))
        (import "wasi:io/streams@0.2.0" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
        (data (i32.const 8192) "/cats?all=1")"#;
    let call = r"
        (local.set $i (call $request (call $fields)))
        (drop (call $scheme (local.get $i) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $authority (local.get $i) (i32.const 1)
            (i32.add (local.get $arg) (i32.const 6)) (i32.sub (local.get $arg_len) (i32.const 8))))
        (drop (call $path (local.get $i) (i32.const 1) (i32.const 8192) (i32.const 11)))
        (call $handle (local.get $i) (i32.const 0) (i32.const 0) (i32.const 256))
        (local.set $i (i32.load (i32.const 264)))
        (call $block (call $subscribe (local.get $i)))
        (call $get (local.get $i) (i32.const 256))
        ;; The error `internal-error`, with a text.
        (if (i32.load8_u (i32.const 272)) (then
            (return (call $answer (i32.const 1) (i32.load (i32.const 292)) (i32.load (i32.const 296))))))
        (call $consume (i32.load (i32.const 280)) (i32.const 256))
        (call $stream (i32.load (i32.const 260)) (i32.const 256))
        (call $read (i32.load (i32.const 260)) (i64.const 1000) (i32.const 256))
        (call $answer (i32.const 0) (i32.load (i32.const 260)) (i32.load (i32.const 264)))";
    guest::plugin_with(&describe, imports, code, call)
}

/// What the plugin gives that may fetch from `permitted`, in which `ADDRESS` is the server's, and the first line of what a server was sent that answers so.
async fn fetch(permitted: &str, allowed: &str, answer: &'static str) -> (String, String) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    // It ends with its one answer.
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let len = stream.read(&mut request).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..len]).lines().next().unwrap_or_default().to_owned()
    });
    let host = host_with(&format!("[plugins]\nallow_addresses = [{allowed}]")).await;
    let plugin = load_or_panic(&file(&fetcher(&permitted.replace("ADDRESS", &authority))), &host);
    let result = call(&plugin, json!({ "a": authority })).await;
    // Where nothing was fetched it still waits.
    let _ = std::net::TcpStream::connect(&authority);
    (result.replace(&authority, "ADDRESS"), server.join().unwrap())
}

#[tokio::test]
async fn wasi_http_goes_out_where_it_is_permitted() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n{\"cats\":[]}";
    let (result, request) = fetch("http://ADDRESS", "'127.0.0.1'", answer).await;
    assert_snapshot!(result, @r#"{"cats":[]}"#);
    assert_eq!(request, "GET /cats?all=1 HTTP/1.1");
}

#[tokio::test]
async fn wasi_http_has_the_checks_of_ctx_http() {
    let (result, request) = fetch("example.org", "'127.0.0.1'", "").await;
    assert_snapshot!(result, @"thrown: plugin `guest` may not fetch `http://ADDRESS`: add `http://ADDRESS` to `permissions.http` in plugins/guest.wasm");
    assert_eq!(request, "");
    let (result, request) = fetch("http://ADDRESS", "", "").await;
    assert_snapshot!(result, @"thrown: plugin `guest` may not reach `http://ADDRESS`: it is not on the public internet, where only the operator lets plugins go; add `ADDRESS` to `allow_addresses` of `[plugins]` in kitfox.toml");
    assert_eq!(request, "");
}

#[tokio::test]
async fn a_redirect_is_an_answer_to_wasi_http() {
    let answer = "HTTP/1.1 302 Found\r\nlocation: http://10.0.0.1/\r\ncontent-length: 6\r\nconnection: close\r\n\r\n\"over\"";
    let (result, _) = fetch("http://ADDRESS", "'127.0.0.1'", answer).await;
    assert_snapshot!(result, @r#""over""#);
}

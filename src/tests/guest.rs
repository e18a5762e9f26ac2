//! Components, made from WIT and a little assembly.

use std::fmt::Write;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const CONTRACT: &str = include_str!("../../plugins/kitfox.wit");

const WASI: &str = include_str!("fixtures/wasi.wit");

/// The answer of a host call is where that of `call` is: a guest that has nothing to add returns it.
pub const RETURN: &str = "(i32.const 64)";

/// A component of this world, whose core module is `module`.
pub fn component(wit: &str, world: &str, module: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_str("kitfox.wit", CONTRACT).unwrap();
    resolve.push_str("wasi.wit", WASI).unwrap();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(module).unwrap_or_else(|err| panic!("{err}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// A component of our world that describes itself so, and whose `call` is this code. It has the locals `$tag`,
/// `$name`, `$name_len`, `$arg` and `$arg_len`, and ends with where the result is.
pub fn plugin(describe: &str, call: &str) -> Vec<u8> {
    plugin_with(describe, "", "", call)
}

/// The same, which imports more: as WIT, and as assembly.
pub fn plugin_with(describe: &str, imports: &str, code: &str, call: &str) -> Vec<u8> {
    let describe_len = describe.len();
    let describe = escape(describe.as_bytes());
    let module = format!(
        r#"(module
        (import "kitfox:plugin/host@0.1.0" "invoke" (func $invoke (param i32 i32 i32 i32 i32)))
        {code}
        (memory (export "memory") 4)
        (global $heap (mut i32) (i32.const 131072))
        (data (i32.const 1024) "{describe}")
        (func $realloc (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32)
            (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
            (global.set $heap (i32.add (local.get $at) (local.get $size)))
            (block $fits (loop $grow
                (br_if $fits (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
                (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
                (br $grow)))
            (local.get $at))
        (func (export "describe") (result i32)
            (i32.store (i32.const 16) (i32.const 1024))
            (i32.store (i32.const 20) (i32.const {describe_len}))
            (i32.const 16))
        (func $answer (param $failed i32) (param $at i32) (param $len i32) (result i32)
            (i32.store8 (i32.const 64) (local.get $failed))
            (i32.store (i32.const 68) (local.get $at))
            (i32.store (i32.const 72) (local.get $len))
            (i32.const 64))
        (func (export "call") (param $tag i32) (param $name i32) (param $name_len i32) (param $arg i32)
            (param $arg_len i32) (result i32)
            (local $i i32)
            {call}))"#
    );
    let wit = format!(
        "package test:guest;\nworld guest {{ include kitfox:plugin/plugin@0.1.0; {imports} }}"
    );
    component(&wit, "guest", &module)
}

/// A plugin that does what its argument says: it calls the member `m` of `ctx` with the arguments `a`, and gives what
/// that gives.
pub fn forwarder(describe: &str) -> Vec<u8> {
    plugin(
        describe,
        r"(local.set $i (i32.add (local.get $arg) (i32.const 6)))
        (block $end (loop $scan
            (br_if $end (i32.eq (i32.load8_u (local.get $i)) (i32.const 34)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $scan)))
        (call $invoke
            (i32.add (local.get $arg) (i32.const 6))
            (i32.sub (local.get $i) (i32.add (local.get $arg) (i32.const 6)))
            (i32.add (local.get $i) (i32.const 6))
            (i32.sub
                (i32.add (local.get $arg) (local.get $arg_len))
                (i32.add (local.get $i) (i32.const 7)))
            (i32.const 64))
        (i32.const 64)",
    )
}

/// The registration of a plugin with one tool that takes anything.
pub fn one_tool() -> String {
    r#"{"name":"guest","tools":[{"name":"t","description":"d","parameters":{"type":"object"}}]}"#
        .to_owned()
}

/// Code that answers with this text.
pub fn answer(text: &str) -> String {
    let mut code = String::new();
    for (index, byte) in text.bytes().enumerate() {
        writeln!(code, "(i32.store8 (i32.const {}) (i32.const {byte}))", 512 + index).unwrap();
    }
    format!("{code} (call $answer (i32.const 0) (i32.const 512) (i32.const {}))", text.len())
}

/// Bytes as a text of assembly.
fn escape(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "\\{byte:02x}").unwrap();
        text
    })
}

/// A component of another world, of which each function takes a list and gives it back. Lists of whatever are an
/// address and a length, so they share their code.
pub fn lists(functions: &[(&str, &str)], types: &str) -> Vec<u8> {
    let (mut wit, mut code) = (String::new(), String::new());
    for (name, ty) in functions {
        writeln!(wit, "{name}: func(x: list<{ty}>) -> list<{ty}>;").unwrap();
        writeln!(code, r#"(export "test:lists/echo#{name}" (func $echo))"#).unwrap();
    }
    let wit = format!(
        "package test:lists;\ninterface echo {{ {types} {wit} }}\nworld lists {{ export echo; }}"
    );
    component(&wit, "lists", &module(&format!(
        "(func $echo (param i32 i32) (result i32)
            (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
        {code}"
    )))
}

/// A core module with memory, and this code.
pub fn module(code: &str) -> String {
    format!(
        r#"(module
        (memory (export "memory") 1)
        (global $heap (mut i32) (i32.const 4096))
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $heap (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
            (global.get $heap)
            (global.set $heap (i32.add (global.get $heap) (local.get 3))))
        {code})"#
    )
}

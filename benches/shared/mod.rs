//! What benchmarks of components have in common.

use std::{fmt::Write, fs};

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../../src/tests/guest.rs"]
pub mod guest;

/// A component of so many functions, of 2.7 KB each. It exports the first, `f: func(x: u32) -> u32`.
pub fn large(functions: usize) -> Vec<u8> {
    let mut code = String::new();
    for index in 0..functions {
        write!(code, "(func $f{index} (param i32) (result i32) (local.get 0)").unwrap();
        for step in 0..300 {
            let constant = index * 7919 + step * 104_729;
            write!(code, "(i32.mul (i32.xor (i32.const {constant})) (local.get 0))").unwrap();
        }
        code.push(')');
    }
    code.push_str("(export \"f\" (func $f0))");
    let wit = "package bench:large;\nworld large { export f: func(x: u32) -> u32; }";
    guest::component(wit, "large", &guest::module(&code))
}

/// The memory of this process, in bytes, where the system tells.
pub fn resident() -> usize {
    let status = fs::read("/proc/self/statm").unwrap_or_default();
    let pages = String::from_utf8_lossy(&status).split(' ').nth(1).and_then(|it| it.parse().ok());
    pages.unwrap_or(0_usize) * 4096
}

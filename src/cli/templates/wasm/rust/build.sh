#!/bin/sh
# Needs rustup (https://rustup.rs).
set -e
cd "$(dirname "$0")"
rustup target add wasm32-wasip2
cargo build --release --target wasm32-wasip2
cp target/wasm32-wasip2/release/TOOL.wasm ../../plugins/NAME.wasm

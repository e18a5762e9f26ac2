#!/bin/sh
# Needs rustup (https://rustup.rs).
set -e
cd "$(dirname "$0")"
mkdir -p ../../plugins
rustup target add wasm32-wasip2
cargo build --release --target wasm32-wasip2 --target-dir target
cp target/wasm32-wasip2/release/plugin_TOOL.wasm ../../plugins/NAME.wasm

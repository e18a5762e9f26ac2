#!/bin/sh
set -e
cd "$(dirname "$0")"
cargo test --target-dir target

#!/bin/sh
# Needs clang and a C library for WASI (Debian: clang lld wasi-libc libclang-rt-dev-wasm32), and Node.js.
# With wasi-sdk: CC=$WASI_SDK/bin/clang SYSROOT=$WASI_SDK/share/wasi-sysroot sh build.sh
set -e
cd "$(dirname "$0")"
mkdir -p build ../../plugins
"${CC:-clang}" --target=wasm32-wasi --sysroot="${SYSROOT:-/usr}" -mexec-model=reactor -Os -Wall -Wextra \
  -Wl,--strip-all -o build/core.wasm plugin.c json.c component.c
jco() { npx --yes @bytecodealliance/jco@1.15.1 "$@"; }
jco embed build/core.wasm --wit wit --world-name kitfox:plugin/plugin -o build/embedded.wasm
jco new build/embedded.wasm --wasi-reactor -o ../../plugins/NAME.wasm

#!/bin/sh
set -e
cd "$(dirname "$0")"
mkdir -p build
"${CC:-clang}" -g -Wall -Wextra -o build/test test.c plugin.c json.c
build/test

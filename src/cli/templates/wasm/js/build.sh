#!/bin/sh
# Needs Node.js (https://nodejs.org).
set -e
cd "$(dirname "$0")"
npx --yes componentize-qjs@0.4.5 --sync --opt-size --wit wit/kitfox.wit --world plugin --js plugin.js \
  --output ../../plugins/NAME.wasm

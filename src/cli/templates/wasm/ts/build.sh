#!/bin/sh
# Needs Node.js 20 or later (https://nodejs.org).
set -e
cd "$(dirname "$0")"
mkdir -p ../../plugins
npm install --silent --no-fund --no-audit
npx esbuild plugin.ts --bundle --format=esm "--external:kitfox:*" --outfile=build/plugin.js --log-level=warning
npx componentize-qjs --sync --opt-size --wit wit/kitfox.wit --world plugin --js build/plugin.js \
  --output ../../plugins/NAME.wasm

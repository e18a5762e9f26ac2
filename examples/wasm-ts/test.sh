#!/bin/sh
set -e
cd "$(dirname "$0")"
npm install --silent --no-fund --no-audit
npx tsc
npx esbuild tools.test.ts --bundle --platform=node --format=esm --outfile=build/tools.test.mjs --log-level=warning
node --test build/tools.test.mjs

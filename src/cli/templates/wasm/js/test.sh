#!/bin/sh
set -e
cd "$(dirname "$0")"
node --test tools.test.js

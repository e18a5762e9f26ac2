#!/bin/sh
# Needs Python 3.10 or later.
set -e
cd "$(dirname "$0")"
mkdir -p plugins
python3 -m venv .venv
.venv/bin/pip install --quiet componentize-py==0.25.1
.venv/bin/componentize-py -d ../../plugins/kitfox.wit -w plugin componentize plugin -o plugins/texts.wasm

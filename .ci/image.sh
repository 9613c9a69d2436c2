#!/usr/bin/env bash
# Builds the container image without a container engine or an image registry, runs it, and ends with `N passed, N failed`.
# The two base images of the Dockerfile are made here, from Debian's archive and the bun of this machine, and kept in .cache/.
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot

store=$PWD/.cache/containers
buildah=(buildah --root "$store/storage" --runroot "$store/run" --storage-driver vfs)
image=localhost/condarium:test
bun=(npx -y bun@1.4.5)
debian=docker.io/library/debian:bookworm-slim
oven=docker.io/oven/bun:1.4.5
room=$(mktemp -d)
data=$room/data
passed=0
failed=0
finished=no
trap finish EXIT

main() {
  mkdir -p "$store/run"
  # A run that was cut off may have left its container.
  "${buildah[@]}" rm --all >/dev/null
  make_base_images
  # A build that fails must not be followed by checks of an older image.
  "${buildah[@]}" rmi $image >/dev/null 2>&1 || true
  check "the image is built" build_image
  port=$("${bun[@]}" -e 'const s = Bun.serve({ port: 0, fetch: () => new Response() }); console.log(s.port); s.stop()')
  url=http://127.0.0.1:$port
  container=$("${buildah[@]}" from --pull-never $image)
  root=$("${buildah[@]}" mount "$container")

  check "it runs as a numbered user" test "$(config '{{.User}}')" = 10001:10001
  check "it declares its volume" test "$(config '{{range $path, $_ := .Volumes}}{{$path}} {{end}}')" = "/data "
  check "it declares its port" test "$(config '{{range $port, $_ := .ExposedPorts}}{{$port}} {{end}}')" = "8080/tcp "
  check "its environment holds its settings and no secret" test "$(config '{{range .Env}}{{.}}{{"\n"}}{{end}}' | grep -v ^PATH=)" = \
    "$(printf "CONDARIUM_DATA=/data\nCONDARIUM_LISTEN=0.0.0.0:8080")"
  check "only the folders for temporary files are writable for all" test "$(writable_for_all)" = "/run/lock /tmp /var/tmp"
  check "its data folder is its user's alone" test "$(stat -c "%u:%g %a" "$root/data")" = "10001:10001 700"

  # What an engine does with `--volume`: the folder takes the place of the declared volume.
  "${buildah[@]}" config --volume /data- "$container" >/dev/null
  install -d -m 0700 -o 10001 -g 10001 "$data"
  first_run
  second_run
  finished=yes
}

first_run() {
  check "it serves" start_server
  check "the server does not run as root" grep -q "^Uid:	10001	10001	10001	10001$" "/proc/$server/status"
  check "its health check passes" health_check
  local password
  password=$(sed -n "s/^ *password: //p" "$room/out")
  "${bun[@]}" -e 'import { buildPackage } from "./test/support/package-builder.ts";
    await Bun.write(process.argv[1], buildPackage({ name: "hello", version: "1.0" }).bytes);' "$room/hello-1.0-0.conda"
  check "a package is published from outside" curl --silent --fail-with-body --noproxy "*" --output "$room/answer" \
    --user "admin:$password" --upload-file "$room/hello-1.0-0.conda" "$url/api/packages/admin/conda/main/"
  check "and read back" same_package
  check "py-rattler installs what rattler-build made" "${bun[@]}" test/e2e/install-from.ts "$url" "$password"
  check "the data is in the volume" test -f "$data/condarium.db" -a -n "$(find "$data/blobs" -type f)"
  check "and belongs to the image's user alone" test -z "$(find "$data" ! -uid 10001 -o -perm /077)"
  # buildah marks a container with a file of its own.
  check "nothing is written beside the volume" \
    test "$(find "$root" -xdev -type f -newer "$room/started" ! -name .containerenv -printf "%P ")" = ""
  check "it stops when it is told to" stop_server
  check "its health check fails then" fails health_check
}

second_run() {
  check "it starts again on the same volume" start_server
  check "and makes no second administrator" fails grep -q password "$room/out"
  check "the package is still there" same_package
  check "and in the index" test "$(curl --silent --noproxy "*" "$url/admin/main/noarch/repodata.json" | grep -c hello-1.0-0.conda)" -gt 0
  check "it stops again" stop_server
}

make_base_images() {
  local base
  if ! have $debian; then
    mmdebstrap --quiet --variant=minbase bookworm "$room/rootfs.tar"
    base=$("${buildah[@]}" from scratch)
    "${buildah[@]}" add --quiet "$base" "$room/rootfs.tar" / >/dev/null
    "${buildah[@]}" config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$base"
    "${buildah[@]}" commit --quiet --rm --format docker "$base" $debian >/dev/null
  fi
  if ! have $oven; then
    base=$("${buildah[@]}" from --pull-never $debian)
    "${buildah[@]}" copy --quiet "$base" "$("${bun[@]}" -e 'console.log(process.execPath)')" /usr/local/bin/bun >/dev/null
    "${buildah[@]}" commit --quiet --rm --format docker "$base" $oven >/dev/null
  fi
}

have() {
  "${buildah[@]}" inspect --type image "$1" >/dev/null 2>&1
}

# The packages come from the cache that `bun install` has filled here, so that the build needs no settings of the network.
build_image() {
  "${bun[@]}" install --frozen-lockfile >/dev/null 2>&1
  "${buildah[@]}" build --quiet --pull=never --network host --format docker --tag $image \
    --volume "$("${bun[@]}" pm cache):/root/.bun/install/cache:ro" . >"$room/build" 2>&1 || {
    cat "$room/build"
    return 1
  }
}

config() {
  "${buildah[@]}" inspect --type image --format "{{with .Docker.Config}}$1{{end}}" $image
}

# Runs a command in the container, on its volume; only the port differs from the image's, which may be taken here.
in_image() {
  "${buildah[@]}" run --volume "$data:/data" --env "CONDARIUM_LISTEN=0.0.0.0:$port" "$container" -- "$@"
}

health_check() {
  local command
  read -ra command <<<"$(config '{{range .Healthcheck.Test}}{{.}} {{end}}')"
  [ "${command[0]:-}" = CMD ] && in_image "${command[@]:1}" >/dev/null 2>&1
}

start_server() {
  local command
  read -ra command <<<"$(config '{{range .Entrypoint}}{{.}} {{end}}{{range .Cmd}}{{.}} {{end}}')"
  touch "$room/started"
  in_image "${command[@]}" >"$room/out" 2>"$room/err" &
  job=$!
  for _ in $(seq 100); do
    if curl --silent --fail --noproxy "*" --output /dev/null "$url/health/ready"; then
      # The server is the last of the processes between us and it.
      server=$job
      while child=$(pgrep --oldest --parent "$server"); do server=$child; done
      return 0
    fi
    sleep 0.2
  done
  cat "$room/out" "$room/err"
  return 1
}

stop_server() {
  kill -TERM "$server" && wait "$job" && grep -q '"event":"stopped"' "$room/err"
}

same_package() {
  curl --silent --noproxy "*" "$url/admin/main/noarch/hello-1.0-0.conda" | cmp - "$room/hello-1.0-0.conda"
}

writable_for_all() {
  find "$root" -xdev -perm -0002 ! -type l -printf "/%P\n" | grep -v ^/dev/ | sort | tr "\n" " " | sed "s/ $//"
}

fails() {
  ! "$@"
}

# check WHAT COMMAND...
check() {
  if "${@:2}"; then
    passed=$((passed + 1))
    echo "ok: $1"
  else
    failed=$((failed + 1))
    echo "failed: $1"
  fi
}

finish() {
  [ $finished = yes ] || failed=$((failed + 1))
  if [ -n "${server:-}" ]; then kill "$server" 2>/dev/null || true; fi
  if [ -n "${container:-}" ]; then
    "${buildah[@]}" umount "$container" >/dev/null 2>&1 || true
    "${buildah[@]}" rm "$container" >/dev/null 2>&1 || true
  fi
  # What earlier builds of the same name have left takes room.
  "${buildah[@]}" rmi --prune >/dev/null 2>&1 || true
  rm -rf "$room"
  echo "$passed passed, $failed failed"
  [ $failed -eq 0 ] || exit 1
}

main

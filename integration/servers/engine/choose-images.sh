# Which image does a server start from? The one you name; else the one built here before; else the official one; and
# where that cannot be had because no registry answers, one built here from the distribution's packages.

upper() { echo "$1" | tr '[:lower:]' '[:upper:]'; }

official_image() {
  case "$1" in
    redis) echo redis:8 ;;
    valkey) echo valkey/valkey:8 ;;
    postgres) echo postgres:17 ;;
    pgbouncer) echo edoburu/pgbouncer:v1.25.1-p0 ;; # its makers publish none
    etcd) echo gcr.io/etcd-development/etcd:v3.5.21 ;;
    zookeeper) echo zookeeper:3.9 ;;
    *) say "there is no server named $1" && exit 1 ;;
  esac
}

image_for() {
  local named official
  named="ELECT_TEST_$(upper "$1")_IMAGE"
  official=$(official_image "$1") || exit 1
  if [ -n "${!named:-}" ]; then
    echo "${!named}"
  elif have_image "$(built_image)"; then
    built_image
  elif have_image "$official" || pull "$official"; then
    echo "$official"
  else
    say "$official cannot be pulled: $(tail -n 1 "$work/pull.log")"
    build_image
    built_image
  fi
}

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# Without a registry this fails within a second. The limit is for networks that swallow packets.
pull() {
  say "pulling $1"
  local limit=""
  if command -v timeout >/dev/null; then limit="timeout 300"; fi
  $limit docker pull --quiet "$1" >"$work/pull.log" 2>&1
}

# Testcontainers' reaper is an image like any other, and cannot be pulled where we had to build ours.
tell_about_the_reaper() {
  if have_image "$(built_image)"; then
    echo "TESTCONTAINERS_RYUK_DISABLED=true"
  fi
}

#!/usr/bin/env bash
# Makes a container engine and images ready, and prints on standard output what the tests must know:
#
#   ELECT_TEST_REDIS_IMAGE=redis:8
#   …
#
# What it does meanwhile, it says on standard error. Run it as often as you like: it is quick when there is nothing to do.
#
#   ready.sh                  for all servers
#   ready.sh redis postgres   only for these
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { echo "elect: $*" >&2; }

no_way_out() {
  say "$1"
  say "Either start a container engine that 'docker info' reaches, and try again;"
  say "or point to servers of your own: ELECT_TEST_REDIS_URL, ELECT_TEST_VALKEY_URL, ELECT_TEST_POSTGRES_URL,"
  say "ELECT_TEST_ETCD_URL, ELECT_TEST_ZOOKEEPER_URL."
  exit 1
}

. "$here/find-engine.sh"
. "$here/make-engine.sh"
. "$here/choose-images.sh"
. "$here/build-image.sh"

# One at a time: two test runs that begin together must not both install an engine, start it, or build the image.
work="${ELECT_ENGINE_DIR:-${TMPDIR:-/tmp}/elect-engine}"
mkdir -p "$work"
if command -v flock >/dev/null; then
  exec 9>"$work/lock"
  flock 9
fi

engine_answers || make_engine
tell_where_the_engine_is
# Our servers' ports are published there and nowhere else. Testcontainers would look for the host's address, in a container
# by way of an image that it pulls.
echo "TESTCONTAINERS_HOST_OVERRIDE=${TESTCONTAINERS_HOST_OVERRIDE:-127.0.0.1}"
if [ $# = 0 ]; then set -- redis valkey postgres pgbouncer etcd zookeeper; fi
for server; do
  image=$(image_for "$server")
  echo "ELECT_TEST_$(upper "$server")_IMAGE=$image"
done
tell_about_the_reaper

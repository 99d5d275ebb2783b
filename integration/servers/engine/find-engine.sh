# Is there a container engine?

engine_answers() {
  command -v docker >/dev/null && docker info >/dev/null 2>&1
}

# The command line tool may know a place that Testcontainers would not look at.
tell_where_the_engine_is() {
  local address
  address=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) || return 0
  if [ -z "${DOCKER_HOST:-}" ] && [ "$address" != unix:///var/run/docker.sock ]; then
    echo "DOCKER_HOST=$address"
  fi
}

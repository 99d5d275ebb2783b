# No engine answers: make one where that is possible (Debian, as root), or name the ways out.

make_engine() {
  if waiting_helps; then return; fi
  refuse_unless_possible
  install_engine
  # Where services are supervised, the installed one is coming up by itself.
  engine_answers || waiting_helps || start_engine
}

daemon_runs() { ps -e -o comm= | grep -qx dockerd; }

# A daemon that runs without answering may be on its way up or down: give it half a minute.
waiting_helps() {
  local tries=0
  while daemon_runs && [ "$tries" -lt 60 ]; do
    sleep 0.5
    if engine_answers; then return 0; fi
    tries=$((tries + 1))
  done
  return 1
}

refuse_unless_possible() {
  if [ -n "${DOCKER_HOST:-}" ]; then
    no_way_out "DOCKER_HOST is $DOCKER_HOST, and no engine answers there."
  elif daemon_runs; then
    # A second engine would share docker0 with the first, give it a new address, and break the first one's ports.
    no_way_out "An engine runs on this machine, but does not answer this user."
  elif ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    no_way_out "No container engine answers, and one is installed here only on Debian and as root."
  fi
}

install_engine() {
  if ! { command -v dockerd && command -v docker && command -v iptables; } >/dev/null; then
    say "no container engine: installing docker.io"
    apt_install docker.io iptables
  fi
}

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  local wait_for_others="DPkg::Lock::Timeout=300"
  if ! { apt-get update -qq && apt-get install -qq -y --no-install-recommends -o "$wait_for_others" "$@"; } \
    >"$work/apt.log" 2>&1; then
    tail -n 20 "$work/apt.log" >&2
    no_way_out "apt-get cannot install $*; the whole log is $work/apt.log."
  fi
}

# Nothing supervises services in a container or a small virtual machine, so the daemon is started by hand: in a session
# of its own (it outlives this shell, its terminal and a Ctrl-C), and without our lock (it would hold it all its life).
start_engine() {
  say "starting dockerd; its log is $work/dockerd.log"
  setsid nohup dockerd --ip 127.0.0.1 >"$work/dockerd.log" 2>&1 </dev/null 9>&- &
  local daemon=$! tries=0
  until engine_answers; do
    tries=$((tries + 1))
    if ! kill -0 "$daemon" 2>/dev/null || [ "$tries" -gt 240 ]; then
      tail -n 20 "$work/dockerd.log" >&2
      no_way_out "dockerd does not start."
    fi
    sleep 0.25
  done
}

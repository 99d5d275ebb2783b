#!/bin/bash
# The entry point of the built image. The command says which server; commands and variables are those that the official
# images document, as far as the tests use them.
set -euo pipefail

case "${1:-}" in
  postgres)
    if [ "$(id -u)" = 0 ]; then # the server refuses to run as root
      install -d -o postgres -g postgres -m 700 "$PGDATA" /run/postgresql
      exec gosu postgres "$0" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
      initdb --username="${POSTGRES_USER:-postgres}" --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-local=trust \
        --auth-host=scram-sha-256 --encoding=UTF8 --no-locale --no-instructions ${POSTGRES_INITDB_ARGS:-}
      echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    fi
    exec "$@" -c listen_addresses='*'
    ;;
  pgbouncer)
    exec gosu postgres "$@" # refuses to run as root, too
    ;;
  zkServer.sh)
    if [ ! -e /conf/zoo.cfg ]; then
      mkdir -p /conf /data /datalog
      echo "${ZOO_MY_ID:-1}" > /data/myid
      {
        echo "dataDir=/data"
        echo "dataLogDir=/datalog"
        echo "tickTime=${ZOO_TICK_TIME:-2000}"
        echo "initLimit=${ZOO_INIT_LIMIT:-5}"
        echo "syncLimit=${ZOO_SYNC_LIMIT:-2}"
        echo "maxClientCnxns=${ZOO_MAX_CLIENT_CNXNS:-60}"
        echo "standaloneEnabled=${ZOO_STANDALONE_ENABLED:-true}"
        echo "admin.enableServer=${ZOO_ADMINSERVER_ENABLED:-true}"
        echo "4lw.commands.whitelist=${ZOO_4LW_COMMANDS_WHITELIST:-srvr}"
        for line in ${ZOO_SERVERS:-server.1=localhost:2888:3888;2181} ${ZOO_CFG_EXTRA:-}; do echo "$line"; done
      } > /conf/zoo.cfg
    fi
    exec java -cp /usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar ${JVMFLAGS:-} \
      org.apache.zookeeper.server.quorum.QuorumPeerMain /conf/zoo.cfg
    ;;
  *)
    exec "$@"
    ;;
esac

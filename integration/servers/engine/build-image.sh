# One image for all servers, made of Debian packages. Its entry point (image/entrypoint.sh) obeys the commands and
# variables of the official images, so nobody who starts a server has to know which of the two it starts from.

release=trixie # Debian 13: Redis 8.0, Valkey 8.1, PostgreSQL 17, PgBouncer 1.24, etcd 3.5, ZooKeeper 3.9

# Named after what it is made of: a changed recipe is another image.
built_image() {
  echo "elect-servers:$(cat "$here/build-image.sh" "$here/image"/* | cksum | cut -d ' ' -f 1)"
}

build_image() {
  local image started=$SECONDS
  image=$(built_image)
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    no_way_out "No registry answers this engine, and images are built here only on Debian and as root."
  fi
  command -v mmdebstrap >/dev/null || apt_install mmdebstrap
  say "building $image from packages of Debian $release (a minute or two, once)"
  # It gets its name when it is whole: half a tree can be imported, too.
  if ! debian_tree 2>"$work/build.log" | import_as elect-servers:unfinished; then
    tail -n 20 "$work/build.log" >&2
    no_way_out "The image cannot be built; the whole log is $work/build.log."
  fi
  docker tag elect-servers:unfinished "$image"
  docker rmi elect-servers:unfinished >/dev/null
  say "built $image in $((SECONDS - started)) s"
}

# The hooks run on the host; $1 in them is the new root. A Java runtime cannot be configured without man1, and Debian
# would create a database cluster that nobody uses.
# shellcheck disable=SC2016
debian_tree() {
  mmdebstrap --variant=minbase \
    --include="$(grep -v '^#' "$here/image/packages" | paste -sd, -)" \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --essential-hook='mkdir -p "$1/usr/share/man/man1" "$1/etc/postgresql-common"' \
    --essential-hook='echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"' \
    --customize-hook="install -m 755 '$here/image/entrypoint.sh' \"\$1/usr/local/bin/docker-entrypoint.sh\"" \
    "$release" -
}

import_as() {
  local path=/usr/local/sbin:/usr/local/bin:/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin:/sbin:/bin
  docker import \
    --change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
    --change "ENV PATH=$path PGDATA=/var/lib/postgresql/data LANG=C.UTF-8" \
    - "$1" >/dev/null
}

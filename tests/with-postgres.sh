#!/usr/bin/env bash
# with-postgres.sh COMMAND [ARGUMENT...]
#
# Runs COMMAND with UPBEAT_TEST_DATABASE_URL naming a throw-away PostgreSQL: a fresh cluster in a temporary
# directory, on a free port of 127.0.0.1, fast rather than durable. It is gone when COMMAND ends, and
# COMMAND's exit code is this script's. Its programs (psql, createdb, ...) come first in COMMAND's PATH.
# If UPBEAT_TEST_DATABASE_URL is set already, COMMAND runs against that.
# UPBEAT_TEST_POSTGRES_SETTINGS may hold lines for postgresql.conf that overrule those below.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARGUMENT...]" >&2; exit 2; }
[ -z "${UPBEAT_TEST_DATABASE_URL:-}" ] || exec "$@"

say() { echo "with-postgres: $*" >&2; }

# The server programs: those in PATH, else the newest that Debian or Ubuntu keep beside it.
bin=$(command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1 || true)
[ -n "$bin" ] || { say "no PostgreSQL server programs found; install the package postgresql"; exit 1; }
bin=$(dirname "$(readlink -f "$bin")")

# PostgreSQL refuses to run as root, so root lends the cluster to a system user.
parent=${TMPDIR:-/tmp}
as_owner() { (cd "$directory" && exec env LC_ALL=C.UTF-8 "$@"); }
if [ "$(id -u)" = 0 ]; then
    owner=$(id -un postgres 2>/dev/null || echo nobody)
    group=$(id -gn "$owner")
    parent=/tmp # root's own may be closed to the other user
    as_owner() {
        (cd "$directory" &&
            exec setpriv --reuid="$owner" --regid="$group" --init-groups env LC_ALL=C.UTF-8 "$@")
    }
fi

directory=$(mktemp -d "$parent/upbeat-postgres.XXXXXX")
# shellcheck disable=SC2317 # the trap below calls it
stop() {
    [ ! -e "$directory/data/postmaster.pid" ] ||
        as_owner "$bin/pg_ctl" stop --pgdata=data --mode=immediate --silent || say "the server did not stop"
    rm -rf "$directory"
}
trap stop EXIT
# A signal reaches COMMAND too when it comes from a terminal or from timeout(1); here it only must not skip
# the cleaning up.
trap 'exit 130' INT
trap 'exit 143' TERM HUP
[ "$(id -u)" != 0 ] || chown "$owner" "$directory"

as_owner "$bin/initdb" --pgdata=data --username=upbeat --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync \
    >"$directory/initdb.log" 2>&1 || { cat "$directory/initdb.log" >&2; exit 1; }

as_owner tee -a data/postgresql.conf >/dev/null <<SETTINGS
listen_addresses = '127.0.0.1'
unix_socket_directories = '$directory'
max_connections = 300
shared_buffers = 256MB
fsync = off
full_page_writes = off
checkpoint_timeout = 1h
max_wal_size = 4GB
${UPBEAT_TEST_POSTGRES_SETTINGS:-}
SETTINGS

# The start is the only sure test that a port is free: on a collision, another one.
# Below 32768, where the kernel takes no ports for outgoing connections.
for _ in {1..20}; do
    port=$((20000 + RANDOM % 12000))
    as_owner "$bin/pg_ctl" start --pgdata=data --log=server.log --wait --silent --options="-p $port" && break
    port=
done
[ -n "$port" ] || { cat "$directory/server.log" >&2; say "the server did not start"; exit 1; }

export PATH="$bin:$PATH"
export UPBEAT_TEST_DATABASE_URL="postgres://upbeat@127.0.0.1:$port/postgres"
status=0
"$@" || status=$?
exit "$status"

#!/bin/bash
# The part of upstream's entry point that Waybill uses: a server's first start makes the cluster.
set -euo pipefail
if [ "$1" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  user=${POSTGRES_USER:-postgres} database=${POSTGRES_DB:-${POSTGRES_USER:-postgres}}
  initdb -U "$user" -A scram-sha-256 --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:?}") >/dev/null
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  sed -i "s/^#\?listen_addresses.*/listen_addresses = '*'/" "$PGDATA/postgresql.conf"
  if [ "$database" != postgres ]; then
    postgres --single -j postgres <<<"CREATE DATABASE \"$database\"" >/dev/null
  fi
fi
exec "$@"

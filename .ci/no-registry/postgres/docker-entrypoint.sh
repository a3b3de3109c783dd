#!/bin/bash
# The part of upstream's entry point that Waybill uses: a first start makes the cluster and runs the SQL of initdb.d.
set -euo pipefail
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb -U postgres -A scram-sha-256 --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:?}") >/dev/null
  echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
  sed -i "s/^#\?listen_addresses.*/listen_addresses = '*'/" "$PGDATA/postgresql.conf"
  pg_ctl -w start -o "-c listen_addresses=''" >/dev/null
  for file in /docker-entrypoint-initdb.d/*.sql; do
    PGPASSWORD=$POSTGRES_PASSWORD psql -v ON_ERROR_STOP=1 --no-psqlrc -U postgres -d postgres -f "$file"
  done
  pg_ctl -w -m fast stop >/dev/null
fi
exec "$@"

#!/usr/bin/env bash
# Print the variables that make Waybill reachable through the forwarded addresses of a GitHub
# codespace, as `export` lines. Print nothing anywhere else, where 127.0.0.1 is the browser's too.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -n "${CODESPACE_NAME:-}" ] || exit 0

host() { # host VARIABLE: the forwarded host name of a port of .env, or of the shell's own value
  local port=${!1:-$(sed -n "s/^$1=//p" .env)}
  echo "$CODESPACE_NAME-$port.${GITHUB_CODESPACES_PORT_FORWARDING_DOMAIN:-app.github.dev}"
}

shop=$(host ORDER_PORT) otlp=$(host OTLP_HTTP_PORT) traces=$(host TRACES_PORT)
cat <<EXPORTS
export PAGE_OTLP_ENDPOINT="https://$otlp"
export PAGE_TRACES_URL="https://$traces"
export ALLOWED_HOSTS="$shop"
export WAYBILL_ALLOWED_HOSTS="$traces $otlp"
export WAYBILL_CORS_ORIGINS="http://127.0.0.1:* http://localhost:* https://$shop"
EXPORTS

#!/bin/sh
# The entry point of the gateway's image: settles which secrets hold, and becomes `mosaic` with the arguments given. A
# secret that a compose file declares cannot be left out: one that is not given is /dev/null.

set -eu

# Without passwords of one's own, the CA has generated them, and they lie beside the keys.
if [ -c "${STEP_CA_PROVISIONER_PASSWORD_FILE:-}" ]; then
  STEP_CA_PROVISIONER_PASSWORD_FILE=${STEP_CA_PROVISIONER_KEY_JSON_FILE%/*}/provisioner_password
fi
if [ -c "${MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE:-}" ]; then
  MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE=${MOSAIC_GATEWAY_PROVISIONER_KEY_JSON_FILE%/*}/gateway_provisioner_password
fi

# Of a URL in the environment and one in a file, the file's.
if [ -c "${DATABASE_URL_FILE:-}" ]; then unset DATABASE_URL_FILE; fi
if [ -n "${DATABASE_URL_FILE:-}" ]; then unset DATABASE_URL; fi
if [ -c "${MOSAIC_DATABASE_OWNER_URL_FILE:-}" ]; then unset MOSAIC_DATABASE_OWNER_URL_FILE; fi
if [ -n "${MOSAIC_DATABASE_OWNER_URL_FILE:-}" ]; then unset MOSAIC_DATABASE_OWNER_URL; fi
if [ -c "${REDIS_URL_FILE:-}" ]; then unset REDIS_URL_FILE; fi
if [ -n "${REDIS_URL_FILE:-}" ]; then unset REDIS_URL; fi

# Peers reach the port that is published, not the one in here.
if [ -z "${MOSAIC_PUBLIC_URL:-}" ] && [ -n "${MOSAIC_GATEWAY_HOST_PORT:-}" ]; then
  name=${MOSAIC_GATEWAY_NAMES:-localhost}
  name=${name%%,*}
  case $name in *:*) name="[$name]" ;; esac
  export MOSAIC_PUBLIC_URL="https://$name:$MOSAIC_GATEWAY_HOST_PORT"
fi

# It takes this shell's place: the engine's SIGTERM reaches one process alone.
exec node "$(dirname "$0")/bin/mosaic.mjs" "$@"

#!/bin/sh
# Healthy means: a key can be written and read back, and the append-only file takes what is written. PING alone is
# answered by a server whose disk is full.

set -eu

export VALKEYCLI_AUTH="${VALKEY_PASSWORD:-}" REDISCLI_AUTH="${VALKEY_PASSWORD:-}"
if [ -z "${VALKEY_PASSWORD:-}" ]; then unset VALKEYCLI_AUTH REDISCLI_AUTH; fi

cli() { valkey-cli -h 127.0.0.1 -p "${VALKEY_PORT:-6379}" "$@"; }

probe="$$-$(date +%s)"
wrote=$(cli SET mosaic:healthcheck "$probe" EX 60)
found=$(cli GET mosaic:healthcheck)
if [ "$wrote" != OK ] || [ "$found" != "$probe" ]; then
  echo "healthcheck.sh: a key cannot be written and read back: $wrote $found" >&2
  exit 1
fi
case $(cli INFO persistence) in
  *aof_enabled:1*aof_last_write_status:ok*) ;;
  *)
    echo "healthcheck.sh: the append-only file is off or cannot be written" >&2
    exit 1
    ;;
esac

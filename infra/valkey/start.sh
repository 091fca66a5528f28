#!/bin/sh
# Starts Valkey with append-only persistence, and with a password where VALKEY_PASSWORD is set. The settings go in by
# standard input: an argument would show the password to everyone who can list processes.

set -eu

settings() {
  echo "port ${VALKEY_PORT:-6379}"
  echo "bind ${VALKEY_BIND:-* -::*}"
  echo "dir ${VALKEY_DIR:-/data}"
  echo "appendonly yes"
  echo "appendfsync everysec"
  # Whole rewrites are the append-only file's; what is cached may go first where memory runs out, a task may not.
  echo "save \"\""
  echo "maxmemory ${VALKEY_MAXMEMORY:-384mb}"
  echo "maxmemory-policy volatile-lru"
  if [ -n "${VALKEY_PASSWORD:-}" ]; then
    case $VALKEY_PASSWORD in
      *[!A-Za-z0-9._~-]*)
        echo "start.sh: VALKEY_PASSWORD has a character beside A-Z a-z 0-9 . _ ~ -: make one with: openssl rand -hex 32" >&2
        exit 1
        ;;
    esac
    echo "requirepass $VALKEY_PASSWORD"
  else
    # Without a password only loopback is published; Valkey itself would refuse the container's own network.
    echo "protected-mode no"
  fi
}

config=$(settings)
# Not a pipe: the server has to take this shell's place, or nobody would pass the engine's SIGTERM on to it.
exec valkey-server - <<CONFIG
$config
CONFIG

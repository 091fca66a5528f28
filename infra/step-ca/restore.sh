#!/bin/sh
# Brings a certificate authority back from an archive of backup.sh, into an empty STEPPATH, which may be another one than
# before. Everything is unpacked beside its place and compared with the sums in the archive before the first name is
# given; ca.json comes last, so that a CA is either whole or not there. init.sh then boots it as after any other stop.

set -eu
umask 077
LC_ALL=C
export LC_ALL

die() {
  printf 'restore.sh: error: %s\n' "$*" >&2
  exit 1
}

usage() {
  cat <<'HELP'
usage: restore.sh FILE    unpack the archive that backup.sh wrote
       restore.sh -       read it from standard input
       restore.sh --help

STEPPATH is the directory of the CA: a new one, or one that holds nothing.
JQ_BIN is jq or gojq, by default the one on PATH.
HELP
}

case ${1:-} in
  -h | --help)
    usage
    exit 0
    ;;
esac
if [ $# -ne 1 ] || [ -z "$1" ]; then
  usage >&2
  exit 2
fi
if [ -z "${STEPPATH:-}" ]; then die "STEPPATH is not set: set it to the directory that the CA is to have"; fi
jq_bin=${JQ_BIN:-}
if [ -z "$jq_bin" ]; then
  jq_bin=jq
  if ! command -v jq >/dev/null 2>&1; then jq_bin=gojq; fi
fi
command -v -- "$jq_bin" >/dev/null || die "neither jq nor gojq is on PATH: install one, or set JQ_BIN"
archive=$1
if [ "$archive" != - ] && [ ! -f "$archive" ]; then die "$archive is not a file: name an archive of backup.sh"; fi

mkdir -p -- "$STEPPATH"
home=$(cd -- "$STEPPATH" && pwd -P)
for part in config certs secrets gateway templates rotation db; do
  if [ -e "$home/$part" ] && { [ ! -d "$home/$part" ] || [ -n "$(ls -A -- "$home/$part")" ]; }; then
    die "$home/$part is there already, and nothing is overwritten: set STEPPATH to an empty directory, or move the old CA away"
  fi
done

stage=$(mktemp -d "$home/.mosaic-restore.XXXXXX")
trap 'rm -rf -- "$stage"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

bad="is no whole archive of backup.sh; nothing was restored: take another one"
tar -xpf "$archive" -C "$stage" 2>"$stage/.error" || die "$archive $bad ($(head -n 1 "$stage/.error"))"
rm -f -- "$stage/.error"
sums=.mosaic-backup.sha256
if [ ! -s "$stage/$sums" ]; then die "$archive $bad (it has no sums)"; fi
(cd -- "$stage" && sha256sum -c "$sums" >/dev/null 2>&1) || die "$archive $bad (a file differs from its sum)"
rm -f -- "$stage/$sums"

# ca.json and defaults.json name files by their whole path.
before=$("$jq_bin" -r '.root | if type == "array" then .[0] else . end | sub("/certs/[^/]+$"; "")' <"$stage/config/ca.json")
for config in ca.json defaults.json; do
  if [ ! -s "$stage/config/$config" ]; then continue; fi
  # shellcheck disable=SC2016 # a jq program: its variables are jq's
  "$jq_bin" --tab --arg before "$before" --arg now "$home" '
    walk(if type == "string" and startswith($before + "/") then $now + .[($before | length):] else . end)
    ' <"$stage/config/$config" >"$stage/$config"
  mv -f -- "$stage/$config" "$stage/config/$config"
done
find "$stage" -type f -exec sync -- {} + 2>/dev/null || sync

for part in certs secrets gateway templates rotation db config; do
  if [ ! -d "$stage/$part" ]; then continue; fi
  if [ -d "$home/$part" ]; then rmdir -- "$home/$part"; fi
  mv -- "$stage/$part" "$home/$part"
done
printf 'restore.sh: the CA is in %s; start it with init.sh\n' "$home" >&2

#!/bin/sh
# Writes one archive of everything that makes the certificate authority what it is: keys, passwords, ca.json, templates
# and the database. restore.sh brings it back. It holds the lock of the CA's database meanwhile, so the archive is of one
# moment and a step-ca that runs is refused, not copied in the middle of a write.

set -eu
umask 077
LC_ALL=C
export LC_ALL

die() {
  printf 'backup.sh: error: %s\n' "$*" >&2
  exit 1
}

usage() {
  cat <<'HELP'
usage: backup.sh FILE     write the archive (tar) to FILE, which must not exist
       backup.sh -        write it to standard output
       backup.sh --help

STEPPATH is the directory of the CA, which must not run: stop step-ca, back up, start it again.

The archive holds the CA's private keys and, where init.sh generated them, their passwords: whoever has it is the CA.
Passwords that were given as files (STEP_CA_PASSWORD_FILE and the like) are not in it.
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
if [ -z "${STEPPATH:-}" ]; then die "STEPPATH is not set: set it to the directory of the CA"; fi
if [ ! -s "$STEPPATH/config/ca.json" ]; then die "no CA in $STEPPATH: set STEPPATH to the directory that has config/ca.json"; fi
if ! command -v flock >/dev/null 2>&1; then die "flock is not on PATH: install util-linux; it tells whether step-ca runs"; fi
out=$1
if [ "$out" != - ]; then
  # The archive would be a part of itself, or the name would be elsewhere after the cd.
  case $out in /*) ;; *) out=$PWD/$out ;; esac
  if [ -e "$out" ]; then die "$1 exists, and nothing is overwritten: name a new file"; fi
  directory=$(dirname -- "$out")
  if [ ! -d "$directory" ] || [ ! -w "$directory" ]; then die "$1 cannot be written: name a file in a directory that is there"; fi
fi
cd -- "$STEPPATH"

# A boot must not change files meanwhile: init.sh holds this one.
exec 9>>.mosaic-init.lock
flock -n 9 || die "init.sh works on $STEPPATH: wait for it, then try again"
# step-ca holds this one for as long as it runs (Badger locks its directory).
if [ -d db ]; then
  exec 8<db
  flock -n 8 || die "step-ca runs on $STEPPATH: stop it first; it can start again as soon as the archive is written"
elif grep -q '"badger' config/ca.json; then
  die "$STEPPATH/db is missing: the CA's database cannot be backed up; restore it, or start the CA once"
else
  printf 'backup.sh: warning: the CA keeps its data in a database of its own (db in ca.json): dump that one as well\n' >&2
fi

sums=.mosaic-backup.sha256
trap 'rm -f -- "$sums"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

set --
for part in config certs secrets gateway templates rotation db; do
  if [ -d "$part" ]; then set -- "$@" "$part"; fi
done
find "$@" -type f ! -name '*.new' ! -path db/LOCK -exec sha256sum {} + >"$sums"
files=$(cut -c 67- "$sums")
count=$(wc -l <"$sums")

# Names from a file of ours: none has a newline, and none begins with a hyphen.
if [ "$out" = - ]; then
  printf '%s\n%s\n' "$sums" "$files" | tar -cf - -T -
else
  printf '%s\n%s\n' "$sums" "$files" | tar -cf "$out.new" -T -
  sync -- "$out.new" 2>/dev/null || sync
  mv -- "$out.new" "$out"
fi
printf 'backup.sh: %s files of %s\n' "$((count))" "$STEPPATH" >&2

#!/bin/sh
# Healthy means: the CA answers over TLS with a certificate of its own root, its database
# can be read and its signer has signed (a CRL that verifies under the CA), and the
# templates that it reads at every signing are there. GET /health alone says ok to anything.

set -eu

if [ -z "${STEPPATH:-}" ]; then
  echo "healthcheck.sh: STEPPATH is not set: set it to the directory of the CA" >&2
  exit 1
fi
step_bin=${STEP_BIN:-step}
jq_bin=${JQ_BIN:-}
if [ -z "$jq_bin" ]; then
  jq_bin=jq
  if ! command -v jq >/dev/null 2>&1; then jq_bin=gojq; fi
fi

address=$("$jq_bin" -r .address <"$STEPPATH/config/ca.json")
host=${address%:*}
case $host in '' | 0.0.0.0 | '[::]') host=127.0.0.1 ;; esac
url=https://$host:${address##*:}
root=$STEPPATH/certs/root_ca.crt

# step reads its flags from STEP_<FLAG> variables too: an empty environment has none.
run_step() { env -i PATH="$PATH" HOME="$STEPPATH" STEPPATH="$STEPPATH" "$step_bin" "$@"; }

run_step ca health --ca-url "$url" --root "$root" >/dev/null
run_step crl inspect "$url/1.0/crl" --roots "$root" --ca "$STEPPATH/certs/intermediate_ca.crt" --format json |
  "$jq_bin" -e '.signature.valid == true' >/dev/null
for template in federation.tpl gateway.tpl; do
  if [ ! -s "$STEPPATH/templates/$template" ]; then
    echo "healthcheck.sh: $STEPPATH/templates/$template is missing: start the CA again" >&2
    exit 1
  fi
done

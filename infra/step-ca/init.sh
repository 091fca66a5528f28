#!/bin/sh
# Makes the certificate authority of a Mosaic federation at its first boot, brings its
# configuration back to what the environment says at every later one, and starts step-ca.
# It is the container's entry point and runs natively as well (dash, busybox sh, bash).
#
# State is safe against kill -9 at any point: the first boot happens in a staging
# directory, whose parts are renamed into place once all of them are complete, config/
# (hence ca.json) last; afterwards every file is replaced by rename, never written into.

set -eu
umask 077
LC_ALL=C
export LC_ALL

ME=init.sh
HERE=$(cd -- "$(dirname -- "$0")" && pwd -P)

usage() {
  cat <<'HELP'
usage: init.sh            set up what is missing or changed, then run step-ca
       init.sh init       set up only
       init.sh start      run step-ca only (set up before)
       init.sh --help

Environment (an empty variable counts as unset):

  STEPPATH                          directory of the CA; required
  STEP_CA_NAME                      name in the CA's certificates, at first boot only; default "Mosaic Federation"
  STEP_CA_ADDRESS                   listen address; default :9000 at first boot, later what ca.json has
  STEP_CA_DNS                       comma list of names and IP addresses of the CA; step-ca, localhost and
                                    127.0.0.1 are always added
  STEP_CA_PROVISIONER               name of the provisioner that signs grants; default mosaic-fed
  STEP_CA_PASSWORD_FILE             password of the CA's own keys; default: generated, secrets/password
  STEP_CA_PROVISIONER_PASSWORD_FILE password of the provisioner's key, used when that key is made;
                                    default: generated, gateway/provisioner_password
  MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE
                                    the same for the provisioner mosaic-gateway;
                                    default: generated, gateway/gateway_provisioner_password
  MOSAIC_PROVISIONER_JWK_FILE       public JWK of a key kept elsewhere, for STEP_CA_PROVISIONER; then the
                                    CA never sees the private key
  MOSAIC_GATEWAY_PROVISIONER_JWK_FILE
                                    the same for mosaic-gateway
  STEP_CA_ALLOW_SYMMETRIC_KEY       "true" accepts kty "oct" in these JWKs; step-ca then publishes the
                                    secret at GET /provisioners
  MOSAIC_CERT_MIN                   shortest lifetime of a grant certificate; default 5m (also 90s, 1h30m)
  MOSAIC_CERT_DEFAULT               lifetime when none is asked for; default 24h
  MOSAIC_CERT_MAX                   longest lifetime; default 24h
  MOSAIC_OID_ARC                    arc of the two extensions; default 1.3.6.1.4.1.99999
  MOSAIC_GATEWAY_NAMES              comma list of the names and IP addresses that mosaic-gateway may sign;
                                    default localhost,127.0.0.1
  MOSAIC_GATEWAY_SECRETS_DIR        directory to which the files in $STEPPATH/gateway are copied at each boot
  MOSAIC_ROOT_KEY_OUT               file to which the root's private key is moved
  MOSAIC_TEMPLATE_DIR               directory of the shipped templates; default: templates beside init.sh
  STEP_CA_BIN, STEP_BIN, JQ_BIN     programs; default: step-ca, step, and jq or gojq on PATH
HELP
}

say() { printf '%s: %s\n' "$ME" "$*"; }
warn() { printf '%s: warning: %s\n' "$ME" "$*" >&2; }
die() {
  printf '%s: error: %s\n' "$ME" "$*" >&2
  exit 1
}

# --- programs -------------------------------------------------------------------------

TOOLS_HINT="build it with the command in infra/step-ca/README.md (Go 1.25.8 or newer)"

# find_program VARIABLE OVERRIDE HINT NAME...: prints the program to run.
find_program() {
  fp_variable=$1 fp_override=$2 fp_hint=$3
  shift 3
  if [ -n "$fp_override" ]; then
    command -v -- "$fp_override" || die "$fp_variable=$fp_override is not an executable file: correct it or unset it to search PATH"
    return
  fi
  for fp_name in "$@"; do
    if command -v -- "$fp_name"; then return; fi
  done
  die "$1 is not on PATH: $fp_hint, or set $fp_variable to its path"
}

# --- checks of the environment --------------------------------------------------------

# parse_duration VARIABLE VALUE: sets DURATION to seconds. Hours, minutes and seconds in
# this order, a part of what Go's time.ParseDuration reads, so that both agree.
parse_duration() {
  pd_rest=$2 pd_rank=0 DURATION=0
  pd_bad="$1=$2 is not a duration: write hours, minutes, seconds such as 24h, 1h30m or 90s, at most 87600h"
  case $pd_rest in '' | *[!0-9hms]*) die "$pd_bad" ;; esac
  while [ -n "$pd_rest" ]; do
    pd_digits=${pd_rest%%[hms]*}
    if [ -z "$pd_digits" ] || [ "${#pd_digits}" -gt 7 ] || [ "$pd_digits" = "$pd_rest" ]; then die "$pd_bad"; fi
    pd_rest=${pd_rest#"$pd_digits"}
    # A leading zero would make shell arithmetic read octal.
    while [ "${#pd_digits}" -gt 1 ] && [ "${pd_digits#0}" != "$pd_digits" ]; do pd_digits=${pd_digits#0}; done
    case $pd_rest in
      h*) pd_unit=3600 pd_new=1 ;;
      m*) pd_unit=60 pd_new=2 ;;
      *) pd_unit=1 pd_new=3 ;;
    esac
    pd_rest=${pd_rest#?}
    if [ "$pd_new" -le "$pd_rank" ]; then die "$pd_bad"; fi
    pd_rank=$pd_new
    DURATION=$((DURATION + pd_digits * pd_unit))
  done
  if [ "$DURATION" -le 0 ] || [ "$DURATION" -gt 315360000 ]; then die "$pd_bad"; fi
}

# name_type NAME: sets NAME_TYPE to dns, ip or "" for neither. Only the one canonical
# spelling passes, because the template compares names as text.
name_type() {
  NAME_TYPE=
  case $1 in
    *:*)
      # RFC 5952, section 4: lower case, no leading zeros in a group.
      case $1 in *[!0-9a-f:]* | *:::* | *::*::* | :[!:]* | *[!:]:) return ;; esac
      nt_groups=0
      nt_rest=$1:
      while [ -n "$nt_rest" ]; do
        nt_group=${nt_rest%%:*}
        nt_rest=${nt_rest#*:}
        case $nt_group in
          '') ;;
          ?????* | 0?*) return ;;
          *) nt_groups=$((nt_groups + 1)) ;;
        esac
      done
      case $1 in
        *::*) if [ "$nt_groups" -gt 6 ]; then return; fi ;;
        *) if [ "$nt_groups" -ne 8 ]; then return; fi ;;
      esac
      NAME_TYPE=ip
      ;;
    *[!0-9.]*)
      # RFC 1123, section 2.1: letters, digits and hyphens; at most 63 to a label.
      # RFC 5280, appendix A.1: a common name has at most 64 characters.
      case $1 in *[!a-z0-9.-]* | .* | *. | *..* | -* | *- | *-.* | *.-*) return ;; esac
      if [ "${#1}" -gt 64 ]; then return; fi
      nt_rest=$1.
      while [ -n "$nt_rest" ]; do
        nt_group=${nt_rest%%.*}
        nt_rest=${nt_rest#*.}
        if [ "${#nt_group}" -gt 63 ]; then return; fi
      done
      # A last label of digits would be an IPv4 address to some readers.
      case $nt_group in *[!0-9]*) NAME_TYPE=dns ;; esac
      ;;
    *.*.*.*)
      nt_groups=0
      nt_rest=$1.
      while [ -n "$nt_rest" ]; do
        nt_group=${nt_rest%%.*}
        nt_rest=${nt_rest#*.}
        case $nt_group in '' | 0?* | ????*) return ;; esac
        if [ "$nt_group" -gt 255 ]; then return; fi
        nt_groups=$((nt_groups + 1))
      done
      if [ "$nt_groups" -eq 4 ]; then NAME_TYPE=ip; fi
      ;;
  esac
}

# parse_names VARIABLE LIST: sets NAMES to "name,name" and TYPED_NAMES to "type=name,...".
parse_names() {
  NAMES=""
  TYPED_NAMES=""
  pn_variable=$1
  pn_ifs=$IFS
  IFS=', '
  # shellcheck disable=SC2086 # splitting at commas is the point; -f keeps patterns as text
  set -f && set -- $2 && set +f
  IFS=$pn_ifs
  for pn_name in "$@"; do
    if [ -z "$pn_name" ]; then continue; fi
    name_type "$pn_name"
    if [ -z "$NAME_TYPE" ]; then
      die "$pn_variable: '$pn_name' is neither a DNS name in lower case (at most 64 characters, no wildcard) nor an IP address in canonical form: write for example localhost,gateway.example.org,127.0.0.1"
    fi
    case ,$NAMES, in *",$pn_name,"*) continue ;; esac
    NAMES=${NAMES:+$NAMES,}$pn_name
    TYPED_NAMES=${TYPED_NAMES:+$TYPED_NAMES,}$NAME_TYPE=$pn_name
  done
}

# X.660, section 7.6: the first arc is 0, 1 or 2, and below 0 and 1 the second is at most 39.
# step-ca keeps each arc in a machine integer; 2147483647 fits in every reader's.
check_oid_arc() {
  oa_bad="MOSAIC_OID_ARC=$1 is not an object identifier: write dotted decimal numbers without leading zeros, such as 1.3.6.1.4.1.99999 (an enterprise number of yours comes from IANA)"
  case $1 in '' | *[!0-9.]* | .* | *. | *..*) die "$oa_bad" ;; esac
  if [ "${#1}" -gt 128 ]; then die "$oa_bad"; fi
  oa_rest=$1. oa_count=0 oa_first=
  while [ -n "$oa_rest" ]; do
    oa_arc=${oa_rest%%.*}
    oa_rest=${oa_rest#*.}
    oa_count=$((oa_count + 1))
    case $oa_arc in 0?* | ???????????*) die "$oa_bad" ;; esac
    if [ "$oa_arc" -gt 2147483647 ]; then die "$oa_bad"; fi
    case $oa_count in
      1)
        if [ "$oa_arc" -gt 2 ]; then die "$oa_bad"; fi
        oa_first=$oa_arc
        ;;
      2) if [ "$oa_first" -lt 2 ] && [ "$oa_arc" -gt 39 ]; then die "$oa_bad"; fi ;;
    esac
  done
  if [ "$oa_count" -lt 2 ]; then die "$oa_bad"; fi
}

# check_address VALUE: host:port as Go's net.Listen takes it; sets LISTEN_IP to an address
# that clients will have to name, else "".
check_address() {
  ca_bad="STEP_CA_ADDRESS=$1 is not host:port: write for example :9000 or 127.0.0.1:9000"
  LISTEN_IP=
  ca_port=${1##*:}
  ca_host=${1%:*}
  case $ca_port in '' | "$1" | *[!0-9]* | 0* | ??????*) die "$ca_bad" ;; esac
  if [ "$ca_port" -gt 65535 ]; then die "$ca_bad"; fi
  case $ca_host in
    '' | 0.0.0.0 | '[::]') return ;;
    '['*']') ca_host=${ca_host#?} ca_host=${ca_host%?} ;;
    *:*) die "$ca_bad" ;;
  esac
  name_type "$ca_host"
  case $NAME_TYPE in
    '') die "$ca_bad" ;;
    ip) LISTEN_IP=$ca_host ;;
  esac
}

# step takes a file of blanks for no password, and would make one up that nobody knows.
check_password_file() {
  if [ ! -f "$2" ] || [ ! -r "$2" ]; then die "$1=$2 is not a readable file: write the password into it (0600) or unset $1"; fi
  cp_password=$(tr -d '[:space:]' <"$2")
  if [ -z "$cp_password" ]; then die "$1=$2 is empty: write the password into it, for example with: openssl rand -hex 32"; fi
  if [ "${#cp_password}" -lt 16 ]; then warn "the password in $1 has fewer than 16 characters: 32 random hex digits are 128 bits"; fi
  cp_password=
}

# The JWK becomes the provisioner's "key", which step-ca shows to everyone at GET /provisioners.
# RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1, and RFC 8037, section 2, name the private members.
# shellcheck disable=SC2016 # a jq program: its variables are jq's
JWK_PROGRAM='
  def bits: (.n | rtrimstr("=") | length) * 6;
  if type != "object" then "does not hold one JWK: write one JSON object with kty and kid"
  elif has("keys") then "is a JWK set: write its one key alone"
  elif (.kid | type) != "string" or .kid == "" then "has no kid, by which step-ca finds the key: add \"kid\", for example its thumbprint (step crypto jwk thumbprint < FILE)"
  elif .kty == "oct" then
    if $allow != "true" then "is symmetric (kty oct): step-ca would show this secret to everyone at GET /provisioners, and whoever reads it can issue certificates; use an EC, OKP or RSA key, or set STEP_CA_ALLOW_SYMMETRIC_KEY=true"
    elif (.k | type) != "string" or (.k | length) < 43 then "has a secret k of less than 256 bits (RFC 7518, section 3.2): make one with: step crypto jwk create --kty oct --size 32"
    else "ok" end
  elif ([has("d", "p", "q", "dp", "dq", "qi", "oth", "k")] | any) then "holds a private key, which step-ca would show to everyone at GET /provisioners: write the public half only (step crypto jwk public < FILE)"
  elif (.use // "sig") != "sig" then "is not for signatures: its use must be \"sig\""
  elif .kty == "EC" then
    if ([.crv] | inside(["P-256", "P-384", "P-521"])) and (.x | type) == "string" and (.y | type) == "string" then "ok"
    else "is not a public EC key on P-256, P-384 or P-521" end
  elif .kty == "OKP" then
    if .crv == "Ed25519" and (.x | type) == "string" then "ok" else "is not a public Ed25519 key, the only OKP key that step-ca verifies" end
  elif .kty == "RSA" then
    if (.n | type) != "string" or (.e | type) != "string" then "is not a public RSA key"
    elif bits < 2048 then "is an RSA key of less than 2048 bits: make a longer one"
    else "ok" end
  else "has a kty that step-ca does not verify: use EC, OKP or RSA" end
'

check_jwk_file() {
  if [ ! -f "$2" ] || [ ! -r "$2" ]; then die "$1=$2 is not a readable file: write the public JWK into it or unset $1"; fi
  cj_verdict=$("$JQ_BIN" -r --arg allow "${STEP_CA_ALLOW_SYMMETRIC_KEY:-}" "$JWK_PROGRAM" <"$2" 2>/dev/null) || cj_verdict="is not JSON: write one JWK into it"
  case $cj_verdict in
    ok) ;;
    '') die "$1=$2 is empty: write the public JWK into it or unset $1" ;;
    *) die "$1=$2 $cj_verdict" ;;
  esac
}

read_environment() {
  STEP_CA_PROVISIONER=${STEP_CA_PROVISIONER:-mosaic-fed}
  GATEWAY_PROVISIONER=mosaic-gateway
  STEP_CA_NAME=${STEP_CA_NAME:-Mosaic Federation}
  case $STEP_CA_PROVISIONER in
    *[!A-Za-z0-9._@-]* | -*) die "STEP_CA_PROVISIONER=$STEP_CA_PROVISIONER: use letters, digits and . _ @ - only" ;;
    "$GATEWAY_PROVISIONER") die "STEP_CA_PROVISIONER=$STEP_CA_PROVISIONER is the name of the gateway's own provisioner: choose another, such as mosaic-fed" ;;
  esac
  # step adds " Intermediate CA"; RFC 5280, appendix A.1: a common name has at most 64 characters.
  case $STEP_CA_NAME in *[![:print:]]* | -*) die "STEP_CA_NAME must be printable ASCII and not begin with a hyphen" ;; esac
  if [ "${#STEP_CA_NAME}" -gt 48 ]; then die "STEP_CA_NAME has more than 48 characters: shorten it"; fi

  MOSAIC_CERT_MIN=${MOSAIC_CERT_MIN:-5m}
  MOSAIC_CERT_DEFAULT=${MOSAIC_CERT_DEFAULT:-24h}
  MOSAIC_CERT_MAX=${MOSAIC_CERT_MAX:-24h}
  parse_duration MOSAIC_CERT_MIN "$MOSAIC_CERT_MIN"
  min_seconds=$DURATION
  parse_duration MOSAIC_CERT_DEFAULT "$MOSAIC_CERT_DEFAULT"
  default_seconds=$DURATION
  parse_duration MOSAIC_CERT_MAX "$MOSAIC_CERT_MAX"
  if [ "$min_seconds" -gt "$default_seconds" ]; then
    die "MOSAIC_CERT_MIN=$MOSAIC_CERT_MIN is longer than MOSAIC_CERT_DEFAULT=$MOSAIC_CERT_DEFAULT: lower the one or raise the other"
  fi
  if [ "$default_seconds" -gt "$DURATION" ]; then
    die "MOSAIC_CERT_DEFAULT=$MOSAIC_CERT_DEFAULT is longer than MOSAIC_CERT_MAX=$MOSAIC_CERT_MAX: lower the one or raise the other"
  fi
  # The gateway's own certificate keeps 24 h; only its lower bound follows, for tests in seconds.
  gateway_min=5m
  if [ "$min_seconds" -lt 300 ]; then gateway_min=$MOSAIC_CERT_MIN; fi

  MOSAIC_OID_ARC=${MOSAIC_OID_ARC:-1.3.6.1.4.1.99999}
  check_oid_arc "$MOSAIC_OID_ARC"

  parse_names MOSAIC_GATEWAY_NAMES "${MOSAIC_GATEWAY_NAMES:-localhost,127.0.0.1}"
  if [ -z "$NAMES" ]; then die "MOSAIC_GATEWAY_NAMES holds no name: write for example localhost,127.0.0.1"; fi
  gateway_names=$TYPED_NAMES

  LISTEN_IP=
  if [ -n "${STEP_CA_ADDRESS:-}" ]; then check_address "$STEP_CA_ADDRESS"; fi
  parse_names STEP_CA_DNS "${STEP_CA_DNS:-},step-ca,localhost,127.0.0.1,$LISTEN_IP"
  ca_names=$NAMES

  if [ -n "${STEP_CA_PASSWORD_FILE:-}" ]; then check_password_file STEP_CA_PASSWORD_FILE "$STEP_CA_PASSWORD_FILE"; fi
  if [ -n "${STEP_CA_PROVISIONER_PASSWORD_FILE:-}" ]; then
    check_password_file STEP_CA_PROVISIONER_PASSWORD_FILE "$STEP_CA_PROVISIONER_PASSWORD_FILE"
  fi
  if [ -n "${MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE:-}" ]; then
    check_password_file MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE "$MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE"
  fi
  if [ -n "${MOSAIC_PROVISIONER_JWK_FILE:-}" ]; then check_jwk_file MOSAIC_PROVISIONER_JWK_FILE "$MOSAIC_PROVISIONER_JWK_FILE"; fi
  if [ -n "${MOSAIC_GATEWAY_PROVISIONER_JWK_FILE:-}" ]; then
    check_jwk_file MOSAIC_GATEWAY_PROVISIONER_JWK_FILE "$MOSAIC_GATEWAY_PROVISIONER_JWK_FILE"
  fi
  if [ -n "${MOSAIC_PROVISIONER_JWK_FILE:-}" ] && [ -n "${MOSAIC_GATEWAY_PROVISIONER_JWK_FILE:-}" ] &&
    cmp -s "$MOSAIC_PROVISIONER_JWK_FILE" "$MOSAIC_GATEWAY_PROVISIONER_JWK_FILE"; then
    die "MOSAIC_PROVISIONER_JWK_FILE and MOSAIC_GATEWAY_PROVISIONER_JWK_FILE hold the same key: give mosaic-gateway one of its own"
  fi

  MOSAIC_TEMPLATE_DIR=${MOSAIC_TEMPLATE_DIR:-$HERE/templates}
  for re_template in federation.tpl gateway.tpl; do
    if [ ! -s "$MOSAIC_TEMPLATE_DIR/$re_template" ] || [ ! -r "$MOSAIC_TEMPLATE_DIR/$re_template" ]; then
      die "$MOSAIC_TEMPLATE_DIR/$re_template is missing, empty or unreadable: set MOSAIC_TEMPLATE_DIR to infra/step-ca/templates of this project"
    fi
  done
}

# --- one at a time --------------------------------------------------------------------

LOCK_HELD=
# flock(1) where there is one (Linux): the kernel lets go when the holder dies, and its
# children, which inherit the descriptor, keep it until they have ended. Elsewhere a hard
# link to a file with our process id, which a later boot takes over once that process is gone.
lock() {
  lk_file=$STEPPATH/.mosaic-init.lock
  if command -v flock >/dev/null 2>&1; then
    exec 9>>"$lk_file"
    if ! flock -n 9; then
      say "waiting for another init.sh on $STEPPATH"
      flock 9
    fi
    LOCK_HELD=flock
    return
  fi
  printf '%s\n' "$$" >"$lk_file.$$"
  lk_tries=0
  until ln "$lk_file.$$" "$lk_file.pid" 2>/dev/null; do
    lk_pid=
    read -r lk_pid <"$lk_file.pid" 2>/dev/null || :
    if [ -n "$lk_pid" ] && ! kill -0 "$lk_pid" 2>/dev/null && ! ps -p "$lk_pid" >/dev/null 2>&1; then
      # mkdir lets one of several take over; it reads again, as the owner may have changed.
      if mkdir "$lk_file.takeover" 2>/dev/null; then
        lk_again=
        read -r lk_again <"$lk_file.pid" 2>/dev/null || :
        if [ "$lk_again" = "$lk_pid" ]; then rm -f "$lk_file.pid"; fi
        rmdir "$lk_file.takeover"
        continue
      fi
    fi
    lk_tries=$((lk_tries + 1))
    if [ "$lk_tries" -ge 60 ]; then
      rm -f "$lk_file.$$"
      die "another init.sh (process ${lk_pid:-unknown}) works on $STEPPATH: wait for it; when none runs, delete $lk_file.pid and $lk_file.takeover"
    fi
    sleep 1
  done
  rm -f "$lk_file.$$"
  LOCK_HELD=pidfile
}

unlock() {
  case $LOCK_HELD in
    flock) exec 9>&- ;;
    pidfile) rm -f "$STEPPATH/.mosaic-init.lock.pid" ;;
  esac
  LOCK_HELD=
}

# --- ca.json --------------------------------------------------------------------------

# While a key is rotated, the new one has a provisioner of its own beside the old one
# (docs/federation/rotation.md); a boot in the middle of it changes neither key.
#
# One program says what is wrong with a ca.json, what is to be done first, and which
# leaves will change, the other writes it. An equal document is never written, however it is laid out.
# shellcheck disable=SC2016 # a jq program: its variables are jq's
CONFIG_PROGRAM='
  def items: split(",") | map(select(. != ""));
  def is_jwk($name): (.type // "" | ascii_upcase) == "JWK" and .name == $name;
  def with_template($file; $data):
    .options = (.options // {}) | .options.x509 = (.options.x509 // {})
    | del(.options.x509.template)
    | .options.x509.templateFile = $file
    | .options.x509.templateData = $data;
  def with_claims($min; $default; $max):
    .claims = (.claims // {}) + {
      minTLSCertDuration: $min, defaultTLSCertDuration: $default, maxTLSCertDuration: $max,
      disableRenewal: true
    };
  def with_key($given): if $given == [] then . else .key = $given[0] end;

  def grants:
    with_template($steppath + "/templates/federation.tpl"; { mosaicOidArc: $arc })
    | with_claims($min; $default; $max);
  def federation: with_key($fedkey) | grants | del(.encryptedKey);
  def gateway:
    with_key($gwkey)
    | with_template($steppath + "/templates/gateway.tpl";
        { mosaicGatewayNames: ($gateway_names | items | map(split("=") | { (.[1]): .[0] }) | add) })
    | with_claims($gateway_min; "24h"; "24h")
    | del(.encryptedKey);

  def patched:
    .authority.provisioners |= map(
      if is_jwk($provisioner) then federation
      elif is_jwk($provisioner_beside) then grants
      elif is_jwk($gateway_provisioner) then gateway
      else . end)
    | .dnsNames = reduce ($ca_names | items | .[]) as $name (.dnsNames // [];
        if any(.[]; . == $name) then . else . + [$name] end)
    | (if $address == "" then . else .address = $address end)
    | .crl = { generateOnRevoke: true } + (.crl // {}) + { enabled: true };

  def count($name): [.authority.provisioners[] | select(is_jwk($name))] | length;
  def sealed($name): [.authority.provisioners[] | select(is_jwk($name) and (.encryptedKey // "") != "")] | length;
  def foreign($name): any(.authority.provisioners[]; .name == $name and (is_jwk($name) | not));

  def refusals:
    if (.authority.provisioners? | type) != "array" then "has no authority.provisioners: restore ca.json from a backup"
    else
      (if .authority.enableAdmin == true then "has authority.enableAdmin, which keeps provisioners in the database, out of reach of this file: set it to false" else empty end),
      (if (.db // {}) == {} then "has no db: step-ca would accept a one-time token twice; restore db" else empty end),
      (if ((.authority.template // {}) != {}) then "has authority.template, which adds names to the subject of every certificate: remove it" else empty end),
      (if foreign($provisioner) or foreign($gateway_provisioner) then "has a provisioner named \($provisioner) or \($gateway_provisioner) that is not of type JWK: rename it" else empty end),
      (if count($provisioner) == 0 then "has no JWK provisioner named \($provisioner) (it has: \([.authority.provisioners[].name] | join(", "))): correct STEP_CA_PROVISIONER" else empty end),
      (if sealed($provisioner) > 1 or sealed($gateway_provisioner) > 1 then "has several encryptedKeys under one name: remove those of the older keys" else empty end)
    end;

  def leaves: [paths(type != "object" and type != "array") as $p
    | { key: ($p | map(if type == "number" then "[\(.)]" else ".\(.)" end) | join("")), value: (getpath($p) | tojson) }];
  def named($old; $new): $old as $doc | . as $key
    | ($new[$key] // "removed") as $to
    | if ($key | test("encryptedKey|\\.key\\.")) then "\($key): changed"
      else "\($key): \($doc[$key] // "absent") -> \($to)" end;
'

# shellcheck disable=SC2016 # a jq program: its variables are jq's
PLAN_PROGRAM='
  . as $document
  | [refusals] as $refusals
  | if $refusals != [] then $refusals[] | "refuse \(.)"
    else
      (if count($gateway_provisioner) == 0 then "add gateway" else empty end),
      (if sealed($provisioner) > 0 then "unseal federation" else empty end),
      (if sealed($gateway_provisioner) > 0 then "unseal gateway" else empty end),
      (.authority.provisioners[].name | select(. != $provisioner and . != $provisioner_beside and . != $gateway_provisioner) | "other \(.)"),
      (patched as $new
        | if $new == $document then empty
          else
            ($document | leaves | from_entries) as $a
            | ($new | leaves | from_entries) as $b
            | (($a + $b) | keys[]) | select($a[.] != $b[.]) | "change \(named($a; $b))"
          end)
    end
'

# config_jq OPTION... PROGRAM FILE, with every setting as a jq variable.
config_jq() {
  "$JQ_BIN" \
    --arg provisioner "$STEP_CA_PROVISIONER" \
    --arg provisioner_beside "$STEP_CA_PROVISIONER-next" \
    --arg gateway_provisioner "$GATEWAY_PROVISIONER" \
    --arg steppath "$STEPPATH" \
    --arg address "${STEP_CA_ADDRESS:-}" \
    --arg ca_names "$ca_names" \
    --arg gateway_names "$gateway_names" \
    --arg gateway_min "$gateway_min" \
    --arg min "$MOSAIC_CERT_MIN" \
    --arg default "$MOSAIC_CERT_DEFAULT" \
    --arg max "$MOSAIC_CERT_MAX" \
    --arg arc "$MOSAIC_OID_ARC" \
    --slurpfile fedkey "${MOSAIC_PROVISIONER_JWK_FILE:-/dev/null}" \
    --slurpfile gwkey "${MOSAIC_GATEWAY_PROVISIONER_JWK_FILE:-/dev/null}" \
    "$@"
}

# --- files ----------------------------------------------------------------------------

# 256 random bits in hex: well over the 128 that PBES2 is to be guarded by.
generate_password() {
  gp_password=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
  if [ "${#gp_password}" -ne 64 ]; then die "/dev/urandom gave no random bytes"; fi
  printf '%s' "$gp_password" >"$1"
  gp_password=
}

# replace_file NEW FILE: both on one file system, so that a reader sees the old or the new one.
replace_file() { mv -f -- "$1" "$2"; }

# copy_file MODE FROM TO
copy_file() {
  if [ -d "$3" ]; then die "$3 is a directory: remove it"; fi
  rm -f -- "$3.new"
  cp -- "$2" "$3.new"
  chmod "$1" "$3.new"
  replace_file "$3.new" "$3"
}

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then
    s2_sum=$(sha256sum <"$1")
  elif command -v shasum >/dev/null 2>&1; then
    s2_sum=$(shasum -a 256 <"$1")
  else
    s2_sum=$(openssl dgst -sha256 -r <"$1")
  fi
  printf '%s' "${s2_sum%% *}"
}

# install_template NAME DIRECTORY: read-only, so that only a deliberate act changes what is
# signed, and owned by whoever sets up: root natively and, where it may, in a container.
install_template() {
  it_from=$MOSAIC_TEMPLATE_DIR/$1 it_to=$2/$1
  it_why=
  if [ -L "$it_to" ] || [ ! -e "$it_to" ]; then
    it_why="was missing"
  elif ! cmp -s "$it_from" "$it_to"; then
    it_why="differed from the shipped one (sha256 $(sha256 "$it_to"))"
  elif [ -n "$(find "$it_to" -prune \( ! -perm 444 -o ! -user "$UID_NOW" \) -print)" ]; then
    it_why="had another owner or mode than read-only"
  fi
  if [ -n "$it_why" ]; then
    copy_file 444 "$it_from" "$it_to"
    if [ "$2" = "$STEPPATH/templates" ]; then say "repaired: $it_to $it_why: installed again"; fi
  fi
  say "template $1 sha256 $(sha256 "$it_to")"
}

# step reads any flag from a variable STEP_<FLAG>: an empty environment keeps a stray
# STEP_ROOT or STEP_CONTEXT of the caller out of a new CA.
run_step() {
  rs_home=$1
  shift
  env -i PATH="$PATH" HOME="$rs_home" STEPPATH="$rs_home" "$STEP_BIN" "$@" </dev/null
}

# create_jwk DIRECTORY NAME PASSWORD_FILE: writes NAME.pub.json and the private half as
# NAME.jwe, in the compact serialization (RFC 7516, section 7.1) that step ca init uses too.
create_jwk() {
  run_step "$1" crypto jwk create "$1/$2.pub.json" "$1/$2.priv.json" \
    --kty EC --crv P-256 --alg ES256 --use sig --password-file "$3" >"$1/$2.log" 2>&1 || {
    cat "$1/$2.log" >&2
    return 1
  }
  "$JQ_BIN" -j '[.protected, .encrypted_key, .iv, .ciphertext, .tag] | join(".")' <"$1/$2.priv.json" >"$1/$2.jwe"
  rm -f "$1/$2.priv.json" "$1/$2.log"
}

# --- first boot -----------------------------------------------------------------------

STAGE=
on_exit() {
  if [ -n "$STAGE" ] && [ ! -e "$STAGE/ready" ]; then
    rm -rf -- "$STAGE"
    warn "stopped before the new keys were complete: they are removed; remove the cause above and start again"
  fi
  unlock
}

is_empty() { [ -d "$1" ] && [ -z "$(ls -A -- "$1")" ]; }

# publish DIRECTORY: each part is one rename, config/ with ca.json the last. Killed in
# between, the next boot goes on with those that are left.
publish() {
  for pb_part in certs secrets gateway templates db config; do
    if [ ! -d "$1/$pb_part" ]; then continue; fi
    if [ -e "$STEPPATH/$pb_part" ]; then
      rmdir "$STEPPATH/$pb_part" 2>/dev/null ||
        die "$STEPPATH/$pb_part is not empty, and the first boot has a new one in $1: nothing was overwritten; move one of them away and start again"
    fi
    mv -- "$1/$pb_part" "$STEPPATH/$pb_part"
  done
  rm -rf -- "$1"
}

finish_interrupted() {
  for fi_stage in "$STEPPATH"/.mosaic-init.*; do
    if [ ! -d "$fi_stage" ] || [ "${fi_stage##*.}" = takeover ]; then continue; fi
    if [ -e "$fi_stage/ready" ]; then
      say "resumed: the first boot was interrupted after its keys were complete"
      publish "$fi_stage"
    else
      say "removed: what an interrupted boot left in $fi_stage (its keys were never in use)"
      rm -rf -- "$fi_stage"
    fi
  done
}

first_boot() {
  for fb_part in certs secrets gateway templates db config; do
    if [ -e "$STEPPATH/$fb_part" ] && ! is_empty "$STEPPATH/$fb_part"; then
      die "$STEPPATH has no config/ca.json but $fb_part: this is part of another CA, and nothing was overwritten; restore config/ca.json from a backup, or set STEPPATH to an empty directory"
    fi
  done
  say "first boot: making the CA in $STEPPATH"
  STAGE=$(mktemp -d "$STEPPATH/.mosaic-init.XXXXXX")
  mkdir "$STAGE/secrets" "$STAGE/gateway" "$STAGE/templates" "$STAGE/work"

  fb_password=${STEP_CA_PASSWORD_FILE:-}
  if [ -z "$fb_password" ]; then
    fb_password=$STAGE/secrets/password
    generate_password "$fb_password"
  fi
  # With a key that is kept elsewhere, the one that step ca init makes is thrown away.
  fb_provisioner_password=${STEP_CA_PROVISIONER_PASSWORD_FILE:-}
  if [ -n "${MOSAIC_PROVISIONER_JWK_FILE:-}" ]; then
    fb_provisioner_password=$STAGE/work/password
    generate_password "$fb_provisioner_password"
  elif [ -z "$fb_provisioner_password" ]; then
    fb_provisioner_password=$STAGE/gateway/provisioner_password
    generate_password "$fb_provisioner_password"
  fi

  # step ca init sleeps for a second: the second key is made meanwhile.
  fb_jwk_pid=
  if [ -z "${MOSAIC_GATEWAY_PROVISIONER_JWK_FILE:-}" ]; then
    fb_gateway_password=${MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE:-}
    if [ -z "$fb_gateway_password" ]; then
      fb_gateway_password=$STAGE/gateway/gateway_provisioner_password
      generate_password "$fb_gateway_password"
    fi
    create_jwk "$STAGE/work" gateway "$fb_gateway_password" &
    fb_jwk_pid=$!
  fi

  STEP_CA_ADDRESS=${STEP_CA_ADDRESS:-:9000}
  fb_ifs=$IFS
  IFS=,
  # shellcheck disable=SC2086 # splitting at commas is the point; names hold no pattern
  set -- $ca_names
  IFS=$fb_ifs
  for fb_name in "$@"; do
    shift
    set -- "$@" --dns "$fb_name"
  done
  run_step "$STAGE" ca init --deployment-type standalone --name "$STEP_CA_NAME" "$@" \
    --address "$STEP_CA_ADDRESS" --provisioner "$STEP_CA_PROVISIONER" --password-file "$fb_password" \
    --provisioner-password-file "$fb_provisioner_password" >"$STAGE/work/init.log" 2>&1 || {
    cat "$STAGE/work/init.log" >&2
    die "step ca init failed (its words are above)"
  }
  if [ -n "$fb_jwk_pid" ]; then
    wait "$fb_jwk_pid" || die "step crypto jwk create failed (its words are above)"
    mv -- "$STAGE/work/gateway.jwe" "$STAGE/gateway/gateway_provisioner_key.jwe"
    fb_gateway_key=$STAGE/work/gateway.pub.json
  else
    fb_gateway_key=$MOSAIC_GATEWAY_PROVISIONER_JWK_FILE
  fi

  if [ -z "${MOSAIC_PROVISIONER_JWK_FILE:-}" ]; then
    "$JQ_BIN" -j '.authority.provisioners[0].encryptedKey' <"$STAGE/config/ca.json" >"$STAGE/gateway/provisioner_key.jwe"
  fi
  # step ca init wrote the staging directory into its paths.
  # shellcheck disable=SC2016 # a jq program: its variables are jq's
  config_jq --tab --arg stage "$STAGE" --slurpfile key "$fb_gateway_key" "$CONFIG_PROGRAM"'
    walk(if type == "string" and startswith($stage + "/") then $steppath + .[($stage | length):] else . end)
    | .authority.provisioners += [{ type: "JWK", name: $gateway_provisioner, key: $key[0] }]
    | patched' <"$STAGE/config/ca.json" >"$STAGE/work/ca.json"
  # shellcheck disable=SC2016 # a jq program: its variables are jq's
  "$JQ_BIN" --tab --arg stage "$STAGE" --arg steppath "$STEPPATH" '
    map_values(if startswith($stage + "/") then $steppath + .[($stage | length):] else . end)
    ' <"$STAGE/config/defaults.json" >"$STAGE/work/defaults.json"
  replace_file "$STAGE/work/ca.json" "$STAGE/config/ca.json"
  replace_file "$STAGE/work/defaults.json" "$STAGE/config/defaults.json"

  cp -- "$STAGE/certs/root_ca.crt" "$STAGE/gateway/root_ca.crt"
  chmod 644 "$STAGE/certs/root_ca.crt" "$STAGE/certs/intermediate_ca.crt" "$STAGE/gateway/root_ca.crt"
  install_template federation.tpl "$STAGE/templates"
  install_template gateway.tpl "$STAGE/templates"
  rm -rf -- "$STAGE/work"

  # A key must not be an empty file after a power cut, when certificates already hang on it.
  sync -- "$STAGE"/certs/* "$STAGE"/secrets/* "$STAGE"/gateway/* "$STAGE"/config/* 2>/dev/null || sync
  : >"$STAGE/ready"
  publish "$STAGE"
  STAGE=
}

# --- later boots ----------------------------------------------------------------------

# write_config PROGRAM [OPTION...]: applies PROGRAM to ca.json.
write_config() {
  wc_program=$1
  shift
  config_jq --tab "$@" "$CONFIG_PROGRAM $wc_program" <"$STEPPATH/config/ca.json" >"$STEPPATH/config/ca.json.new"
  replace_file "$STEPPATH/config/ca.json.new" "$STEPPATH/config/ca.json"
}

# unseal PROVISIONER FILE: the key leaves ca.json only once it lies in its own file.
unseal() {
  mkdir -p "$STEPPATH/gateway"
  # shellcheck disable=SC2016 # a jq program: its variables are jq's
  "$JQ_BIN" -j --arg name "$1" \
    'first(.authority.provisioners[] | select(.name == $name and (.encryptedKey // "") != "") | .encryptedKey)' \
    <"$STEPPATH/config/ca.json" >"$2.new"
  if [ -e "$2" ] && ! cmp -s "$2.new" "$2"; then
    rm -f "$2.new"
    die "$2 holds another key than the encryptedKey of $1 in ca.json, and is not overwritten: move the older one of the two away and start again"
  fi
  replace_file "$2.new" "$2"
}

add_gateway_provisioner() {
  if [ -n "${MOSAIC_GATEWAY_PROVISIONER_JWK_FILE:-}" ]; then
    ag_key=$MOSAIC_GATEWAY_PROVISIONER_JWK_FILE ag_jwe=/dev/null
  else
    if [ -e "$STEPPATH/gateway/gateway_provisioner_key.jwe" ]; then
      die "$STEPPATH/config/ca.json has no provisioner $GATEWAY_PROVISIONER, but its key lies in $STEPPATH/gateway/gateway_provisioner_key.jwe: restore ca.json from a backup, or move that file away for a new key"
    fi
    mkdir -p "$STEPPATH/gateway"
    ag_password=${MOSAIC_GATEWAY_PROVISIONER_PASSWORD_FILE:-}
    if [ -z "$ag_password" ]; then
      ag_password=$STEPPATH/gateway/gateway_provisioner_password
      if [ ! -s "$ag_password" ]; then
        generate_password "$ag_password.new"
        replace_file "$ag_password.new" "$ag_password"
      fi
    fi
    STAGE=$(mktemp -d "$STEPPATH/.mosaic-init.XXXXXX")
    create_jwk "$STAGE" gateway "$ag_password" || die "step crypto jwk create failed (its words are above)"
    ag_key=$STAGE/gateway.pub.json ag_jwe=$STAGE/gateway.jwe
  fi
  # With its encryptedKey first, as step would: killed here, the next boot moves it out.
  # shellcheck disable=SC2016 # a jq program: its variables are jq's
  write_config '
    .authority.provisioners += [
      { type: "JWK", name: $gateway_provisioner, key: $key[0] }
      + if $jwe == "" then {} else { encryptedKey: $jwe } end
      | gateway + with_entries(select(.key == "encryptedKey"))]' \
    --slurpfile key "$ag_key" --rawfile jwe "$ag_jwe"
  if [ -n "$STAGE" ]; then
    rm -rf -- "$STAGE"
    STAGE=
  fi
  say "added: provisioner $GATEWAY_PROVISIONER"
}

plan() {
  # Of an empty file, which a full disk can leave, jq would say nothing: neither a plan nor an error.
  if ! "$JQ_BIN" -es 'length == 1' <"$STEPPATH/config/ca.json" >/dev/null ||
    ! config_jq -r "$CONFIG_PROGRAM $PLAN_PROGRAM" <"$STEPPATH/config/ca.json"; then
    die "$STEPPATH/config/ca.json cannot be read: it must be the JSON that step-ca reads; restore it from a backup"
  fi
}

# step-ca would say so as well, but only when it starts, and of the gateway's key never.
check_files() {
  # Not what begins otherwise: the key may be in a KMS, named by a URI.
  cf_paths=$("$JQ_BIN" -r '[.root?, .crt?, .key?] | flatten | .[] | strings | select(startswith("/"))' <"$STEPPATH/config/ca.json")
  while read -r cf_path; do
    if [ -n "$cf_path" ] && [ ! -s "$cf_path" ]; then
      die "$cf_path, which $STEPPATH/config/ca.json names, is missing or empty: restore it from a backup; nothing was changed"
    fi
  done <<PATHS
$cf_paths
PATHS
  for cf_name in provisioner gateway_provisioner; do
    cf_key=$STEPPATH/gateway/${cf_name}_key.jwe
    if [ -e "$STEPPATH/gateway/${cf_name}_password" ] && [ ! -s "$cf_key" ] &&
      ! grep -q encryptedKey "$STEPPATH/config/ca.json"; then
      die "$cf_key is missing or empty, but its password is there: restore it from a backup, or move the password away if the key is kept elsewhere; nothing was changed"
    fi
  done
}

reconcile() {
  rc_plan=$(plan)
  check_files
  case $rc_plan in
    "add gateway"*)
      add_gateway_provisioner
      rc_plan=$(plan)
      ;;
  esac
  rc_write=""
  rc_address=""
  while IFS=' ' read -r rc_what rc_text; do
    case $rc_what in
      refuse) die "$STEPPATH/config/ca.json $rc_text" ;;
      unseal)
        if [ "$rc_text" = federation ]; then
          unseal "$STEP_CA_PROVISIONER" "$STEPPATH/gateway/provisioner_key.jwe"
        else
          unseal "$GATEWAY_PROVISIONER" "$STEPPATH/gateway/gateway_provisioner_key.jwe"
        fi
        ;;
      other) warn "ca.json has a further provisioner, $rc_text, which init.sh leaves as it is: what it may sign is up to you" ;;
      change)
        say "repaired: ca.json: $rc_text"
        case $rc_text in .address:*) rc_address=yes ;; esac
        rc_write=yes
        ;;
    esac
  done <<PLAN
$rc_plan
PLAN
  if [ -n "$rc_write" ]; then write_config patched; fi
  if [ -n "$rc_address" ] && [ -e "$STEPPATH/config/defaults.json" ]; then
    # shellcheck disable=SC2016 # a jq program: its variables are jq's
    "$JQ_BIN" --tab --arg port "${STEP_CA_ADDRESS##*:}" \
      '."ca-url" |= (if type == "string" then sub(":[0-9]+$"; ":" + $port) else . end)' \
      <"$STEPPATH/config/defaults.json" >"$STEPPATH/config/defaults.json.new"
    replace_file "$STEPPATH/config/defaults.json.new" "$STEPPATH/config/defaults.json"
  fi
}

set_up() {
  mkdir -p -- "$STEPPATH" || die "STEPPATH=$STEPPATH cannot be made: set it to a directory that user $UID_NOW may write"
  STEPPATH=$(cd -- "$STEPPATH" && pwd -P)
  if [ ! -w "$STEPPATH" ]; then die "STEPPATH=$STEPPATH is not writable for user $UID_NOW: change its owner or choose another directory"; fi
  lock
  trap on_exit EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM

  finish_interrupted
  if [ ! -e "$STEPPATH/config/ca.json" ]; then
    first_boot
  else
    reconcile
    mkdir -p "$STEPPATH/templates" "$STEPPATH/gateway"
    install_template federation.tpl "$STEPPATH/templates"
    install_template gateway.tpl "$STEPPATH/templates"
    if [ ! -e "$STEPPATH/gateway/root_ca.crt" ] && [ -e "$STEPPATH/certs/root_ca.crt" ]; then
      copy_file 644 "$STEPPATH/certs/root_ca.crt" "$STEPPATH/gateway/root_ca.crt"
    fi
  fi
  move_root_key
  copy_gateway_files
  unlock
}

# step-ca needs the root's certificate, not its key.
move_root_key() {
  rk_key=$STEPPATH/secrets/root_ca_key
  if [ ! -e "$rk_key" ]; then return; fi
  if [ -z "${MOSAIC_ROOT_KEY_OUT:-}" ]; then
    warn "the root's private key lies beside the CA in $rk_key: step-ca does not need it, so move it offline (MOSAIC_ROOT_KEY_OUT=FILE does) and keep the password of the CA's keys with it"
    return
  fi
  if [ -e "$MOSAIC_ROOT_KEY_OUT" ]; then
    if ! cmp -s "$rk_key" "$MOSAIC_ROOT_KEY_OUT"; then
      die "MOSAIC_ROOT_KEY_OUT=$MOSAIC_ROOT_KEY_OUT exists and is another key: nothing was overwritten; name a new file"
    fi
  else
    rm -f -- "$MOSAIC_ROOT_KEY_OUT.new"
    cp -- "$rk_key" "$MOSAIC_ROOT_KEY_OUT.new" ||
      die "MOSAIC_ROOT_KEY_OUT=$MOSAIC_ROOT_KEY_OUT cannot be written: name a file in a directory that user $UID_NOW may write"
    sync -- "$MOSAIC_ROOT_KEY_OUT.new" 2>/dev/null || sync
    replace_file "$MOSAIC_ROOT_KEY_OUT.new" "$MOSAIC_ROOT_KEY_OUT"
  fi
  # Renamed before it is deleted: if both names are one file, the copy is gone now.
  mv -f -- "$rk_key" "$rk_key.moved"
  if ! cmp -s "$rk_key.moved" "$MOSAIC_ROOT_KEY_OUT"; then
    mv -f -- "$rk_key.moved" "$rk_key"
    die "MOSAIC_ROOT_KEY_OUT=$MOSAIC_ROOT_KEY_OUT is the key's own place: name a file elsewhere"
  fi
  rm -f -- "$rk_key.moved"
  say "moved: the root's private key to $MOSAIC_ROOT_KEY_OUT (its password is that of the CA's keys)"
}

copy_gateway_files() {
  if [ -z "${MOSAIC_GATEWAY_SECRETS_DIR:-}" ]; then return; fi
  mkdir -p -- "$MOSAIC_GATEWAY_SECRETS_DIR" ||
    die "MOSAIC_GATEWAY_SECRETS_DIR=$MOSAIC_GATEWAY_SECRETS_DIR cannot be made: set it to a directory that user $UID_NOW may write"
  for cg_file in "$STEPPATH"/gateway/*; do
    cg_name=${cg_file##*/}
    case $cg_name in
      *.new | '*') continue ;;
      root_ca.crt) cg_mode=644 ;;
      *) cg_mode=600 ;;
    esac
    if ! cmp -s "$cg_file" "$MOSAIC_GATEWAY_SECRETS_DIR/$cg_name"; then
      copy_file "$cg_mode" "$cg_file" "$MOSAIC_GATEWAY_SECRETS_DIR/$cg_name"
      say "copied: $cg_name to $MOSAIC_GATEWAY_SECRETS_DIR"
    fi
  done
}

start() {
  if [ ! -f "$STEPPATH/config/ca.json" ]; then die "no CA in $STEPPATH: run init.sh init first"; fi
  STEPPATH=$(cd -- "$STEPPATH" && pwd -P)
  st_password=${STEP_CA_PASSWORD_FILE:-$STEPPATH/secrets/password}
  if [ ! -s "$st_password" ] || [ ! -r "$st_password" ]; then
    die "$st_password, the password of the CA's keys, is missing, empty or unreadable: set STEP_CA_PASSWORD_FILE to the file that was given at the first boot"
  fi
  # step-ca reads these two as flags: another configuration would be started.
  unset STEP_CA_TOKEN STEP_CA_CONTEXT
  export STEPPATH
  exec "$STEP_CA_BIN" "$STEPPATH/config/ca.json" --password-file "$st_password"
}

case ${1:-} in
  '' | init | start) ;;
  -h | --help)
    usage
    exit 0
    ;;
  *)
    usage >&2
    exit 2
    ;;
esac
if [ $# -gt 1 ]; then
  usage >&2
  exit 2
fi

if [ -z "${STEPPATH:-}" ]; then die "STEPPATH is not set: set it to the directory of the CA"; fi
UID_NOW=$(id -u)
if [ "${1:-}" != init ]; then
  STEP_CA_BIN=$(find_program STEP_CA_BIN "${STEP_CA_BIN:-}" "$TOOLS_HINT" step-ca)
fi
if [ "${1:-}" != start ]; then
  STEP_BIN=$(find_program STEP_BIN "${STEP_BIN:-}" "$TOOLS_HINT" step)
  JQ_BIN=$(find_program JQ_BIN "${JQ_BIN:-}" "install jq or gojq (the same command builds gojq)" jq gojq)
  read_environment
  set_up
fi
if [ "${1:-}" != init ]; then start; fi

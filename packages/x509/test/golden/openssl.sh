#!/bin/sh
# Makes the golden vectors that OpenSSL has a part in. With "values": for each UUID on standard input the DER that
# OpenSSL makes of it as a UTF8String, and as a PrintableString and an OCTET STRING, which are refused. With "request": a
# certification request that asks for both extensions, with the last two UUIDs. Its key is the example of RFC 8410
# section 10.3, so the same request comes out each time.
set -eu

hex() {
  od -An -v -tx1 | tr -d ' \n'
}

case "$1" in
  values)
    while read -r uuid; do
      echo "utf8 $uuid $(openssl asn1parse -genstr "UTF8:$uuid" -noout -out - | hex)"
      echo "printable $uuid $(openssl asn1parse -genstr "PRINTABLESTRING:$uuid" -noout -out - | hex)"
      echo "octets $uuid $(openssl asn1parse -genstr "FORMAT:ASCII,OCTETSTRING:$uuid" -noout -out - | hex)"
    done
    ;;
  request)
    directory=$(mktemp -d)
    trap 'rm -rf "$directory"' EXIT
    grant='' user=''
    while read -r uuid; do
      grant=$user user=$uuid
    done
    cat > "$directory/request.cnf" <<CNF
[req]
prompt = no
distinguished_name = name
req_extensions = extensions
[name]
CN = $grant
[extensions]
subjectAltName = URI:urn:uuid:$grant
1.3.6.1.4.1.99999.1 = ASN1:UTF8:$grant
1.3.6.1.4.1.99999.2 = ASN1:UTF8:$user
CNF
    echo MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC |
      openssl base64 -d -A > "$directory/key.der"
    openssl req -new -key "$directory/key.der" -keyform DER -config "$directory/request.cnf"
    ;;
esac

// Makes the golden vectors that Go's encoding/asn1 and crypto/x509 have a part in. With "values": for each UUID on
// standard input the DER that Go makes of it as a UTF8String, and as the PrintableString that it makes if not told
// otherwise, which is refused. With "certificate": one whose two extensions are those of the last two UUIDs. Its key is
// the example of RFC 8410 section 10.3, so the same certificate comes out each time.
package main

import (
	"bufio"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net/url"
	"os"
	"time"
)

const seed = "d4ee72dbf913584ad5b6d8f1f769f8ad3afe7c28cbf1d4fbe097a88f44755842"

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func utf8String(text string) []byte {
	return must(asn1.MarshalWithParams(text, "utf8"))
}

func extension(arc int, uuid string) pkix.Extension {
	return pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, arc}, Value: utf8String(uuid)}
}

func certificate(grant, user string) []byte {
	key := ed25519.NewKeyFromSeed(must(hex.DecodeString(seed)))
	serial, _ := new(big.Int).SetString("98765432109876543210987654321098765432", 10)
	template := &x509.Certificate{
		SerialNumber:    serial,
		Subject:         pkix.Name{CommonName: grant},
		NotBefore:       time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:        time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs:            []*url.URL{must(url.Parse("urn:uuid:" + grant))},
		ExtraExtensions: []pkix.Extension{extension(1, grant), extension(2, user)},
	}
	return must(x509.CreateCertificate(nil, template, template, key.Public(), key))
}

func main() {
	var uuids []string
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		uuids = append(uuids, lines.Text())
	}
	switch os.Args[1] {
	case "values":
		for _, uuid := range uuids {
			fmt.Printf("utf8 %s %x\n", uuid, utf8String(uuid))
			fmt.Printf("printable %s %x\n", uuid, must(asn1.Marshal(uuid)))
		}
	case "certificate":
		der := certificate(uuids[len(uuids)-2], uuids[len(uuids)-1])
		must(0, pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
}

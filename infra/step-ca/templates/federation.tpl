{{- /*
  X.509 template of the provisioner that signs grant certificates.

  Everything in the certificate but its public key and its validity comes from
  the one-time token, which the gateway signed: not from the CSR (.Insecure.CR),
  not from the caller's templateData (.Insecure.User). A claim that is missing or
  malformed ends in `fail`, which step-ca answers with HTTP 400 and this text;
  printf alone would sign "%!s(<nil>)" into the extension.

  step-ca reads this file at every signing. Change the shipped file, never the
  installed one: init.sh puts an installed copy that differs back.
*/ -}}

{{- /*
  The arc of the two extensions. Operators with a Private Enterprise Number of
  their own set MOSAIC_OID_ARC (init.sh hands it over as templateData) or change
  the default on this one line.
    1.3.6.1.4.1.99999.1  mosaic_grant_id         UTF8String, 36 ASCII bytes
    1.3.6.1.4.1.99999.2  mosaic_subject_user_id  UTF8String, 36 ASCII bytes
*/ -}}
{{- $arc := get . "mosaicOidArc" | default "1.3.6.1.4.1.99999" -}}

{{- /*
  The text form of RFC 9562, section 4, in lower case only: one grant has one
  spelling, as RFC 5280, section 7.4 compares a URI without host letter by letter.
  \A and \z let no line break follow.
*/ -}}
{{- $uuid := `\A[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\z` -}}

{{- /*
  RFC 5280, section 4.1.2.2: positive and at most 20 octets. 39 digits are less
  than 2^130, hence at most 17 octets; 19 digits leave no serial of a careless
  counter. No leading zero: math/big would read the number as octal.
*/ -}}
{{- $serial := `\A[1-9][0-9]{18,38}\z` -}}

{{- /* step-ca leaves .Token out when it cannot read every claim (a number like 1e400). */ -}}
{{- if not (kindIs "map" .Token) -}}
  {{- fail "mosaic-template: claims of the token cannot be read" -}}
{{- end -}}
{{- $token := .Token -}}

{{- range $claim := list "mosaic_grant_id" "mosaic_subject_user_id" -}}
  {{- if not (hasKey $token $claim) -}}
    {{- fail (printf "mosaic-template: claim %s is absent" $claim) -}}
  {{- end -}}
  {{- if not (kindIs "string" (get $token $claim)) -}}
    {{- fail (printf "mosaic-template: claim %s is not a string" $claim) -}}
  {{- end -}}
  {{- if not (mustRegexMatch $uuid (get $token $claim)) -}}
    {{- fail (printf "mosaic-template: claim %s is not a canonical lower-case UUID" $claim) -}}
  {{- end -}}
{{- end -}}

{{- if not (hasKey $token "mosaic_serial") -}}
  {{- fail "mosaic-template: claim mosaic_serial is absent" -}}
{{- end -}}
{{- if not (kindIs "string" $token.mosaic_serial) -}}
  {{- fail "mosaic-template: claim mosaic_serial is not a string" -}}
{{- end -}}
{{- if not (mustRegexMatch $serial $token.mosaic_serial) -}}
  {{- fail "mosaic-template: claim mosaic_serial is not a positive decimal number of 19 to 39 digits without a leading zero" -}}
{{- end -}}

{{- if not (kindIs "string" (get $token "sub")) -}}
  {{- fail "mosaic-template: claim sub is not a string" -}}
{{- end -}}
{{- if ne $token.sub $token.mosaic_grant_id -}}
  {{- fail "mosaic-template: claim sub differs from mosaic_grant_id" -}}
{{- end -}}

{{- /* "utf8:" because asn1Enc writes a PrintableString (0x13) without it. keyUsage has
  no keyEncipherment for RSA keys either: TLS 1.3 signs, and has no RSA key transport. */ -}}
{
  "serialNumber": {{ toJson $token.mosaic_serial }},
  "subject": { "commonName": {{ toJson $token.mosaic_grant_id }} },
  "sans": [{ "type": "uri", "value": {{ printf "urn:uuid:%s" $token.mosaic_grant_id | toJson }} }],
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["clientAuth"],
  "extensions": [
    {
      "id": {{ printf "%s.1" $arc | toJson }},
      "critical": false,
      "value": {{ printf "utf8:%s" $token.mosaic_grant_id | asn1Enc | toJson }}
    },
    {
      "id": {{ printf "%s.2" $arc | toJson }},
      "critical": false,
      "value": {{ printf "utf8:%s" $token.mosaic_subject_user_id | asn1Enc | toJson }}
    }
  ]
}

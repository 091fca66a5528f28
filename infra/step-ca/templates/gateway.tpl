{{- /*
  X.509 template of the provisioner mosaic-gateway: the gateway's own TLS server
  certificate, and nothing else. No extension can be asked for, so a holder of
  this provisioner's key cannot make a grant certificate.

  The names it may sign are enforced here because ca.json has no name policy for
  one provisioner, and the policy of the whole authority cannot allow the grant
  certificates' urn:uuid: SAN (it wants a host in every URI).

  step-ca reads this file at every signing. Change the shipped file, never the
  installed one: init.sh puts an installed copy that differs back.
*/ -}}

{{- /*
  init.sh hands MOSAIC_GATEWAY_NAMES over as templateData: a map from each
  allowed name to the type of its SAN, "dns" or "ip".
*/ -}}
{{- $allowed := get . "mosaicGatewayNames" | default (dict "localhost" "dns" "127.0.0.1" "ip") -}}

{{- /* step-ca leaves .Token out when it cannot read every claim (a number like 1e400). */ -}}
{{- if not (kindIs "map" .Token) -}}
  {{- fail "mosaic-template: claims of the token cannot be read" -}}
{{- end -}}
{{- $token := .Token -}}

{{- if not (kindIs "string" (get $token "sub")) -}}
  {{- fail "mosaic-template: claim sub is not a string" -}}
{{- end -}}
{{- if not (hasKey $allowed $token.sub) -}}
  {{- fail "mosaic-template: claim sub is not one of MOSAIC_GATEWAY_NAMES" -}}
{{- end -}}

{{- /* Without sans step-ca takes the subject for the only name; so does this. */ -}}
{{- $names := list $token.sub -}}
{{- if hasKey $token "sans" -}}
  {{- $names = $token.sans -}}
  {{- if not (kindIs "slice" $names) -}}
    {{- fail "mosaic-template: claim sans is not an array" -}}
  {{- end -}}
  {{- if empty $names -}}
    {{- $names = list $token.sub -}}
  {{- end -}}
{{- end -}}

{{- $sans := list -}}
{{- range $name := $names -}}
  {{- if not (kindIs "string" $name) -}}
    {{- fail "mosaic-template: claim sans holds something other than a string" -}}
  {{- end -}}
  {{- if not (hasKey $allowed $name) -}}
    {{- fail "mosaic-template: claim sans holds a name that is not one of MOSAIC_GATEWAY_NAMES" -}}
  {{- end -}}
  {{- $sans = append $sans (dict "type" (get $allowed $name) "value" $name) -}}
{{- end -}}
{
  "subject": { "commonName": {{ toJson $token.sub }} },
  "sans": {{ toJson (uniq $sans) }},
  "keyUsage": ["digitalSignature"],
  "extKeyUsage": ["serverAuth"]
}

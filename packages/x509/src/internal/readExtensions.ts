/** Extensions (RFC 5280 §4.1) out of DER, of a certificate or of a request for one. */
import type { Extension } from "../GrantExtension.ts"
import { DerError, type DerElement, expectChildren, expectTag, readBoolean, readOid, Tag } from "./der.ts"

const mostExtensions = 64

/** SEQUENCE { extnID, critical DEFAULT FALSE, extnValue OCTET STRING } */
const readExtension = (element: DerElement): Extension => {
  const parts = expectChildren(element, Tag.sequence, "extension")
  const oid = readOid(parts[0], "extnID")
  const stated = parts.length === 3
  const critical = stated && readBoolean(parts[1], "critical")
  // X.690 §11.5: a value equal to its default is not encoded.
  if (stated && !critical) throw new DerError(element.offset, `extension ${oid}: critical FALSE is encoded`)
  const value = expectTag(parts[stated ? 2 : 1], Tag.octetString, `extension ${oid}: extnValue`)
  if (parts.length > 3) throw new DerError(element.offset, `extension ${oid}: too many members`)
  return { oid, critical, value: value.contents }
}

export const readExtensions = (element: DerElement): ReadonlyArray<Extension> => {
  const extensions: Array<Extension> = []
  for (const child of expectChildren(element, Tag.sequence, "extensions")) {
    extensions.push(readExtension(child))
    if (extensions.length > mostExtensions)
      throw new DerError(child.offset, `more than ${mostExtensions} extensions`)
  }
  return extensions
}

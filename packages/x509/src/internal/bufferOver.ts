/** The same octets as a Buffer, which decodes and compares them; `Buffer.from(octets)` would copy them. */
export const bufferOver = (octets: Uint8Array): Buffer =>
  Buffer.from(octets.buffer, octets.byteOffset, octets.length)

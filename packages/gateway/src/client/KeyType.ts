/** The keys that a peer makes here; a CSR may bring any that the key policy accepts. */
export const keyTypes = ["p256", "p384", "ed25519", "rsa3072"] as const

export type KeyType = (typeof keyTypes)[number]

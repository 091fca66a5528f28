/** The one spelling of a UUID that grants and certificates use; other spellings of the same UUID are refused. */

/** RFC 9562 §4 in lower case: 36 characters, any version and variant. */
export const canonicalUuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

export const isCanonicalUuid = (value: string): boolean => canonicalUuid.test(value)

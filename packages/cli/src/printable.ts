/**
 * Text for a terminal. Names in certificates and answers of a CA are written by others: a control character in one could
 * move the cursor or retitle the window, and a bidirectional override could show a name backwards.
 */
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

/** Newlines stay; every other control or format character is shown as its code point. */
export const printable = (text: string): string =>
  text.replace(unsafe, (character) =>
    character === "\n"
      ? character
      : `\\u{${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0").toUpperCase()}}`
  )

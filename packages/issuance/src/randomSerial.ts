import { randomBytes } from "node:crypto"
import { SerialNumber } from "@mosaic-federation/domain/SerialNumber"

/**
 * A serial number of 127 random bits in decimal: positive in DER without a padding octet, within the 20 octets of
 * RFC 5280 §4.1.2.2, and far above the 64 bits that the CA/Browser Forum asks for. One below 10^18, of which there is
 * one in 10^20, is drawn again: the template takes no fewer than 19 digits.
 */
export const randomSerial = (): SerialNumber => {
  const bytes = randomBytes(16)
  const serial = BigInt(`0x${bytes.toString("hex")}`) >> 1n
  return serial >= 10n ** 18n ? SerialNumber.make(serial.toString()) : randomSerial()
}

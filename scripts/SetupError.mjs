/** Something is missing that this repository cannot fetch by itself; says what to do about it. */
export class SetupError extends Error {
  name = "SetupError"

  /** @param {string} message @param {ReadonlyArray<string>} remedies any one of which helps */
  constructor(message, remedies) {
    super(message)
    this.remedies = remedies
  }

  report() {
    return [`Stopped: ${this.message}`, ...this.remedies.map((remedy) => `  - ${remedy}`), ""].join("\n")
  }
}

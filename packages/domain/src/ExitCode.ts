/**
 * The exit codes of `mosaic`. They are stable: scripts may rely on them.
 */
export const ExitCode = {
  done: 0,
  usage: 2,
  refused: 3,
  caRefused: 4,
  unavailable: 5,
  withheld: 6,
  storage: 7,
  configuration: 8,
  warned: 10,
  failed: 11,
  bug: 70
} as const

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

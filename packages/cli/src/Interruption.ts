/** What an interruption (SIGINT, SIGTERM) means for the exit code: that of a command that did not come to its end. */

/** 128 + SIGINT, as shells have it. */
const interrupted = 130

let exitCode = interrupted

/** For a command that runs until it is told to end, once it has ended in order. */
export const endsInOrder = (): void => {
  exitCode = 0
}

export const interruptionExitCode = (): number => exitCode

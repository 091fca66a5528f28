/** Keeps the quickstart's CA running in the foreground, for commands in another terminal. */
import "../../packages/quickstart/src/ca.ts"

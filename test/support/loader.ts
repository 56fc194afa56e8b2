/** What Node is to be given to understand TypeScript in a process that a test starts: what this one was given (compiled.ts, or tsx). */
export const LOADER: readonly string[] = process.execArgv;

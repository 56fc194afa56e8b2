/** Programmer errors: an assert that fails is a bug in weir and ends the process with what is known. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

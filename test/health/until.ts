/** Waiting for what will come, with an end. */

/** Wait for a condition, at most five seconds. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const endMs = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > endMs) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 2); });
  }
}

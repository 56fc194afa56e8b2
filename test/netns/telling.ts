/** uvu swallows what a before hook throws: the suite is then 0 of N without a reason. This hook tells the reason first. */
export function telling<T>(hook: (context: T) => Promise<void>): (context: T) => Promise<void> {
  return async (context) => {
    try {
      await hook(context);
    } catch (error) {
      console.error(`\n${error instanceof Error ? error.stack ?? error.message : String(error)}`);
      throw error;
    }
  };
}

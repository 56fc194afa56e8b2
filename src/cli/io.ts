/** Where a command's words go: standard output and error, with what is known about the reader. Tests put their own in its place. */

export interface Io {
  /** To standard output; resolves once the reader has room for more. Rejects with OutputClosed when there is no reader any more. */
  write(text: string): Promise<void>;
  /** To standard error. */
  writeError(text: string): void;
  /** Colours may be used on standard output. */
  color: boolean;
  /** Unix time, milliseconds. */
  nowMs(): number;
}

/** The reader of our output has gone (`weir flows | head`): no error, just the end. */
export class OutputClosed extends Error {
  override readonly name = 'OutputClosed';
}

/** Colours: only for a terminal that can show them and a person who has not asked for none (https://no-color.org). */
export function wantsColor(isTerminal: boolean, env: NodeJS.ProcessEnv): boolean {
  return isTerminal && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
}

/** The process's own standard output and error. */
export function processIo(): Io {
  // Each failed write is told to its own callback; without listeners the streams would also throw it at the whole process.
  process.stdout.on('error', () => undefined);
  process.stderr.on('error', () => undefined);
  return {
    write(text) {
      return new Promise((resolve, reject) => {
        process.stdout.write(text, (error?: NodeJS.ErrnoException | null) => {
          if (error === null || error === undefined) resolve();
          else reject(error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED' ? new OutputClosed() : error);
        });
      });
    },
    writeError(text) { process.stderr.write(text); },
    color: wantsColor(process.stdout.isTTY === true, process.env),
    nowMs: Date.now,
  };
}

/** Running commands to their end: asynchronously for traffic and questions, synchronously for building and clearing a lab. */
import { execFile, spawnSync } from 'node:child_process';

export interface RunOptions {
  /** Killed after this; 30 s unless told. */
  timeoutMs?: number;
  input?: string;
  /** false: any exit code is an answer. Otherwise a code above 0 throws. */
  check?: boolean;
  cwd?: string;
}

export interface RunResult { /** -1 when it was killed. */ code: number; stdout: string; stderr: string }

const OUTPUT_LIMIT_BYTES = 256 * 1024 * 1024;

/** A command that did not do what the lab needs, with what it said. */
export class CommandError extends Error {
  readonly result: RunResult;
  constructor(argv: readonly string[], result: RunResult, why: string) {
    super(`${argv.join(' ')}: ${why}\n${(result.stderr + result.stdout).trim()}`.trimEnd());
    this.name = 'CommandError';
    this.result = result;
  }
}

export function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { timeoutMs = 30_000, input, check = true, cwd } = options;
  return new Promise((resolve, reject) => {
    const child = execFile(argv[0], argv.slice(1), { timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: OUTPUT_LIMIT_BYTES, cwd }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      const result = { code, stdout, stderr };
      if (error === null || (!check && code >= 0)) resolve(result);
      else if (error.killed === true) reject(new CommandError(argv, result, `did not end within ${timeoutMs / 1000} s`));
      else reject(new CommandError(argv, result, code >= 0 ? `exit code ${code}` : error.message));
    });
    // A command that ends without reading its input is judged by its exit code, not by the broken pipe.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input ?? '');
  });
}

/** The same, waiting in place; for set-up steps of a few milliseconds, and where nothing may be awaited any more. */
export function runNow(argv: readonly string[], options: RunOptions = {}): RunResult {
  const { timeoutMs = 30_000, input, check = true, cwd } = options;
  const ended = spawnSync(argv[0], argv.slice(1), { timeout: timeoutMs, killSignal: 'SIGKILL', input: input ?? '', encoding: 'utf8', cwd });
  const result = { code: ended.status ?? -1, stdout: ended.stdout ?? '', stderr: ended.stderr ?? '' };
  if (check && result.code !== 0) throw new CommandError(argv, result, ended.error?.message ?? `exit code ${result.code}`);
  return result;
}

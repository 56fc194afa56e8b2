/**
 * A program run without a shell, as another user if told so, in a process group of its own that is killed as a whole: at the time limit, and
 * what the program left behind when it ended. It gets no terminal, nothing on stdin, and an environment with nothing in it but:
 *
 *   PATH                the usual directories
 *   HOME, USER          of the user it runs as, when that is another one
 *   WEIR_LOCAL_ADDRESS  the address to bind to in order to leave by what is checked; not set when there is none
 *   WEIR_TIMEOUT_MS     the time it has
 *
 * It is run only if nobody else could have written it (base/safe-path.ts), and by the very path that was judged; its own name is the configured one.
 *
 * Exit code 0 is good, any other one is not. With setsWeight the codes are those of keepalived's MISC_CHECK with misc_dynamic: 0 good, 1 not, and
 * 2 … 255 good with a weight of code − 2. The last of its words, the first line of stderr or else of stdout, go into the reason.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Readable } from 'node:stream';
import { systemClock } from '../../base/clock.js';
import { judgePath } from '../../base/safe-path.js';
import { Attempts, failed, succeeded } from './attempt.js';
import type { Finish } from './attempt.js';
import type { CheckContext, CheckType, ProbePlanOf } from './check.js';
import { oneLine, phraseOf } from './reason.js';
import { findUser } from './user.js';
import type { User } from './user.js';

/** Kept of what it writes, of stdout and of stderr; the rest is read and thrown away so that it is not held up. */
const OUTPUT_LIMIT_BYTES = 4_096;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Exit codes from here on are weights. */
const WEIGHT_BASE = 2;

export const script: CheckType<'script'> = {
  kind: 'script',
  sentence: 'Runs a program without a shell; good is exit code 0.',
  create(plan, context) {
    const attempts = new Attempts();
    return {
      probe: (timeoutMs, signal) => attempts.run(timeoutMs, signal, (finish) => begin(plan, context, timeoutMs, finish)),
      close() { attempts.close(); },
    };
  },
};

function begin(plan: ProbePlanOf<'script'>, context: CheckContext, timeoutMs: number, finish: Finish): () => void {
  const user = plan.user === undefined ? undefined : findUser(plan.user);
  if (user === null) {
    finish(failed(`no user '${plan.user}'`));
    return () => {};
  }
  let end: (() => void) | null = null;
  let isOver = false;
  judgePath(plan.command[0]).then(({ real, why }) => {
    if (isOver) return;
    if (why === null) end = run(real, plan, user, context, timeoutMs, finish);
    else finish(failed(`not run: ${why}`));
  }, (error: NodeJS.ErrnoException) => { finish(failed(phraseOf(error))); });
  return () => {
    isOver = true;
    end?.();
  };
}

function run(path: string, plan: ProbePlanOf<'script'>, user: User | undefined, context: CheckContext, timeoutMs: number, finish: Finish): () => void {
  const [called, ...parameters] = plan.command;
  const sinceMs = systemClock.nowMs();
  const child = spawn(path, parameters, {
    argv0: called,
    cwd: '/',
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH, WEIR_TIMEOUT_MS: String(timeoutMs),
      ...(user === undefined ? {} : { HOME: user.home, USER: plan.user }),
      ...(context.localAddress === undefined ? {} : { WEIR_LOCAL_ADDRESS: context.localAddress }),
    },
    // With these Node drops the supplementary groups, too.
    ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
  });
  const said = { out: collect(child.stdout), err: collect(child.stderr) };
  child.on('error', (error: NodeJS.ErrnoException) => { finish(failed(error.code === 'EPERM' && user !== undefined ? `may not run as '${plan.user}'` : phraseOf(error))); });
  child.once('exit', (code, signal) => {
    // What it wrote last may still be on its way through the pipes: they are read to where they are now.
    setImmediate(() => {
      const good = succeeded(sinceMs);
      if (code === 0) finish(good);
      else if (plan.setsWeight === true && code !== null && code >= WEIGHT_BASE) finish({ ...good, weight: code - WEIGHT_BASE });
      else {
        const words = said.err() || said.out();
        finish(failed(`${code === null ? `killed by ${signal}` : `exit code ${code}`}${words === '' ? '' : `: ${words}`}`, good.latencyMs));
      }
    });
  });
  return () => { endGroup(child); };
}

/** The first line of what a stream said, as far as it was kept. */
function collect(stream: Readable): () => string {
  const kept: Buffer[] = [];
  let room = OUTPUT_LIMIT_BYTES;
  stream.on('data', (chunk: Buffer) => {
    if (room <= 0) return;
    kept.push(chunk.subarray(0, room));
    room -= chunk.length;
  });
  stream.on('error', () => {});
  return () => oneLine(Buffer.concat(kept).toString('utf8'));
}

/** Kill whatever is left of it. Its group outlives it as long as a member lives, and is gone otherwise. */
function endGroup(child: ChildProcess): void {
  if (child.pid !== undefined) {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch (error) {
      // ESRCH: nobody left. EPERM: only ones of another user, who are not ours to kill.
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ESRCH' && code !== 'EPERM') throw error;
    }
  }
  child.stdout?.destroy();
  child.stderr?.destroy();
}

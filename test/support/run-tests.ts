/**
 * Compiles the tests once, then runs every test file in a process of its own and adds up what uvu reports. A failure stops nothing. A file that reports
 * no totals, holds no test, does not end within its time, or ends badly although its tests passed, counts as one failed.
 *
 * Three files at a time: two of those that use namespaces or devices (test/netns, test/link), whose labs have names of their own and which mostly wait, and
 * beside them one of the others, which compute. When the labs are through, the others are run in their places as well.
 *
 * The last line is `N passed, N failed`; the exit code is 0 only when nothing failed and something passed.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What a file needs to be run as scripts/compile-tests has left it. */
const COMPILED = pathToFileURL(join(ROOT, 'build/tests/test/support/compiled.js')).href;
/** There once all that is there has been made of the sources as they are. */
const COMPILED_NOTES = join(ROOT, 'build/tests/.tsbuildinfo');
const UNIT_LIMIT_MS = 240_000;
const LAB_LIMIT_MS = 480_000;
/** What a file gets to clean up after being asked to end. */
const GRACE_MS = 10_000;
/** Labs at a time, and files beside them. */
const LAB_LANES = 2;
const UNIT_LANES = 1;
/** Of the files with labs those that take longest, longest first: begun late, one of them would be left to run by itself at the end. */
const LONGEST = [
  'offload', 'ha-pair', 'one-arm', 'share-faults', 'server-failure', 'one-arm-import', 'checks', 'vrrp', 'reply-path', 'failover', 'daemon', 'flapping', 'lvs-nat', 'multiwan-tap', 'multiwan-raw',
].map((name) => `test/netns/${name}.test.ts`);
/** Output kept of one file: its beginning and its end. */
const OUTPUT_LIMIT_BYTES = 256 * 1024;

interface Outcome { name: string; passed: number; failed: number; skipped: number; durationMs: number; reason: string | null; output: string }

const running = new Set<ChildProcess>();
let interrupted = false;

/** Signals a file and everything it started. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch { /* It has ended meanwhile. */ }
}

/** Keeps the first half and the last half of the limit: the first failure and the totals are both worth reading. */
function shorten(output: string): string {
  if (output.length <= OUTPUT_LIMIT_BYTES) return output;
  const half = OUTPUT_LIMIT_BYTES / 2;
  return `${output.slice(0, half)}\n… ${output.length - 2 * half} characters left out …\n${output.slice(-half)}`;
}

/** Runs one command to its end or to its limit, its output as one text. */
function execute(argv: string[], limitMs: number): Promise<{ code: number | null; signal: string | null; timedOut: boolean; output: string; durationMs: number }> {
  return new Promise((resolve) => {
    const startMs = performance.now();
    const child = spawn(argv[0], argv.slice(1), {
      cwd: ROOT, detached: true, stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' },
    });
    running.add(child);
    const chunks: string[] = [];
    let kept = 0;
    const keep = (text: string): void => {
      // Beyond four times the limit only the end is of use; the middle goes first.
      chunks.push(text);
      kept += text.length;
      while (kept > 4 * OUTPUT_LIMIT_BYTES && chunks.length > 2) kept -= chunks.splice(1, 1)[0].length;
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    let timedOut = false;
    let killer: NodeJS.Timeout | undefined;
    const limit = setTimeout(() => {
      timedOut = true;
      signalGroup(child, 'SIGTERM');
      killer = setTimeout(() => {
        signalGroup(child, 'SIGKILL');
        // A grandchild in a group of its own may still hold the pipes.
        child.stdout.destroy();
        child.stderr.destroy();
      }, GRACE_MS);
    }, limitMs);
    child.on('error', (error) => keep(`${error.message}\n`));
    child.on('close', (code, signal) => {
      clearTimeout(limit);
      clearTimeout(killer);
      running.delete(child);
      resolve({ code, signal, timedOut, output: shorten(chunks.join('')), durationMs: performance.now() - startMs });
    });
  });
}

/** The totals uvu printed last, or null. */
function totals(output: string): { total: number; passed: number; skipped: number } | null {
  const found = [...output.matchAll(/^ {2}Total: +(\d+)\n {2}Passed: +(\d+)\n {2}Skipped: +(\d+)$/gm)].pop();
  return found === undefined ? null : { total: Number(found[1]), passed: Number(found[2]), skipped: Number(found[3]) };
}

async function runFile(name: string, limitMs: number): Promise<Outcome> {
  const run = await execute([process.execPath, '--import', COMPILED, name], limitMs);
  const sum = totals(run.output);
  const outcome: Outcome = {
    name, passed: sum?.passed ?? 0, failed: sum === null ? 0 : sum.total - sum.passed, skipped: sum?.skipped ?? 0,
    durationMs: run.durationMs, reason: null, output: run.output,
  };
  if (run.timedOut) outcome.reason = `did not end within ${limitMs / 1000} s`;
  else if (sum === null) outcome.reason = `ended without totals (${run.signal ?? `exit code ${run.code}`})`;
  else if (sum.total === 0) outcome.reason = 'holds no test';
  else if (outcome.failed === 0 && run.code !== 0) outcome.reason = `its tests passed but it ended with ${run.signal ?? `exit code ${run.code}`}`;
  if (outcome.reason !== null && outcome.failed === 0) outcome.failed = 1;
  return outcome;
}

/** A script that judges the sources; counts as one test. */
async function runScript(name: string, ...args: string[]): Promise<Outcome> {
  const run = await execute([join(ROOT, name), ...args], UNIT_LIMIT_MS);
  const passed = run.code === 0;
  return { name, passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0, durationMs: run.durationMs, reason: passed ? null : 'found something', output: run.output };
}

function report(outcome: Outcome): Outcome {
  const mark = outcome.failed === 0 ? 'ok    ' : 'FAILED';
  const skipped = outcome.skipped === 0 ? '' : `, ${outcome.skipped} skipped`;
  console.log(`${mark} ${outcome.name}  ${outcome.passed} of ${outcome.passed + outcome.failed}${skipped}  ${(outcome.durationMs / 1000).toFixed(1)} s${outcome.reason === null ? '' : `  (${outcome.reason})`}`);
  if (outcome.failed > 0) console.log(outcome.output.trimEnd().replaceAll(/^/gm, '    | '));
  return outcome;
}

type Job = () => Promise<Outcome>;

/** Works the lists off, each in its lanes; a lane whose list is done goes on with the next one. */
async function inLanes(...lists: { jobs: readonly Job[]; lanes: number }[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const queues = lists.map(({ jobs }) => [...jobs]);
  const lane = async (first: number): Promise<void> => {
    for (let i = first; i < queues.length; i++) {
      for (let job = queues[i].shift(); job !== undefined && !interrupted; job = queues[i].shift()) outcomes.push(report(await job()));
    }
  };
  await Promise.all(lists.flatMap(({ lanes }, i) => Array.from({ length: lanes }, () => lane(i))));
  return outcomes;
}

async function main(filters: string[]): Promise<number> {
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.test.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath ?? entry.path, entry.name)))
    .filter((name) => filters.length === 0 || filters.some((filter) => name.includes(filter.replace(/^\.\//, ''))))
    .sort();
  const labs = files.filter((name) => /^test\/(netns|link)\//.test(name));
  const unit = files.filter((name) => !labs.includes(name));
  const rank = (name: string): number => (LONGEST.includes(name) ? LONGEST.indexOf(name) : LONGEST.length);
  labs.sort((a, b) => rank(a) - rank(b));
  const unitJobs: Job[] = unit.map((name) => () => runFile(name, UNIT_LIMIT_MS));
  // Types are judged where everything is; a few files run whatever others look like.
  const compilation = await runScript('scripts/compile-tests');
  if (filters.length === 0 || compilation.failed > 0) report(compilation);
  if (!existsSync(COMPILED_NOTES)) {
    console.log('the tests were not compiled, so none was run\n0 passed, 1 failed');
    return interrupted ? 130 : 1;
  }
  if (filters.length === 0) unitJobs.unshift(() => runScript('scripts/lint', '--compiled'));
  const outcomes = [
    ...filters.length === 0 ? [compilation] : [],
    ...await inLanes({ jobs: labs.map((name) => () => runFile(name, LAB_LIMIT_MS)), lanes: LAB_LANES }, { jobs: unitJobs, lanes: UNIT_LANES }),
  ];
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0);
  const skipped = outcomes.reduce((sum, outcome) => sum + outcome.skipped, 0);
  for (const outcome of outcomes) if (outcome.failed > 0) console.log(`failed: ${outcome.name}: ${outcome.failed}${outcome.reason === null ? '' : `, ${outcome.reason}`}`);
  if (skipped > 0) console.log(`skipped: ${skipped}`);
  if (files.length === 0) console.log(`no test file matches ${filters.join(' ')}`);
  console.log(`${passed} passed, ${failed} failed`);
  return interrupted ? 130 : failed === 0 && passed > 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // A second signal does not wait for the clean-up of the files.
    for (const child of running) signalGroup(child, interrupted ? 'SIGKILL' : 'SIGTERM');
    interrupted = true;
  });
}
process.exitCode = await main(process.argv.slice(2));

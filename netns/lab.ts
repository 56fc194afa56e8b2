/**
 * `weir lab NAME`: brings a scenario up, shows its topology and commands to try, and leaves the person in a shell on its client
 * host; without a terminal it waits until it is interrupted. Whatever way it ends, nothing is left.
 */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { RunningScenario, ScenarioOptions } from './kit/scenario.js';
import { scenarios } from './registry.js';

/** How each option is written. */
const OPTIONS = { form: '--form tap|raw', weights: '--weights A:B', peer: '--peer weir|kernel', snat: '--snat auto|always|never' } as const satisfies Record<keyof ScenarioOptions, string>;
const WIDTH = Math.max(...scenarios.map(({ name }) => name.length));
const USAGE = `usage: weir lab NAME [OPTIONS] [--exit-after-up]

${scenarios.map(({ name, summary, options }) => [`  ${name.padEnd(WIDTH)}  ${summary}`, ...(options.length === 0 ? [] : [' '.repeat(WIDTH + 4) + options.map((option) => OPTIONS[option]).join(', ')])].join('\n')).join('\n')}
`;
const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Wish { name: string; options: ScenarioOptions; exitAfterUp: boolean }

/** The one of `allowed` that was given; undefined when it is none of them. */
function choice<T extends string>(given: string, allowed: readonly T[]): T | undefined { return allowed.find((one) => one === given); }

/** What the command line asks for, or a sentence on what is wrong with it. */
function read(args: string[]): Wish | string {
  let parsed;
  try {
    parsed = parseArgs({ args, allowPositionals: true, options: { form: { type: 'string' }, weights: { type: 'string' }, peer: { type: 'string' }, snat: { type: 'string' }, 'exit-after-up': { type: 'boolean', default: false } } });
  } catch (error) {
    return (error as Error).message;
  }
  const { 'exit-after-up': exitAfterUp, ...given } = parsed.values;
  const [name, ...more] = parsed.positionals;
  if (more.length > 0) return `one scenario at a time, found ${parsed.positionals.join(' ')}`;
  const chosen = scenarios.find((scenario) => scenario.name === name);
  if (chosen === undefined) return `no scenario is called ${name}; there is: ${scenarios.map((scenario) => scenario.name).join(', ')}`;
  const unknown = (Object.keys(given) as (keyof ScenarioOptions)[]).find((option) => !chosen.options.includes(option));
  if (unknown !== undefined) return `${name} has no --${unknown}; ${chosen.options.length === 0 ? 'it has no options' : `it has: ${chosen.options.map((option) => OPTIONS[option]).join(', ')}`}`;
  const form = choice(given.form ?? 'raw', ['tap', 'raw']);
  const peer = choice(given.peer ?? 'weir', ['weir', 'kernel']);
  const snat = given.snat === undefined ? null : choice(given.snat, ['auto', 'always', 'never']);
  if (form === undefined) return `--form is tap or raw, found ${given.form}`;
  if (peer === undefined) return `--peer is weir or kernel, found ${given.peer}`;
  if (snat === undefined) return `--snat is auto, always or never, found ${given.snat}`;
  const weights = given.weights?.split(':').map((word) => /^\d{1,3}$/.test(word) ? Number(word) : Number.NaN);
  if (weights !== undefined && (weights.length !== 2 || weights.some((weight) => !(weight >= 1 && weight <= 256)))) return `--weights is two numbers from 1 to 256 as in 3:1, found ${given.weights}`;
  return { name: chosen.name, options: { form, peer, ...(snat === null ? {} : { snat }), ...(weights === undefined ? {} : { weights }) }, exitAfterUp };
}

/** A shell on the scenario's client host, with `weir` asking the lab's daemon. Ends when the person leaves it. */
function shell(running: RunningScenario): Promise<void> {
  const file = join(running.lab.directory, 'shellrc');
  const weir = running.socket === null ? '' : `weir() { '${join(ROOT, 'bin/weir')}' "$@" --socket '${running.socket}'; }\n`;
  writeFileSync(file, `PS1='${running.shellHost.name}# '\n${weir}`);
  console.log(`You are on ${running.shellHost.name}${running.socket === null ? '' : '; `weir` asks the lab\'s daemon'}. Leave with exit or Ctrl-D: all is removed then.\n`);
  return new Promise((resolve, reject) => {
    const child = spawn('ip', ['netns', 'exec', running.shellHost.namespace, 'bash', '--noprofile', '--rcfile', file, '-i'], { stdio: 'inherit', cwd: ROOT });
    child.on('error', reject);
    child.on('exit', () => resolve());
  });
}

async function main(args: string[]): Promise<number> {
  if (args.length === 0 || args.includes('--help') || args.includes('-h')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const wish = read(args);
  if (typeof wish === 'string') {
    process.stderr.write(`lab: ${wish}\n\n${USAGE}`);
    return 2;
  }
  const { name, options, exitAfterUp } = wish;
  const chosen = scenarios.find((scenario) => scenario.name === name)!;
  const running = await chosen.up(options);
  try {
    const width = Math.max(...running.commands.map(({ command }) => command.length));
    console.log(`${chosen.name} (${options.peer === 'kernel' ? 'the kernel routes' : `weir, ${options.form} form`}): ${chosen.summary}\n${running.drawing}`);
    for (const host of running.lab.hosts) console.log(`  ${host.name.padEnd(10)} is the namespace ${host.namespace}`);
    if (running.show !== undefined) console.log(`\n${await running.show()}`);
    console.log('\nTo try:');
    for (const { command, shows } of running.commands) console.log(`  ${command.padEnd(width)}  ${shows}`);
    console.log('');
    if (exitAfterUp) return 0;
    if (process.stdin.isTTY && process.stdout.isTTY) {
      await shell(running);
      return 0;
    }
    console.log('Running until interrupted.');
    // The signal handlers of the lab end the process.
    await new Promise<never>(() => { setInterval(() => {}, 1 << 30); });
    return 0;
  } finally {
    running.close();
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`lab: ${(error as Error).message}`);
  process.exitCode = (error as NodeJS.ErrnoException).code === 'EPERM' ? 77 : 1;
}

/**
 * Writes the tables of docs/schedulers.md: what each scheduler says of itself, and how many clients a change moves, measured as
 * test/balance/disruption.ts tells. What stands between a pair of markers is made here, all else in the file by hand:
 *
 *     <!-- begin NAME -->   schedulers | disruption
 *     <!-- end NAME -->
 *
 * `npx tsx scripts/generate-scheduler-docs.ts` writes the file; test/docs.test.ts compares what is on disk with what this makes.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { SCHEDULERS } from '../src/balance/scheduler/registry.js';
import type { SchedulerType } from '../src/balance/scheduler/scheduler.js';
import { EVENTS, LEAST, moved } from '../test/balance/disruption.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
export const SCHEDULER_DOCS = 'docs/schedulers.md';

const SHARES: Record<SchedulerType['shares'], string> = {
  weight: 'new flows as the weights',
  equal: 'new flows equal',
  load: 'flows at work as the weights',
  'equal-load': 'flows at work equal',
  first: 'the heaviest first',
};

const BY: Record<SchedulerType['by'], string> = { flow: 'flow', source: 'client', destination: 'destination' };

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
const percent = (value: number): string => (value > 0 && value < 10 ? value.toFixed(1) : value.toFixed(0));
const linked = (name: string): string => `[\`${name}\`](../src/balance/scheduler/${name}.ts)`;

function schedulerPart(): string[] {
  return [
    '| name | how it chooses | goes by | law of shares | when to take it |',
    '|---|---|---|---|---|',
    ...SCHEDULERS.map((type) => `| ${linked(type.name)} | ${sentence(type.sentence)} | ${BY[type.by]} | ${SHARES[type.shares]} | ${sentence(type.use)} |`),
  ];
}

function disruptionPart(): string[] {
  return [
    '| name | again | down | back | added | removed | halved | in words |',
    '|---|--:|--:|--:|--:|--:|--:|---|',
    `| *the least* | ${EVENTS.map((event) => `*${percent(LEAST[event])}*`).join(' | ')} | *What a split by weight has to move, whoever does it.* |`,
    ...SCHEDULERS.map((type) => `| \`${type.name}\` | ${EVENTS.map((event) => percent(moved(type, event))).join(' | ')} | ${sentence(type.disruption)} |`),
  ];
}

function part(name: string): string[] {
  if (name === 'schedulers') return schedulerPart();
  if (name === 'disruption') return disruptionPart();
  throw new Error(`${SCHEDULER_DOCS}: no part is called '${name}'`);
}

/** The document with its made parts as they should be; everything outside of the markers stays as it is. */
export function schedulerDocs(text: string): string {
  return text.replace(/^<!-- begin (.+?) -->\n[\s\S]*?^<!-- end \1 -->$/gm, (_, name: string) => `<!-- begin ${name} -->\n${part(name).join('\n')}\n<!-- end ${name} -->`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = join(ROOT, SCHEDULER_DOCS);
  writeFileSync(file, schedulerDocs(readFileSync(file, 'utf8')));
}

/**
 * The bench: weir against the kernel and HAProxy on the same topology in the same run, and weir's parts by size.
 *
 *     npm run bench [-- --quick] [-- NAME…]     NAME: part of a job's name (bulk, udp, new-flows, latency, servers, share) or of a micro-bench's
 *                                               (micro, pipeline, life, flow-table, fib, port-pool, listing, failover, replicate)
 *     npm run bench -- --write-docs             puts the figures of the last whole run into docs/performance.md
 *
 * Leaves bench/out/bench.json and bench/out/pipeline.svg. Exit code 0 when everything was measured, whatever the figures say: speed is
 * judged by people reading the table, not by a test on somebody else's machine.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FARM_LOADS } from './net/farm.js';
import { LOADS } from './net/loads.js';
import { SHARE_LOADS } from './net/share.js';
import { runMicro } from './micro/run.js';
import { runFarm, runNet, runShare } from './net/run.js';
import { blocksOf, fillIn } from './report/docs.js';
import { describe, machine } from './report/machine.js';
import { plot } from './report/plot.js';
import type { BenchResult } from './report/result.js';
import { GOAL_HEAD, goalLines, NET_HEAD, netLines, PIPELINE_HEAD, pipelineLines, REPLICATE_HEAD, replicateLines, SERVER_HEAD, serverLines, SHARE_HEAD, shareLines, TABLE_HEAD, tableLines } from './report/rows.js';
import { textTable } from './report/table.js';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const JSON_FILE = at('out/bench.json');
const PLOT_FILE = at('out/pipeline.svg');
const DOCUMENT = at('../docs/performance.md');
const DOCUMENT_PLOT = at('../docs/performance.svg');
const MICRO_NAMES = ['micro', 'pipeline', 'life', 'flow-table', 'fib', 'port-pool', 'listing', 'failover', 'replicate'];

function writeDocs(): void {
  const result = JSON.parse(readFileSync(JSON_FILE, 'utf8')) as BenchResult;
  writeFileSync(DOCUMENT, fillIn(readFileSync(DOCUMENT, 'utf8'), blocksOf(result)));
  writeFileSync(DOCUMENT_PLOT, plot(result.micro!.pipeline, describe(result.machine)));
  console.log('docs/performance.md and docs/performance.svg hold the figures of the last run');
}

function show(title: string, head: readonly string[], lines: Parameters<typeof textTable>[1]): void {
  if (lines.length > 0) console.log(`\n${title}\n\n${textTable(head, lines)}`);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ options: { quick: { type: 'boolean', default: false }, 'write-docs': { type: 'boolean', default: false } }, allowPositionals: true });
  const known = [...LOADS.map(({ name }) => name), ...FARM_LOADS.map(({ name }) => name), ...SHARE_LOADS.map(({ name }) => name), ...MICRO_NAMES];
  const unknown = positionals.filter((part) => !known.some((name) => name.includes(part)));
  if (unknown.length > 0) {
    console.error(`bench: nothing is called ${unknown.join(', ')}; there are ${known.join(', ')}`);
    return 2;
  }
  if (values['write-docs']) {
    writeDocs();
    return 0;
  }
  const isQuick = values.quick;
  const say = (line: string): void => console.log(line);
  const startMs = performance.now();
  const startedAt = new Date().toISOString();
  const host = machine();
  say(describe(host));
  // A name like udp asks for jobs only, one like fib for micro-benches only.
  const options = { rounds: isQuick ? 3 : 5, seconds: isQuick ? 0.6 : 2, only: positionals, say };
  const result: BenchResult = { schemaVersion: 1, startedAt, seconds: 0, isQuick, only: positionals, machine: host, net: null, servers: null, share: null, micro: null };
  // After each part: what has been measured is not lost with one that fails.
  const save = (): void => {
    result.seconds = Math.round((performance.now() - startMs) / 1000);
    mkdirSync(at('out'), { recursive: true });
    writeFileSync(JSON_FILE, `${JSON.stringify(result, null, 2)}\n`);
  };
  const net = result.net = await runNet(options);
  save();
  const servers = result.servers = await runFarm(options);
  save();
  const share = result.share = await runShare(options);
  save();
  const micro = result.micro = await runMicro({ isQuick, only: positionals, say });
  save();
  if (micro !== null && micro.pipeline.length > 0) writeFileSync(PLOT_FILE, plot(micro.pipeline, describe(host)));
  if (net !== null) show(`weir against the kernel: medians of ${net.rounds} rounds, the ratio that of the rounds' own ratios`, NET_HEAD, netLines(net));
  if (servers !== null) show(`Virtual servers against the kernel (${servers.kernel}) and HAProxy, in the same way`, SERVER_HEAD, serverLines(servers));
  if (share !== null) show('Sharing on against sharing off, raw–raw, flows not offloaded', SHARE_HEAD, shareLines(share));
  if (micro !== null) {
    show('Goals of scale and steadiness', GOAL_HEAD, goalLines(micro));
    show('The pipeline without devices; collections are minor + major', PIPELINE_HEAD, pipelineLines(micro));
    show('Tables', TABLE_HEAD, tableLines(micro));
    show('Replication without devices', REPLICATE_HEAD, replicateLines(micro));
  }
  say(`\nDone in ${result.seconds} s. All figures: bench/out/bench.json${micro !== null && micro.pipeline.length > 0 ? '; the plot: bench/out/pipeline.svg' : ''}`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`\nbench: ${(error as Error).message}`);
  process.exitCode = (error as NodeJS.ErrnoException).code === 'EPERM' ? 77 : 1;
}

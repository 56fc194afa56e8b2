/** `weir share`: what this instance shares with others, how far behind it is, who the others are. The exit code tells a script whether it is shared. */
import type { Command } from 'commander';
import type { ShareAnswer, ShareLeaseStatus, SharePeer, ShareStatus } from '../control/api/types.js';
import type { CommandFile, Context } from './command.js';
import { defineReading, readingOptions, withClient } from './command.js';
import { EXIT_DEGRADED } from './failure.js';
import { formatBytes, formatCount, formatDuration, formatLatency, formatPart, formatPlural } from './format.js';
import { formatTable, left, paint, plain, right } from './table.js';

const PEERS = [
  left<SharePeer>('INSTANCE', (row) => row.instance),
  left<SharePeer>('STATE', (row) => row.state, (row) => (row.state === 'running' ? 'good' : 'warning')),
  right<SharePeer>('HEARD', (row) => `${formatDuration(row.ageMs)} ago`),
  right<SharePeer>('GENERATION', (row) => formatCount(row.generation)),
  right<SharePeer>('FLOWS', (row) => formatCount(row.flows)),
  left<SharePeer>('MASTER OF', (row) => row.masterOf.join(',') || null),
  left<SharePeer>('VERSION', (row) => row.version),
];

const LEASES = [
  left<ShareLeaseStatus>('ADDRESS', (row) => row.address),
  right<ShareLeaseStatus>('BLOCKS', (row) => `${formatCount(row.held.length)} of ${formatCount(row.blocks)}`, (row) => (row.held.length === 0 ? 'bad' : null)),
  right<ShareLeaseStatus>('LEFT', (row) => (row.leftMs === null ? null : formatDuration(row.leftMs))),
];

/** 'running', 'loading 51 %', 'degraded: unreachable'. */
export function shareState({ phase, isUsable, trouble, load }: ShareStatus): { text: string; isGood: boolean } {
  if (trouble !== null) return { text: `degraded (${trouble.kind})`, isGood: false };
  if (phase === 'loading' && load !== null && load.total > 0) return { text: `loading, ${formatPart(load.records, load.total)}`, isGood: false };
  return { text: phase, isGood: isUsable };
}

/** What is not as it should be, of the counts: name and number. */
function losses({ counts }: ShareStatus): string {
  const { retried, fenced, dropped, droppedEnds, lost, gaps, unreadable, inboxWaits, fetchesRefused } = counts;
  const rows: [string, number][] = [
    ['retried', retried], ['fenced', fenced], ['dropped', dropped], ['ends dropped', droppedEnds], ['lost', lost], ['gaps', gaps], ['unreadable', unreadable],
    ['waits for the data plane', inboxWaits], ['fetches refused', fetchesRefused],
  ];
  const found = rows.filter(([, count]) => count > 0).map(([name, count]) => `${formatCount(count)} ${name}`);
  return found.length === 0 ? 'none' : found.join(', ');
}

function section(title: string, table: string, color: boolean): string { return `\n${paint(title, 'bold', color)}\n${table}`; }

export function formatShare({ store, instance, isDrained, status }: ShareAnswer, color: boolean): string {
  if (status === null) return store === 'memory' ? `instance ${plain(instance)} shares nothing (share.store is memory)\n` : `instance ${plain(instance)} shares by ${store}, which has not been reached yet\n`;
  const { text, isGood } = shareState(status);
  const { trouble, load, counts, generation } = status;
  let out = `instance ${plain(instance)} shares by ${store}, ${paint(text, isGood ? 'good' : 'bad', color)} for ${formatDuration(status.forMs)}${generation === null ? '' : `, generation ${formatCount(generation)}`}${isDrained ? ', drained by hand' : ''}\n`;
  if (trouble !== null) {
    const next = trouble.nextTryMs === null ? '' : `, the next one in ${formatDuration(trouble.nextTryMs)}`;
    out += `\ntrouble   ${paint(plain(trouble.message), 'bad', color)}\nsince     ${formatDuration(trouble.forMs)}, ${formatPlural(trouble.attempts, 'attempt')}${next}\n`;
  }
  const loaded = load === null ? '' : `loaded    ${formatPlural(load.records, 'record')}${load.isDone ? '' : ` of about ${formatCount(load.total)} so far`} in ${formatLatency(load.tookMs)}\n`;
  return `${out}
queue     ${formatCount(status.queue)} of ${formatCount(status.queueLimit)} changes wait, ${formatPlural(status.inFlight, 'write')} under way
lag       ${formatLatency(status.lagMs)} now, ${formatLatency(status.lagMaxMs)} at most of late; writes take ${formatLatency(status.writeMs)}, ${formatLatency(status.writeMaxMs)} at most${status.followMs === null ? '' : `; what others write is ${formatLatency(status.followMs)} old`}
written   ${formatCount(counts.written)} records, ${formatCount(counts.deleted)} deleted, in ${formatCount(counts.batches)} batches (${formatBytes(counts.batchBytes)}); ${formatCount(counts.refreshed)} for their age, ${formatCount(counts.coalesced)} saved
received  ${formatCount(counts.applied)} records, ${formatCount(counts.forgotten)} ends
${loaded}fetched   ${formatCount(counts.fetched)} flows of ${formatCount(counts.fetches)} asked for, ${formatCount(counts.fetchesMissed)} not found in time
troubles  ${losses(status)}
${status.warnings.map((text) => `warning   ${paint(plain(text), 'warning', color)}\n`).join('')}${section('Peers', status.peers.length === 0 ? 'no other instance is heard of\n' : formatTable(PEERS, status.peers, color), color)}${status.leases.length === 0 ? '' : section('Leases', formatTable(LEASES, status.leases, color), color)}`;
}

export const command: CommandFile = {
  define(command: Command): void {
    defineReading(command);
    command.addHelpText('after', `
Exit codes: 0 it shares, or is not to; 1 it is to share and does not, or not yet.

LAG is how long the oldest change has waited to be written, GENERATION what tells this run of the instance from earlier ones. A flow's
record is written when the flow begins, changes or ends, and again for its age when it lasts. HEARD is when a peer last told of itself,
MASTER OF the virtual routers it has. Under Leases stand the blocks of ports of shared translation addresses that this instance has
(weir leases shows everybody's), LEFT is how long the first of them is good for without the store.`);
  },
  async run(context: Context, given): Promise<number> {
    const options = readingOptions(given);
    const { io } = context;
    return withClient(options, async (client) => {
      let text = '';
      await client.copy('share', async (part) => { text += part; });
      const answer = JSON.parse(text) as ShareAnswer;
      await io.write(options.json ? `${text}\n` : formatShare(answer, io.color));
      return answer.store === 'memory' || answer.status?.isUsable === true ? 0 : EXIT_DEGRADED;
    });
  },
};

/**
 * The proof of the split: real TCP flows from this box through the router to a server, and by which uplink each of them left. The daemon is only asked
 * which flow is where, as any client may; nothing is measured but what happened.
 *
 *   open a batch of connections ──▶ find each in the flow table by its port ──▶ close them ──▶ next batch ──▶ chi-square
 */
import { lookup } from 'node:dns/promises';
import { connect, isIPv4 } from 'node:net';
import type { Socket } from 'node:net';
import { EXIT_FAILED, EXIT_UNAVAILABLE, EXIT_USAGE } from '../base/error.js';
import type { FlowPage, LinkList, UplinkList, UplinkStatus } from '../control/api/types.js';
import { SCHEMA_VERSION } from '../control/api/types.js';
import type { ChiSquare } from './chi-square.js';
import { chiSquare } from './chi-square.js';
import type { Client } from './client.js';
import { CliFailure } from './failure.js';
import { formatCount, formatPlural, formatShare } from './format.js';
import { formatTable, left, plain, right } from './table.js';

export const FLOWS_DEFAULT = 200;
export const FLOWS_MAX = 10_000;
/** Connections open at once: below what a server takes for an attack and any limit on open files. */
const BATCH_FLOWS = 100;
const CONNECT_TIMEOUT_MS = 5000;
/** Below this chance alone does not explain the difference. */
export const P_MIN = 0.001;
/** Expected flows of an uplink below which the test says little (the usual rule for Pearson's test). */
const EXPECTED_MIN = 5;

export interface SplitOptions { host: string; port: number; flows: number; /** Whose members are compared; absent = the group all flows fit. */ group: string | undefined }

export interface SplitRow { name: string; weight: number; flows: number; expectedFlows: number }

/** What was found; the JSON of `weir uplinks --test -j`, in which an infinite statistic (flows where none may be) is null. */
export interface SplitResult extends ChiSquare {
  schemaVersion: number; to: string; flows: number; group: string;
  uplinks: SplitRow[];
  /** Flows that could not be opened, by reason, and flows that were open but not in the flow table. */
  failed: { reason: string; flows: number }[];
  unseen: number;
  isFair: boolean;
}

/** 'example.net:443' or '192.0.2.1:443'. */
export function parseTarget(text: string): { host: string; port: number } | null {
  const match = /^([A-Za-z0-9._-]+):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  return match === null || port < 1 || port > 65_535 ? null : { host: match[1], port };
}

/** A connection that is open, or why it is not. */
function open(address: string, port: number): Promise<Socket | string> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const fail = (reason: string): void => {
      socket.destroy();
      resolve(reason);
    };
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => fail(`no answer within ${CONNECT_TIMEOUT_MS} ms`));
    socket.once('connect', () => {
      socket.setTimeout(0);
      // What the server says or does now is of no account.
      socket.on('error', () => undefined).resume();
      resolve(socket);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
  });
}

const endpoint = (address: string, port: number): string => `${address}:${port}`;

/** The uplinks of the flows to a server now, by their source as the box knows it. */
async function uplinksOf(client: Client, address: string, port: number): Promise<Map<string, string | null>> {
  const found = new Map<string, string | null>();
  for (let cursor: number | null = 0; cursor !== null;) {
    const page: FlowPage = await client.get<FlowPage>('flows', { address, port, protocol: 'tcp', cursor });
    for (const { original, uplink } of page.flows) {
      if (original.destination === address && original.destinationPort === port) found.set(endpoint(original.source, original.sourcePort), uplink);
    }
    cursor = page.nextCursor;
  }
  return found;
}

/** The members of a group that share new flows now, with their weights: those that are up on the lowest tier. */
function sharers(uplinks: readonly UplinkStatus[], group: string): UplinkStatus[] {
  const tierOf = (row: UplinkStatus): number => row.tiers.find((place) => place.group === group)?.tier ?? Infinity;
  const up = uplinks.filter((row) => row.state === 'up' && row.groups.includes(group));
  const tier = Math.min(...up.map(tierOf));
  return up.filter((row) => tierOf(row) === tier);
}

/** The group whose sharers have taken all the flows, or the first that holds them at all. */
function groupOf(uplinks: readonly UplinkStatus[], used: readonly string[]): string {
  const groups = [...new Set(uplinks.flatMap((row) => row.groups))];
  const holds = (members: readonly UplinkStatus[]): boolean => used.every((name) => members.some((row) => row.name === name));
  return groups.find((group) => holds(sharers(uplinks, group))) ?? groups.find((group) => holds(uplinks.filter((row) => row.groups.includes(group)))) ?? groups[0];
}

export async function testSplit(client: Client, options: SplitOptions): Promise<SplitResult> {
  const { host, port, flows, group: wanted } = options;
  const { links } = await client.get<LinkList>('links');
  if (!links.some((link) => link.type === 'tun')) throw new CliFailure(EXIT_UNAVAILABLE, 'the test needs a link to this box (type tun) in the configuration, so that its own flows pass weir');
  const { uplinks } = await client.get<UplinkList>('uplinks');
  const groups = [...new Set(uplinks.flatMap((row) => row.groups))];
  if (groups.length === 0) throw new CliFailure(EXIT_UNAVAILABLE, 'there is no group of uplinks to test');
  if (wanted !== undefined && !groups.includes(wanted)) throw new CliFailure(EXIT_USAGE, `there is no group '${wanted}'; there is: ${groups.join(', ')}`);
  const address = isIPv4(host) ? host : await lookup(host, { family: 4 }).then((found) => found.address, (error: NodeJS.ErrnoException) => {
    throw new CliFailure(EXIT_FAILED, `${host} has no IPv4 address: ${error.code ?? error.message}`);
  });

  const counts = new Map<string, number>();
  const failures = new Map<string, number>();
  const count = (map: Map<string, number>, key: string): void => { map.set(key, (map.get(key) ?? 0) + 1); };
  let unseen = 0;
  for (let begun = 0; begun < flows; begun += BATCH_FLOWS) {
    const opened = await Promise.all(Array.from({ length: Math.min(BATCH_FLOWS, flows - begun) }, () => open(address, port)));
    const sockets = opened.filter((outcome) => typeof outcome !== 'string');
    for (const outcome of opened) if (typeof outcome === 'string') count(failures, outcome);
    try {
      const found = await uplinksOf(client, address, port);
      for (const socket of sockets) {
        const uplink = found.get(endpoint(socket.localAddress ?? '', socket.localPort ?? 0)) ?? null;
        if (uplink === null) unseen++;
        else count(counts, uplink);
      }
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  }

  const used = [...counts.keys()];
  const group = wanted ?? groupOf(uplinks, used);
  const sharing = sharers(uplinks, group);
  const compared = uplinks.filter((row) => sharing.includes(row) || used.includes(row.name));
  const weights = compared.map((row) => (sharing.includes(row) ? row.weight : 0));
  const observed = compared.map((row) => counts.get(row.name) ?? 0);
  const seen = observed.reduce((sum, value) => sum + value, 0);
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  const result = chiSquare(observed, weights);
  const failed = [...failures].map(([reason, number]) => ({ reason, flows: number }));
  return {
    schemaVersion: SCHEMA_VERSION, to: endpoint(address, port), flows, group,
    uplinks: compared.map((row, i) => ({ name: row.name, weight: weights[i], flows: observed[i], expectedFlows: whole === 0 ? 0 : (seen * weights[i]) / whole })),
    failed, unseen, ...result,
    isFair: failed.length === 0 && unseen === 0 && seen > 0 && result.pValue >= P_MIN,
  };
}

export function formatSplit(result: SplitResult, color: boolean): string {
  const seen = result.uplinks.reduce((sum, row) => sum + row.flows, 0);
  const whole = result.uplinks.reduce((sum, row) => sum + row.weight, 0);
  const table = formatTable([
    left<SplitRow>('UPLINK', (row) => row.name),
    right<SplitRow>('WEIGHT', (row) => String(row.weight)),
    right<SplitRow>('WANTED', (row) => formatShare(whole === 0 ? 0 : row.weight / whole)),
    right<SplitRow>('SHARE', (row) => formatShare(seen === 0 ? 0 : row.flows / seen)),
    right<SplitRow>('EXPECTED', (row) => row.expectedFlows.toFixed(1)),
    right<SplitRow>('FLOWS', (row) => formatCount(row.flows)),
  ], result.uplinks, color);
  const lines = [`${formatPlural(result.flows, 'flow')} to ${result.to}, group ${plain(result.group)}`, table.trimEnd()];
  for (const { reason, flows } of result.failed) lines.push(`${formatPlural(flows, 'flow')} could not be opened: ${plain(reason)}`);
  if (result.unseen > 0) lines.push(`${formatPlural(result.unseen, 'flow')} did not leave by an uplink: does this box reach ${result.to} through weir? (ip route get)`);
  if (seen > 0) {
    const { statistic, degreesOfFreedom, pValue } = result;
    const p = pValue < 0.0001 ? '< 0.0001' : `= ${pValue.toFixed(4)}`;
    // With one uplink to expect there is nothing to compare, but flows that left by another are not the group's.
    const isSplit = degreesOfFreedom > 0;
    if (isSplit) lines.push(`chi-square ${statistic.toFixed(3)}, ${degreesOfFreedom} degree${degreesOfFreedom === 1 ? '' : 's'} of freedom, p ${p}`);
    else if (pValue >= P_MIN) lines.push('only one uplink shares the new flows of the group now: there is no split to test');
    else lines.push('only one uplink shares the new flows of the group now, and not all of these left by it: a policy or a route takes them to another group (--group), or they have affinity');
    if (isSplit && result.uplinks.some((row) => row.weight > 0 && row.expectedFlows < EXPECTED_MIN)) {
      lines.push(`fewer than ${EXPECTED_MIN} flows are expected on an uplink, which says little: give --flows ${Math.ceil((EXPECTED_MIN * whole) / Math.min(...result.uplinks.filter((row) => row.weight > 0).map((row) => row.weight)))} or more`);
    }
    if (result.failed.length > 0 || result.unseen > 0) lines.push('not all flows took part, so the test has failed whatever the others did');
    if (isSplit) lines.push(pValue >= P_MIN ? 'the split follows the weights' : 'the split does not follow the weights (do affinity, balance by address or a policy hold these flows together?)');
  }
  return `${lines.join('\n')}\n`;
}

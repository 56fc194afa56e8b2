/** The columns of links, uplinks and servers, which `weir status` shares with the commands of these names, and how states are painted. */
import type { LinkStatus, RealServerStatus, ServerState, UplinkStatus, VirtualRouterStatus, VirtualServerStatus } from '../control/api/types.js';
import { formatBytes, formatCount, formatDuration, formatEndpoint, formatLatency, formatRate, formatShare } from './format.js';
import type { Column, Style } from './table.js';
import { left, right } from './table.js';

export function healthStyle(state: ServerState): Style {
  if (state === 'up') return 'good';
  return state === 'down' ? 'bad' : 'warning';
}

/** A count that should be 0. */
const trouble = (count: number): Style | null => (count > 0 ? 'warning' : null);

export function linkColumns(nowMs: number): Record<'name' | 'type' | 'device' | 'state' | 'since' | 'addresses' | 'mac' | 'mtu' | 'rx' | 'tx' | 'rxPackets' | 'txPackets' | 'drops' | 'errors' | 'kernelDrops' | 'offloads' | 'offloadedRx' | 'offloadedTx' | 'reason', Column<LinkStatus>> {
  return {
    name: left('LINK', (row) => row.name),
    type: left('TYPE', (row) => row.type),
    device: left('DEVICE', (row) => (row.netns === null ? row.device : `${row.device}@${row.netns}`)),
    state: left('STATE', (row) => row.state, (row) => healthStyle(row.state)),
    since: right('FOR', (row) => formatDuration(nowMs - row.sinceMs)),
    addresses: left('ADDRESSES', (row) => row.addresses.join(' ') || null),
    mac: left('MAC', (row) => row.mac),
    mtu: right('MTU', (row) => String(row.mtuBytes)),
    rx: right('RX', (row) => formatBytes(row.rxBytes)),
    tx: right('TX', (row) => formatBytes(row.txBytes)),
    rxPackets: right('RX PACKETS', (row) => formatCount(row.rxPackets)),
    txPackets: right('TX PACKETS', (row) => formatCount(row.txPackets)),
    drops: right('DROPS', (row) => formatCount(row.rxDrops)),
    errors: right('TX ERRORS', (row) => formatCount(row.txErrors), (row) => trouble(row.txErrors)),
    kernelDrops: right('KERNEL DROPS', (row) => formatCount(row.kernelDrops), (row) => trouble(row.kernelDrops)),
    offloadedRx: right('OFFLOADED RX', (row) => (row.flowOffload ? formatBytes(row.offloadedRxBytes) : null)),
    offloadedTx: right('OFFLOADED TX', (row) => (row.flowOffload ? formatBytes(row.offloadedTxBytes) : null)),
    offloads: left('OFFLOADS', (row) => row.offloads.join(',') || null),
    reason: left('REASON', (row) => row.reason),
  };
}

/** Why an uplink or a real server is as it is, or which of its targets fail although it is up. */
function why(row: Pick<UplinkStatus | RealServerStatus, 'state' | 'reason' | 'health'>, nowMs: number): string | null {
  const held = row.health?.suppressedUntilMs ?? null;
  const parts = [
    ...(row.reason === null ? [] : [row.reason]),
    ...(held === null || held <= nowMs ? [] : [`held down by damping for ${formatDuration(held - nowMs)}`]),
    ...(row.state === 'down' ? [] : row.health?.targets ?? []).filter((target) => target.isOk === false).map((target) => `${target.target} fails: ${target.reason ?? 'no answer'}`),
  ];
  return parts.join('; ') || null;
}

/** A measure of the check, or nothing where there is none. */
const measured = (value: number | null | undefined, format: (value: number) => string): string | null => (value === null || value === undefined ? null : format(value));

export type UplinkColumn =
  'name' | 'link' | 'gateway' | 'groups' | 'tier' | 'state' | 'since' | 'loss' | 'latency' | 'jitter' | 'weight' | 'wanted' | 'share' | 'flows' | 'newFlows' | 'rxRate' | 'txRate'
  | 'snat' | 'ports' | 'portsRefused' | 'portsShared' | 'reason';

export function uplinkColumns(nowMs: number): Record<UplinkColumn, Column<UplinkStatus>> {
  return {
    name: left('UPLINK', (row) => row.name),
    link: left('LINK', (row) => row.link),
    gateway: left('GATEWAY', (row) => row.gateway),
    groups: left('GROUPS', (row) => row.groups.join(',') || null),
    tier: right('TIER', (row) => row.tiers.map(({ tier }) => tier).join(',') || null),
    state: left('STATE', (row) => row.state, (row) => healthStyle(row.state)),
    since: right('FOR', (row) => formatDuration(nowMs - row.sinceMs)),
    loss: right('LOSS', (row) => measured(row.health?.lossRatio, formatShare), (row) => trouble(row.health?.lossRatio ?? 0)),
    latency: right('LATENCY', (row) => measured(row.health?.latencyMs, formatLatency)),
    jitter: right('JITTER', (row) => measured(row.health?.jitterMs, formatLatency)),
    weight: right('WEIGHT', (row) => String(row.weight)),
    wanted: right('WANTED', (row) => formatShare(row.wantedShare)),
    share: right('SHARE', (row) => formatShare(row.share)),
    flows: right('FLOWS', (row) => formatCount(row.flows)),
    newFlows: right('NEW FLOWS', (row) => formatCount(row.newFlows)),
    rxRate: right('RX', (row) => formatRate(row.rxBps)),
    txRate: right('TX', (row) => formatRate(row.txBps)),
    snat: left('SNAT', (row) => row.snat.join(' ') || null),
    ports: right('PORTS', (row) => (row.portsTotal === 0 ? null : `${formatCount(row.portsUsed)}/${formatCount(row.portsTotal)}`)),
    portsRefused: right('REFUSED', (row) => (row.portsTotal === 0 ? null : formatCount(row.portsRefused)), (row) => trouble(row.portsRefused)),
    portsShared: right('SHARED', (row) => (row.portsTotal === 0 ? null : formatCount(row.portsShared))),
    reason: left('REASON', (row) => why(row, nowMs), (row) => (row.state === 'down' ? 'bad' : why(row, nowMs) === null ? null : 'warning')),
  };
}

export type ServerColumn =
  'name' | 'address' | 'state' | 'since' | 'weight' | 'active' | 'inactive' | 'newFlows' | 'flowRate' | 'rxRate' | 'txRate' | 'latency' | 'reason';

export function serverColumns(nowMs: number): Record<ServerColumn, Column<RealServerStatus>> {
  return {
    // Stands under the line of its virtual server.
    name: left('  SERVER', (row) => `  ${row.name}`),
    address: left('ADDRESS', (row) => formatEndpoint(row.address, row.port ?? 0) + (row.lastPort === row.port ? '' : `-${row.lastPort}`)),
    state: left('STATE', (row) => row.state, (row) => healthStyle(row.state)),
    since: right('FOR', (row) => formatDuration(nowMs - row.sinceMs)),
    weight: right('WEIGHT', (row) => String(row.weight)),
    active: right('ACTIVE', (row) => formatCount(row.active)),
    inactive: right('INACTIVE', (row) => formatCount(row.inactive)),
    newFlows: right('NEW FLOWS', (row) => formatCount(row.newFlows)),
    flowRate: right('FLOWS/S', (row) => formatFlowRate(row.newFlowsPerSecond)),
    rxRate: right('RX', (row) => formatRate(row.rxBps)),
    txRate: right('TX', (row) => formatRate(row.txBps)),
    latency: right('LATENCY', (row) => measured(row.health?.latencyMs, formatLatency)),
    reason: left('REASON', (row) => why(row, nowMs), (row) => (row.state === 'down' ? 'bad' : why(row, nowMs) === null ? null : 'warning')),
  };
}

/** The addresses, ports and protocols of a virtual server: '203.0.113.2:80/tcp'. */
export function formatListens({ addresses, ports, protocols }: VirtualServerStatus): string {
  const range = ports.first === 0 && ports.last === 65_535 ? '*' : ports.first === ports.last ? String(ports.first) : `${ports.first}-${ports.last}`;
  return addresses.map((address) => `${address}:${range}/${protocols.join('+')}`).join(' ');
}

/** Its real servers, and the sorry server that gets flows when they do not. */
export function serversOf({ realServers, sorry }: VirtualServerStatus): readonly RealServerStatus[] {
  return sorry === null ? realServers : [...realServers, sorry];
}

const sum = (rows: readonly RealServerStatus[], of: (row: RealServerStatus) => number): number => rows.reduce((total, row) => total + of(row), 0);

export type VirtualServerColumn = 'name' | 'listens' | 'scheduler' | 'state' | 'since' | 'servers' | 'active' | 'inactive' | 'newFlows' | 'flowRate' | 'rxRate' | 'txRate';

export function virtualServerColumns(nowMs: number): Record<VirtualServerColumn, Column<VirtualServerStatus>> {
  return {
    name: left('SERVER', (row) => row.name),
    listens: left('ADDRESS', formatListens),
    scheduler: left('SCHEDULER', (row) => row.scheduler.name),
    state: left('STATE', (row) => row.state, (row) => healthStyle(row.state)),
    since: right('FOR', (row) => formatDuration(nowMs - row.sinceMs)),
    servers: right('SERVERS', (row) => `${row.realServers.filter(({ state }) => state !== 'down' && state !== 'drained').length} of ${row.realServers.length}`),
    active: right('ACTIVE', (row) => formatCount(row.active)),
    inactive: right('INACTIVE', (row) => formatCount(row.inactive)),
    newFlows: right('NEW FLOWS', (row) => formatCount(row.newFlows)),
    flowRate: right('FLOWS/S', (row) => formatFlowRate(sum(serversOf(row), ({ newFlowsPerSecond }) => newFlowsPerSecond))),
    rxRate: right('RX', (row) => formatRate(sum(serversOf(row), ({ rxBps }) => rxBps))),
    txRate: right('TX', (row) => formatRate(sum(serversOf(row), ({ txBps }) => txBps))),
  };
}

export type VirtualRouterColumn =
  'name' | 'link' | 'id' | 'state' | 'since' | 'priority' | 'master' | 'sent' | 'received' | 'refused' | 'transitions' | 'group' | 'addresses' | 'track' | 'reason';

export function virtualRouterColumns(nowMs: number): Record<VirtualRouterColumn, Column<VirtualRouterStatus>> {
  return {
    name: left('ROUTER', (row) => row.name),
    link: left('LINK', (row) => row.link),
    id: right('ID', (row) => String(row.id)),
    state: left('STATE', (row) => row.state, (row) => (row.state === 'master' ? 'good' : row.state === 'init' ? 'warning' : null)),
    since: right('FOR', (row) => formatDuration(nowMs - row.sinceMs)),
    priority: right('PRIORITY', (row) => (row.priority === row.effectivePriority ? String(row.priority) : `${row.effectivePriority}/${row.priority}`), (row) => (row.priority === row.effectivePriority ? null : 'warning')),
    master: left('MASTER', (row) => (row.state === 'master' ? 'this' : row.master === null ? null : `${row.master} (${row.masterPriority})`)),
    sent: right('SENT', (row) => formatCount(row.sent)),
    received: right('RECEIVED', (row) => formatCount(row.received)),
    refused: right('REFUSED', (row) => formatCount(row.refused), (row) => trouble(row.refused)),
    transitions: right('CHANGES', (row) => formatCount(row.transitions)),
    group: left('GROUP', (row) => row.syncGroup),
    addresses: left('ADDRESSES', (row) => row.addresses.join(' ')),
    track: left('TRACK', (row) => row.track.map(({ name, isDown }) => (isDown ? `!${name}` : name)).join(' ') || null, (row) => (row.track.some(({ isDown }) => isDown) ? 'warning' : null)),
    reason: left('REASON', (row) => (row.trouble === null ? row.reason : `${row.reason}; adverts of ${row.trouble.from}: ${row.trouble.detail}`), (row) => (row.trouble === null ? null : 'warning')),
  };
}

/** Flows a second: whole ones, but for few. */
function formatFlowRate(perSecond: number): string { return perSecond >= 10 ? formatCount(Math.round(perSecond)) : perSecond.toFixed(1); }

/** From a checked check to its plan: targets resolved, durations in milliseconds, thresholds with both their numbers. */
import type { CheckPlan, PortRangePlan, ProbePlan, ThresholdPlan } from '../../base/plan.js';
import { TIMEOUT_MS, TIMEOUT_PART, type CheckKeys, type DampingKeys, type PartThresholdKeys } from './check-schema.js';
import { checkPart } from './check-schema.js';
import { DNS_PORT, HOP_PORT, readEndpoint, readPercent, readServer, readStatus, readUrl } from './check-text.js';
import { readDuration } from './format.js';
import { asList, type OneOrMore } from './rule-text.js';

/** What a reader makes of a text that validation has accepted. */
export function known<T>(meaning: T | string | undefined): T {
  if (meaning === undefined || typeof meaning === 'string') throw new Error(`a text that validation should have refused: ${meaning}`);
  return meaning;
}

export function milliseconds(text: string): number {
  return Math.round(known(readDuration(text)) * 1000);
}

export function statusRanges(value: OneOrMore<string | number>): PortRangePlan[] {
  return asList(value).map((status) => known(readStatus(status)));
}

/** Every target of a check, kind by kind. `gateway` is the address that word stands for. */
function probes(keys: CheckKeys, gateway: string | undefined): ProbePlan[] {
  const hosts = (value: OneOrMore<string> | undefined): string[] =>
    (value === undefined ? [] : asList(value).map((text) => (text === 'gateway' ? gateway! : text)));
  return [
    ...hosts(keys.icmp).map((target) => ({ kind: 'icmp' as const, target })),
    ...hosts(keys.arp).map((target) => ({ kind: 'arp' as const, target })),
    ...(keys.udp ?? []).map(({ target, ttl }) => {
      const { host, port } = known(readServer(target, HOP_PORT));
      return { kind: 'udp' as const, target: host, port, ttl };
    }),
    ...(keys.tcp === undefined ? [] : asList(keys.tcp)).map((text) => ({ kind: 'tcp' as const, ...known(readEndpoint(text)) })),
    ...(keys.http ?? []).map(({ url, status, body, verify }) => ({
      kind: 'http' as const, url: known(readUrl(url)).href, status: statusRanges(status), ...(body === undefined ? {} : { body }), verify,
    })),
    ...(keys.dns ?? []).map(({ server, name, address }) => {
      const { host, port } = known(readServer(server, DNS_PORT));
      return { kind: 'dns' as const, server: host, port, name, ...(address === undefined ? {} : { address }) };
    }),
    ...(keys.script ?? []).map(({ command, user }) => ({ kind: 'script' as const, command: [...asList(command)], user })),
  ];
}

/** Without a number to recover at, half of the one to fail at. */
function threshold(keys: PartThresholdKeys | undefined, read: (text: string) => number): ThresholdPlan | undefined {
  if (keys === undefined) return undefined;
  const fail = read(keys.fail);
  return { fail, recover: keys.recover === undefined ? fail / 2 : read(keys.recover) };
}

function dampingPlan(value: CheckKeys['damping']): CheckPlan['damping'] {
  if (value === 'off') return undefined;
  const defaults = checkPart.keys.damping.part!.keys;
  const { halfLife, suppress, reuse, most } = value === 'on'
    ? Object.fromEntries(Object.entries(defaults).map(([key, { default: fallback }]) => [key, fallback])) as unknown as DampingKeys : value;
  return { halfLifeMs: milliseconds(halfLife), suppress, reuse, mostMs: milliseconds(most) };
}

/** What a check of any kind of thing makes of its targets' answers. */
export type PaceKeys = Pick<CheckKeys, 'interval' | 'timeout' | 'fall' | 'rise' | 'initial' | 'window' | 'loss' | 'latency' | 'jitter' | 'damping'>;

/** A check of these targets. Without a timeout it is `timeoutMs`, or a part of an interval too short for it. */
export function pacedCheck(keys: PaceKeys, targets: ProbePlan[], need: number, timeoutMs: number): CheckPlan {
  const { interval, timeout, fall, rise, initial, window } = keys;
  const intervalMs = milliseconds(interval);
  const loss = threshold(keys.loss, (text) => readPercent(text)!);
  const latencyMs = threshold(keys.latency, milliseconds);
  const jitterMs = threshold(keys.jitter, milliseconds);
  const damping = dampingPlan(keys.damping);
  return {
    probes: targets, need, intervalMs,
    timeoutMs: timeout === undefined ? Math.min(timeoutMs, Math.round(intervalMs * TIMEOUT_PART)) : milliseconds(timeout),
    fall, rise, initial, window,
    ...(loss === undefined ? {} : { loss }),
    ...(latencyMs === undefined ? {} : { latencyMs }),
    ...(jitterMs === undefined ? {} : { jitterMs }),
    ...(damping === undefined ? {} : { damping }),
  };
}

/** An uplink's. Only for keys without an error. */
export function checkPlan(keys: CheckKeys, gateway: string | undefined): CheckPlan {
  return pacedCheck(keys, probes(keys, gateway), keys.need, TIMEOUT_MS);
}

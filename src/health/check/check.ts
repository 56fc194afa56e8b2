/**
 * What a check is: something that can be asked whether one target answers. A file beside this one for each kind, a line each in registry.ts.
 *
 * A check keeps no count and judges nothing: health.ts does. It knows the address it binds to and whom to ask in the data plane, and no more, so
 * the same checks serve uplinks and real servers.
 */
import type { ProbeKind, ProbePlan } from '../../base/plan.js';

/** What came of asking once. */
export interface ProbeResult {
  isOk: boolean;
  /** From asking to the answer, without the resolving of names; null when there was no answer. */
  latencyMs: number | null;
  /** One phrase when not ok: 'timed out', 'connection refused', 'status 503'. Null when ok. */
  reason: string | null;
  /** A weight the answer asks for (scripts with setsWeight). */
  weight?: number;
}

/** What the data plane is asked to send, and over which uplink. */
export interface DataPlaneProbe {
  /** -1: by the routes. */
  uplink: number;
  kind: 'icmp' | 'arp' | 'udp';
  /** IPv4 text. */
  target: string;
  port?: number;
  ttl?: number;
  /** A question for the target itself, and what its answer must hold; without that, silence is good. */
  question?: { send: string; expect?: string };
  timeoutMs: number;
}

/** Where a check stands. */
export interface CheckContext {
  /** Local address that makes the box's own sockets leave where they are to leave; undefined = by the box's routes. */
  localAddress: string | undefined;
  /** Number of the uplink that probes made in the data plane leave by; -1 = they go by the routes. */
  uplink: number;
  /** Probes made in the data plane (icmp, arp, udp). Resolves, never rejects. */
  ask: (request: DataPlaneProbe) => Promise<ProbeResult>;
  /** Servers that resolve names in targets, 'ADDRESS' or 'ADDRESS:PORT'; absent = those of the box. */
  nameServers?: readonly string[];
}

export interface Check {
  /** Ask once; resolves, never rejects. One at a time. When the signal aborts it resolves at once, with what was opened closed. */
  probe(timeoutMs: number, signal: AbortSignal): Promise<ProbeResult>;
  /** End whatever is under way; nothing stays open. */
  close(): void;
}

/** The plan of one kind. */
export type ProbePlanOf<K extends ProbeKind> = Extract<ProbePlan, { kind: K }>;

/** One kind of check. */
export interface CheckType<K extends ProbeKind> {
  kind: K;
  /** For the docs: what it asks, and which answer is a good one. */
  sentence: string;
  create(probe: ProbePlanOf<K>, context: CheckContext): Check;
}

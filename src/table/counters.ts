/**
 * What is counted, in shared memory: written by the data plane alone, read by the control plane at any moment. Float64 throughout, exact
 * up to 2⁵³; an aligned double is never torn.
 */
import type { Plan } from '../base/plan.js';
import { VERDICTS } from '../base/verdict.js';

/** Doubles per link: packets and bytes in and out, frames the device would not take, reads that failed. */
export const RX_PACKETS = 0;
export const RX_BYTES = 1;
export const TX_PACKETS = 2;
export const TX_BYTES = 3;
export const TX_ERRORS = 4;
export const RX_ERRORS = 5;
/** Whether it waits for its addresses (stage/claim.ts): it does not, it asks for them, somebody else has one. */
export const CLAIM = 6;
export const CLAIM_NONE = 0;
export const CLAIM_ASKING = 1;
export const CLAIM_REFUSED = 2;
/** Of the packets and bytes above: what the kernel forwarded by itself (stage/offload.ts). */
export const OFFLOADED_RX_PACKETS = 7;
export const OFFLOADED_RX_BYTES = 8;
export const OFFLOADED_TX_PACKETS = 9;
export const OFFLOADED_TX_BYTES = 10;
const LINK_DOUBLES = 12;

/** Doubles per uplink. */
export const UPLINK_TX_PACKETS = 0;
export const UPLINK_TX_BYTES = 1;
export const UPLINK_RX_PACKETS = 2;
export const UPLINK_RX_BYTES = 3;
/** Flows that bear its address now, and all it was given. */
export const UPLINK_FLOWS = 4;
export const UPLINK_NEW_FLOWS = 5;
export const UPLINK_PORTS_USED = 6;
/** New flows that were refused for want of a port, and that share one. */
export const UPLINK_PORTS_REFUSED = 7;
export const UPLINK_PORTS_SHARED = 8;
/** 1 while it may take new flows. */
export const UPLINK_USABLE = 9;
const UPLINK_DOUBLES = 12;

/** Doubles per filter rule: packets and bytes it decided about (of a flow it accepts: the packet it was asked about). */
export const FILTER_PACKETS = 0;
export const FILTER_BYTES = 1;
const FILTER_DOUBLES = 2;

/** Doubles per real server (RealServerPlan.index). New flows it was given since start, and flows it has now: at work (TCP established; of other protocols every one), or not (yet, or any more). */
export const SERVER_NEW = 0;
export const SERVER_ACTIVE = 1;
export const SERVER_INACTIVE = 2;
/** What passed to it and from it, as the client saw it: bytes of IP packets. */
export const SERVER_IN_PACKETS = 3;
export const SERVER_IN_BYTES = 4;
export const SERVER_OUT_PACKETS = 5;
export const SERVER_OUT_BYTES = 6;
/** The weight the scheduler goes by now: 0 while drained, a part of the wanted one in a slow start. */
export const SERVER_WEIGHT = 7;
/** The weight it is to have: configured, or set since. */
export const SERVER_WANTED = 8;
/** 1 or 0: its check finds it up; it takes new flows; it has had as many flows as `upper` and not yet as few as `lower`; it is drained. */
export const SERVER_UP = 9;
export const SERVER_USABLE = 10;
export const SERVER_FULL = 11;
export const SERVER_DRAINED = 12;
const SERVER_DOUBLES = 16;

/** Doubles per virtual server (VirtualServerPlan.index). 1 while it has its quorum; the weight that counts for it. */
export const VIRTUAL_UP = 0;
export const VIRTUAL_WEIGHT = 1;
/** New flows nobody took: they were refused at once. */
export const VIRTUAL_REFUSED = 2;
/** New flows that came back to the server their client had, by persistence. */
export const VIRTUAL_RETURNED = 3;
const VIRTUAL_DOUBLES = 8;

/** Doubles per virtual router (VrrpPlan.index). Its state and why (places in VRRP_STATES of vrrp/status.ts and VRRP_REASONS of stage/election.ts), since when on the data plane's clock. */
export const VRRP_STATE = 0;
export const VRRP_REASON = 1;
export const VRRP_SINCE_MS = 2;
/** The priority it goes by now, 0 = it stands aside. Whose adverts it follows (uint32, 0 = nobody's) and the priority they bear. */
export const VRRP_PRIORITY = 3;
export const VRRP_MASTER = 4;
export const VRRP_MASTER_PRIORITY = 5;
/** Adverts sent, taken, refused; times it became master or ceased to be. */
export const VRRP_SENT = 6;
export const VRRP_RECEIVED = 7;
export const VRRP_REFUSED = 8;
export const VRRP_TRANSITIONS = 9;
const VRRP_DOUBLES = 12;

/** Doubles of the router as a whole. */
export const TURNS = 0;
export const LONGEST_TURN_US = 1;
/** The data plane's clock at its last turn, milliseconds: neighbours are stamped with it, and each thread has a clock of its own. */
export const NOW_MS = 2;
/** Sources whose token bucket made room for another's before it was full again (table/token-bucket.ts). */
export const BUCKETS_EVICTED = 3;
/** Flows ALGs announced that could not be expected any more (limits.expectations), and control flows nobody could watch any more (alg/watch.ts). */
export const EXPECTATIONS_REFUSED = 4;
export const CONTROL_FLOWS_UNWATCHED = 5;
/** Entries of affinity that made room for another before their end (limits.affinity). */
export const AFFINITY_EVICTED = 6;
/** Probes that were one too many at once (stage/probe.ts). */
export const PROBES_REFUSED = 7;
/** Clients that virtual servers remember now, those that made room for others before their end, and flows that could not be remembered (limits.affinity). */
export const PERSISTENCE_ENTRIES = 8;
export const PERSISTENCE_EVICTED = 9;
export const PERSISTENCE_REFUSED = 10;
/** From here on: what tables count for themselves, copied once a second (`publish` of stage/router.ts). TCP windows (table/tcp-window.ts). */
export const WINDOWS_USED = 11;
export const WINDOWS_EXHAUSTED = 12;
export const SEGMENTS_STRANGE = 13;
export const WINDOWS_RELEARNED = 14;
/** SYNs nobody has asked for (table/syn-hold.ts): waiting now, that have waited, that found no room. */
export const SYNS_HELD = 15;
export const SYNS_TAKEN = 16;
export const SYNS_REFUSED = 17;
/** By how much of its time what is over or unanswered is kept for less (stage/timeout.ts). */
export const BRIEF_CUT_PERCENT = 18;
/** Each ALG's, in the plan's order and that of ALG_COUNTS; there are two, and room for more. */
const ALGS_AT = 19;
const ALGS_MAX = 4;
export const ALG_COUNTS = ['watched', 'unwatched', 'announced', 'edited', 'foreign', 'refused', 'unasked', 'unreadable'] as const;
export type AlgCount = (typeof ALG_COUNTS)[number];
/** Flows the kernel forwards by itself now, and how often one was considered and declined, by reason. */
export const OFFLOADED_FLOWS = ALGS_AT + ALGS_MAX * ALG_COUNTS.length;
export const OFFLOAD_DECLINED = OFFLOADED_FLOWS + 1; // … + DECLINED.length - 1
export const DECLINED = ['protocol', 'alg', 'local', 'filter', 'window', 'spread', 'link', 'slots', 'index', 'onePacket'] as const;
/** Shared state (stage/adopt.ts, stage/fetch.ts), by name in this order: flows here that others have and no packet of which was seen here; what became of records
 * and keys from others; journal records lost; packets that waited for the store, and how that ended. */
const SHARING_AT = OFFLOAD_DECLINED + DECLINED.length;
export const SHARING_COUNTS = [
  'replicas', 'adopted', 'merged', 'forgotten', 'kept', 'malformed', 'version', 'unknownName', 'clash', 'noRoom', 'orphan', 'journalLost', 'waiting', 'asked', 'found', 'notFound', 'late', 'refused',
] as const;
/** Their places, for who counts. */
export const REPLICAS = 0, ADOPTED = 1, MERGED = 2, FORGOTTEN = 3, KEPT = 4, RECORD_MALFORMED = 5, RECORD_VERSION = 6, RECORD_UNKNOWN_NAME = 7, RECORD_CLASH = 8, RECORD_NO_ROOM = 9;
export const RECORD_ORPHAN = 10, JOURNAL_LOST = 11, FETCH_WAITING = 12, FETCH_ASKED = 13, FETCH_FOUND = 14, FETCH_NOT_FOUND = 15, FETCH_LATE = 16, FETCH_REFUSED = 17;
export type SharingCount = (typeof SHARING_COUNTS)[number];
const ROUTER_DOUBLES = SHARING_AT + SHARING_COUNTS.length;

/** Of how many of each there are counters. */
export interface CountersShape { links: number; uplinks: number; filters?: number; virtualServers?: number; realServers?: number; vrrp?: number }

export function countersShape(plan: Plan): CountersShape {
  return {
    links: plan.links.length, uplinks: plan.uplinks.length, filters: plan.filters.length,
    virtualServers: plan.virtualServers.length, realServers: plan.realServers.length, vrrp: plan.vrrp.length,
  };
}

export function countersBytes({ links, uplinks, filters = 0, virtualServers = 0, realServers = 0, vrrp = 0 }: CountersShape): number {
  return (ROUTER_DOUBLES + links * LINK_DOUBLES + uplinks * UPLINK_DOUBLES + (links + 1) * VERDICTS.length + filters * FILTER_DOUBLES
    + virtualServers * VIRTUAL_DOUBLES + realServers * SERVER_DOUBLES + vrrp * VRRP_DOUBLES) * 8;
}

export class Counters {
  private readonly router: Float64Array;
  private readonly links: Float64Array;
  private readonly uplinks: Float64Array;
  /** One row per link, and one (the last) for packets the router made itself. */
  private readonly verdicts: Float64Array;
  private readonly filters: Float64Array;
  private readonly virtualServers: Float64Array;
  private readonly servers: Float64Array;
  private readonly virtualRouters: Float64Array;
  private readonly linkCount: number;

  constructor(memory: SharedArrayBuffer, { links, uplinks, filters = 0, virtualServers = 0, realServers = 0, vrrp = 0 }: CountersShape) {
    this.linkCount = links;
    let at = 0;
    const next = (doubles: number): Float64Array => {
      const array = new Float64Array(memory, at, doubles);
      at += doubles * 8;
      return array;
    };
    this.router = next(ROUTER_DOUBLES);
    this.links = next(links * LINK_DOUBLES);
    this.uplinks = next(uplinks * UPLINK_DOUBLES);
    this.verdicts = next((links + 1) * VERDICTS.length);
    this.filters = next(filters * FILTER_DOUBLES);
    this.virtualServers = next(virtualServers * VIRTUAL_DOUBLES);
    this.servers = next(realServers * SERVER_DOUBLES);
    this.virtualRouters = next(vrrp * VRRP_DOUBLES);
  }

  addLink(link: number, counter: number, by: number): void { this.links[link * LINK_DOUBLES + counter] += by; }

  /** One frame more, in RX_PACKETS or TX_PACKETS and the counter of bytes behind it. */
  countFrame(link: number, counter: number, bytes: number): void {
    const at = link * LINK_DOUBLES + counter;
    this.links[at] += 1;
    this.links[at + 1] += bytes;
  }

  link(link: number, counter: number): number { return this.links[link * LINK_DOUBLES + counter]; }

  setLink(link: number, counter: number, value: number): void { this.links[link * LINK_DOUBLES + counter] = value; }

  addUplink(uplink: number, counter: number, by: number): void { this.uplinks[uplink * UPLINK_DOUBLES + counter] += by; }

  /** One packet more, in UPLINK_RX_PACKETS or UPLINK_TX_PACKETS and the counter of bytes behind it. */
  countUplinkPacket(uplink: number, counter: number, bytes: number): void {
    const at = uplink * UPLINK_DOUBLES + counter;
    this.uplinks[at] += 1;
    this.uplinks[at + 1] += bytes;
  }

  setUplink(uplink: number, counter: number, value: number): void { this.uplinks[uplink * UPLINK_DOUBLES + counter] = value; }
  uplink(uplink: number, counter: number): number { return this.uplinks[uplink * UPLINK_DOUBLES + counter]; }

  /** Count how frames of a link ended; link -1 = packets the router made. Negative: they only waited, and end otherwise now. */
  addVerdict(link: number, verdict: number, frames: number): void {
    this.verdicts[(link < 0 ? this.linkCount : link) * VERDICTS.length + verdict] += frames;
  }

  verdict(link: number, verdict: number): number {
    return this.verdicts[(link < 0 ? this.linkCount : link) * VERDICTS.length + verdict];
  }

  addFilter(rule: number, counter: number, by: number): void { this.filters[rule * FILTER_DOUBLES + counter] += by; }
  filter(rule: number, counter: number): number { return this.filters[rule * FILTER_DOUBLES + counter]; }

  addServer(server: number, counter: number, by: number): void { this.servers[server * SERVER_DOUBLES + counter] += by; }
  setServer(server: number, counter: number, value: number): void { this.servers[server * SERVER_DOUBLES + counter] = value; }
  server(server: number, counter: number): number { return this.servers[server * SERVER_DOUBLES + counter]; }

  addVirtualServer(one: number, counter: number, by: number): void { this.virtualServers[one * VIRTUAL_DOUBLES + counter] += by; }
  setVirtualServer(one: number, counter: number, value: number): void { this.virtualServers[one * VIRTUAL_DOUBLES + counter] = value; }
  virtualServer(one: number, counter: number): number { return this.virtualServers[one * VIRTUAL_DOUBLES + counter]; }

  addVrrp(one: number, counter: number, by: number): void { this.virtualRouters[one * VRRP_DOUBLES + counter] += by; }
  setVrrp(one: number, counter: number, value: number): void { this.virtualRouters[one * VRRP_DOUBLES + counter] = value; }
  vrrp(one: number, counter: number): number { return this.virtualRouters[one * VRRP_DOUBLES + counter]; }

  addRouter(counter: number, by: number): void { this.router[counter] += by; }
  setRouter(counter: number, value: number): void { this.router[counter] = value; }
  getRouter(counter: number): number { return this.router[counter]; }

  addSharing(counter: number, by: number): void { this.router[SHARING_AT + counter] += by; }
  setSharing(counter: number, value: number): void { this.router[SHARING_AT + counter] = value; }
  sharing(counter: SharingCount): number { return this.router[SHARING_AT + SHARING_COUNTS.indexOf(counter)]; }

  setAlg(alg: number, counts: Readonly<Record<AlgCount, number>>): void {
    for (let i = 0; i < ALG_COUNTS.length; i++) this.router[ALGS_AT + alg * ALG_COUNTS.length + i] = counts[ALG_COUNTS[i]];
  }

  alg(alg: number): Record<AlgCount, number> {
    const at = ALGS_AT + alg * ALG_COUNTS.length;
    return Object.fromEntries(ALG_COUNTS.map((name, i) => [name, this.router[at + i]])) as Record<AlgCount, number>;
  }
}

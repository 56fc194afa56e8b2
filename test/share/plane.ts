/**
 * A data plane that only has flows: a flow table with both rings, in the test's own thread and time, and the rules by which flows belong to one instance or another
 * (docs/decisions/0008-shared-state.md). Flow number n is always the same tuples, whichever instance has it.
 */
import { Rig } from '../support/rig.js';
import type { Plan } from '../../src/base/plan.js';
import { ringBytes } from '../../src/base/ring.js';
import { DEADLINE, FLAG_PUBLISHED, FLAG_REPLICA, FLAGS, FlowTable, flowTableBytes, ORIGINAL_TUPLE, REPLY_TUPLE, SERIAL, STATE } from '../../src/table/flow.js';
import { DECODED, RecordDecoder, RecordEncoder, RecordNames, RECORD_AFFINITY, RECORD_FLOW, SharedRecord } from '../../src/table/flow-record.js';
import { FETCHED_FOUND, FETCHED_TOKEN, INBOX_FETCHED, INBOX_FORGET, INBOX_RECORD, INBOX_STORE, INBOX_YIELD, InboxReader, STORE_IS_LOADED, STORE_IS_USABLE } from '../../src/table/inbox.js';
import { JournalWriter } from '../../src/table/journal.js';
import { Tuple } from '../../src/wire/tuple.js';

export interface PlaneOptions {
  plan: Plan;
  nowMs: () => number;
  journalWords?: number;
  inboxWords?: number;
  /** Inbox records taken in a turn. */
  budget?: number;
}

/** Seconds a flow lives without a packet unless the test says otherwise. */
export const LIFE_S = 600;

export function sharedPlan(instance: string, options: { share?: Partial<Plan['share']>; limits?: Partial<Plan['limits']> } = {}): Plan {
  const { plan } = new Rig({ up: false, limits: { flows: 4096, ...options.limits } }).router;
  return {
    ...plan,
    share: { store: 'redis', instance, require: false, flushMs: 5, holdMs: 200, leaseMs: 600_000, portBlock: 1024, aliveMs: 3000, ...options.share },
  };
}

/** ORIGINAL and the packet as it leaves, of flow number n: from an inside address to a far one, translated to one address. */
export function tuplesOf(n: number, original = new Tuple(), leaving = new Tuple()): { original: Tuple; leaving: Tuple } {
  original.setV4(0x0a000000 | (n & 0xffff), 0xc6336407 | 0, (((n % 60_000) + 1024) << 16) | 443, 6);
  leaving.setV4(0xc0000201 | 0, (0xc6336407 + (n >>> 16)) | 0, (((n % 60_000) + 1024) << 16) | 443, 6);
  return { original, leaving };
}

export class Plane {
  readonly flows: FlowTable;
  readonly journal: JournalWriter;
  readonly inbox: InboxReader;
  readonly memory: { flows: SharedArrayBuffer; journal: SharedArrayBuffer; inbox: SharedArrayBuffer };
  isUsable = false;
  isLoaded = false;
  /** By token. */
  readonly fetched = new Map<number, boolean>();
  refused = 0;
  taken = 0;
  readonly encoder: RecordEncoder;
  private readonly options: PlaneOptions;
  private readonly decoder: RecordDecoder;
  private readonly record = new SharedRecord();
  private readonly key = new Tuple();
  private readonly startMs: number;
  private yieldAt = -1;
  private isYielded = true;
  /** Entries of affinity, by their addresses: only that they are there. */
  readonly affinity = new Set<string>();

  constructor(options: PlaneOptions) {
    this.options = options;
    const { plan, journalWords = 65_536, inboxWords = 65_536 } = options;
    this.memory = {
      flows: new SharedArrayBuffer(flowTableBytes(plan.limits.flows)), journal: new SharedArrayBuffer(ringBytes(journalWords)), inbox: new SharedArrayBuffer(ringBytes(inboxWords)),
    };
    this.flows = new FlowTable(this.memory.flows, plan.limits.flows, 7, (flow) => this.onEnd(flow));
    this.journal = new JournalWriter(this.memory.journal);
    this.inbox = new InboxReader(this.memory.inbox);
    const names = new RecordNames(plan);
    this.encoder = new RecordEncoder(names);
    this.decoder = new RecordDecoder(names);
    this.startMs = options.nowMs();
  }

  get tick(): number { return Math.floor((this.options.nowMs() - this.startMs) / 1000); }

  /** The entry of a flow, or -1. */
  find(n: number): number {
    const reference = this.flows.find(tuplesOf(n, this.key).original);
    return reference < 0 ? -1 : reference >>> 1;
  }

  /** A packet of flow n: opens it, or takes it over, or goes on with it. */
  packet(n: number, lifeS = LIFE_S): void {
    const { flows, tick } = this;
    const known = this.find(n);
    if (known >= 0) {
      flows.refresh(known, tick, lifeS);
      if (this.flags(known) & FLAG_REPLICA) {
        this.setFlags(known, FLAG_PUBLISHED, FLAG_REPLICA);
        this.tell(known);
      }
      return;
    }
    const { original, leaving } = tuplesOf(n);
    const flow = flows.open(original, 0, 0);
    if (flow < 0 || !flows.confirm(flow, leaving, tick, lifeS)) throw new Error(`flow ${n} cannot be opened`);
    this.setFlags(flow, FLAG_PUBLISHED, 0);
    this.tell(flow);
  }

  /** Its state changes. */
  change(n: number, state: number): void {
    const flow = this.find(n);
    if (flow < 0) return;
    this.flows.words[this.flows.at(flow) + STATE] = state;
    this.setFlags(flow, FLAG_PUBLISHED, FLAG_REPLICA);
    this.tell(flow);
  }

  /** Its last packet comes this way. */
  end(n: number): void {
    const flow = this.find(n);
    if (flow < 0) return;
    this.packet(n);
    this.flows.remove(flow);
  }

  /** A turn: what is in the inbox, what is due. */
  turn(): void {
    for (let left = this.options.budget ?? 1000; left > 0 && this.inbox.next(); left--) {
      this.take();
      this.inbox.done();
    }
    this.yieldSome();
    while (!this.flows.expire(this.tick, 10_000));
  }

  /** Numbers of the flows that are here, and whether each is a replica. */
  all(): Map<number, boolean> {
    const found = new Map<number, boolean>();
    const { words } = this.flows;
    for (let flow = 0; flow < this.flows.capacity; flow++) {
      if ((words[this.flows.at(flow) + SERIAL] & 1) === 1) found.set(this.numberOf(flow), (this.flags(flow) & FLAG_REPLICA) !== 0);
    }
    return found;
  }

  own(): number[] { return [...this.all()].filter(([, isReplica]) => !isReplica).map(([n]) => n).sort((a, b) => a - b); }
  state(n: number): number { return this.flows.words[this.flows.at(this.find(n)) + STATE]; }
  leftS(n: number): number { return this.flows.words[this.flows.at(this.find(n)) + DEADLINE] - this.tick; }

  private take(): void {
    const { inbox, record } = this;
    const { words, at } = inbox;
    this.taken++;
    switch (inbox.kind) {
      case INBOX_RECORD:
        if (this.decoder.value(inbox.bytes, inbox.from, inbox.to, record) !== DECODED) this.refused++;
        else if (record.type === RECORD_FLOW) this.adopt();
        else if (record.type === RECORD_AFFINITY) this.affinity.add(record.addresses.join(' '));
        break;
      case INBOX_FORGET:
        if (this.decoder.key(inbox.bytes, inbox.from, inbox.to, record) !== DECODED) this.refused++;
        else if (record.type === RECORD_FLOW) this.forget();
        break;
      case INBOX_FETCHED: this.fetched.set(words[at + FETCHED_TOKEN], words[at + FETCHED_FOUND] === 1); break;
      case INBOX_STORE:
        this.isUsable = words[at + STORE_IS_USABLE] === 1;
        this.isLoaded = words[at + STORE_IS_LOADED] === 1;
        break;
      case INBOX_YIELD:
        this.yieldAt = 0;
        this.isYielded = false;
        break;
    }
  }

  private adopt(): void {
    const { flows, record, tick } = this;
    const known = flows.find(record.original);
    if (known >= 0) {
      const at = flows.at(known >>> 1);
      flows.words[at + STATE] = Math.max(flows.words[at + STATE], record.state);
      if (tick + record.leftS > flows.words[at + DEADLINE]) flows.refresh(known >>> 1, tick, record.leftS);
      return;
    }
    const flow = flows.open(record.original, 0, 0);
    const leaving = new Tuple();
    leaving.invert(record.reply);
    if (flow < 0 || !flows.confirm(flow, leaving, tick, record.leftS)) {
      this.refused++;
      return;
    }
    flows.words[flows.at(flow) + STATE] = record.state;
    this.setFlags(flow, FLAG_REPLICA, 0);
  }

  private forget(): void {
    const known = this.flows.find(this.record.original);
    if (known < 0) return;
    if (this.flags(known >>> 1) & FLAG_REPLICA) this.flows.remove(known >>> 1);
    else this.tell(known >>> 1);
  }

  private yieldSome(): void {
    if (this.isYielded) return;
    for (let left = 64; left > 0 && this.yieldAt >= 0; left--) {
      if (this.yieldAt === this.flows.capacity) this.yieldAt = -1;
      else if (this.flows.words[this.flows.at(this.yieldAt) + SERIAL] & 1) this.setFlags(this.yieldAt++, FLAG_REPLICA, FLAG_PUBLISHED);
      else this.yieldAt++;
    }
    if (this.yieldAt < 0) this.isYielded = this.journal.yielded();
  }

  private onEnd(flow: number): void {
    if ((this.flags(flow) & (FLAG_PUBLISHED | FLAG_REPLICA)) === FLAG_PUBLISHED) this.journal.end(this.flows.words, this.flows.at(flow));
  }

  private tell(flow: number): void { this.journal.flow(flow, this.flows.words[this.flows.at(flow) + SERIAL], this.options.nowMs()); }

  private flags(flow: number): number { return this.flows.words[this.flows.at(flow) + FLAGS]; }

  private setFlags(flow: number, set: number, clear: number): void {
    const at = this.flows.at(flow) + FLAGS;
    this.flows.words[at] = (this.flows.words[at] & ~clear) | set;
  }

  private numberOf(flow: number): number {
    const at = this.flows.at(flow);
    const { words } = this.flows;
    const low = words[at + ORIGINAL_TUPLE + 3] & 0xffff;
    const high = (words[at + REPLY_TUPLE + 3] - (0xc6336407 | 0)) | 0;
    return (high << 16) | low;
  }
}


/**
 * Leases of port blocks: which blocks of a common address's ports this instance has, in the share worker. It reads on the board (table/lease-board.ts) what the
 * data plane makes of them, asks the store, and tells the data plane by orders (BLOCKS, table/inbox.ts) what it may hand out, and until when.
 *
 * A block:
 *
 *            lease                  free enough without it            told, and empty
 *    free ─────────▶ USABLE ─────────────────────────────▶ DRAINING ─────────────────▶ given back
 *                      │ ▲ ◀────────────────────────────────┘  │
 *                      │ │     ports are scarce again          │
 *                      ▼ └─ renew                              ▼
 *                    life over, or somebody else's: the data plane has closed it by itself, or is told to; flows in it live on
 *
 * Ahead. Fewer free ports than half a block, or than are used up in LOW_MS at the present rate, are few: then more blocks are asked for, at once when the
 * data plane says so (PORTS). As many as the rate will use in AHEAD_MS, and twice as many as last time when that was a moment ago: a rush eats a block in 20 ms,
 * and is not known beforehand. At rest two blocks are held.
 *
 * Back. A block goes when for SURPLUS_PART of a lease there were a block and a half to spare without it: the least used one. It is closed
 * first, and given back once nothing is left in it, so that whoever leases it next finds nobody there; when ports get scarce meanwhile it is opened again.
 *
 * Time. A lease is good for leaseMs from the moment the request was sent, by our clock; blocks are used until MARGIN_PART of that is left. All blocks of an address
 * are prolonged together, every third of their life, so one moment holds for all: the soonest. To the data plane it is told in its own clock, which is
 * read before the request is sent.
 *
 * A store that cannot be asked changes nothing until that moment comes; it is told of when a third of a life is left, and when it is over.
 */
import { hashText } from '../base/hash.js';
import type { Plan } from '../base/plan.js';
import { systemTimers } from '../base/timers.js';
import type { Timers } from '../base/timers.js';
import { BLOCKS_ADDRESS, BLOCKS_BITMAP, BLOCKS_GROWS, BLOCKS_ORDER, BLOCKS_UNTIL_MS } from '../table/inbox.js';
import { blockCount, LeaseBoard, leasedAddresses } from '../table/lease-board.js';
import { parseIpv4 } from '../wire/address.js';
import type { Leasing, LeasingContext } from './leasing.js';
import type { ShareEvent, ShareLeaseStatus } from './status.js';
import { StoreError } from './store.js';
import type { Store } from './store.js';

/** Part of a lease that is left when its block is no longer used: for clocks that differ, and for what a turn takes; and the most of it. */
const MARGIN_PART = 0.1;
const MARGIN_MAX_MS = 10_000;
/** Leases are prolonged when this part of their life is over. */
const RENEW_PART = 1 / 3;
/** There must have been ports to spare for this part of a lease before a block goes. */
const SURPLUS_PART = 0.05;
/** Blocks held at rest. */
const AT_REST = 2;
/** Free ports that last less long are few; blocks are asked for that last so much longer. */
const LOW_MS = 50;
const AHEAD_MS = 150;
/** How fast ports are used up is measured over at least so long, and halves in so long when it falls. */
const SAMPLE_MS = 10;
const RATE_HALF_LIFE_MS = 500;
/** Asked again within this time, twice as many are asked for; never more than the part of all blocks. */
const RUSH_MS = 300;
const RUSH_PART = 0.25;
/** After a failure it is tried again in the first, then half as long again each time, up to the last. */
const RETRY_FIRST_MS = 100;
const RETRY_LAST_MS = 5000;
/** Nothing was left to lease: asked again after this. */
const NONE_LEFT_MS = 500;
/** At the end the data plane is waited for so long. */
const CLOSE_MS = 500;
const CLOSE_POLL_MS = 5;

/** Services' ports (stage/mapping.ts keeps them apart). */
const SERVICES_FIRST = 512;
const SERVICES_END = 1024;

export class LeaseManager implements Leasing {
  private readonly addresses: readonly AddressLeases[];

  constructor(context: LeasingContext, timers: Timers = systemTimers) {
    const { plan } = context;
    const board = new LeaseBoard(context.board, blockCount(plan));
    this.addresses = leasedAddresses(plan).map((address, row) => new AddressLeases(context, board, address, row, timers));
  }

  tick(nowMs: number): void {
    for (const address of this.addresses) address.tick(nowMs);
  }

  onPorts(address: number): void {
    for (const leased of this.addresses) if (leased.address === address) leased.hurry();
  }

  onUsable(nowMs: number): void {
    for (const address of this.addresses) address.setUsable(true, nowMs);
  }

  onAway(nowMs: number): void {
    for (const address of this.addresses) address.setUsable(false, nowMs);
  }

  onLost(): void {
    for (const address of this.addresses) address.lose();
  }

  async release(isPlaneGone: boolean): Promise<void> { await Promise.all(this.addresses.map((address) => address.end(isPlaneGone))); }

  status(nowMs: number): ShareLeaseStatus[] { return this.addresses.map((address) => address.status(nowMs)); }
}

class AddressLeases {
  readonly address: number;
  private readonly text: string;
  private readonly row: number;
  private readonly plan: Plan;
  private readonly store: Store;
  private readonly board: LeaseBoard;
  private readonly context: LeasingContext;
  private readonly timers: Timers;
  private readonly leaseMs: number;
  private readonly marginMs: number;
  /** Blocks with ordinary ports, and those with services' alone, in the order in which we ask for them: another one for every instance. */
  private readonly ordinary: readonly number[];
  private readonly services: readonly number[];
  private readonly payload: Int32Array;
  private readonly moment = new Float64Array(1);
  private readonly momentWords = new Int32Array(this.moment.buffer);

  /** Blocks leased, and those of them that the data plane is to hand out no more of: by the order that closed them. */
  private readonly held = new Set<number>();
  private readonly draining = new Map<number, number>();
  /** Those whose life has ended: asked for first. */
  private had: number[] = [];
  /** When they may not be used any more, and when their life is over; by our clock, and the first by the data plane's. */
  private untilMs = 0;
  private endMs = 0;
  private untilThereMs = 0;
  private renewAtMs = 0;
  /** The last order. */
  private order: number;
  private grows = true;
  private isUsable = false;
  private isEnding = false;
  /** Something is being asked of the store. */
  private isBusy = false;
  private isFirst = true;
  /** What is held is what a worker before us has left, and nothing has been heard of it since. */
  private isInherited = false;
  private retryAtMs = -Infinity;
  private retryMs = RETRY_FIRST_MS;
  private noneLeftUntilMs = -Infinity;

  /** Ports per millisecond that are used up, and what it was measured from. */
  private rate = 0;
  private sampledMs = -Infinity;
  private sampledUsed = 0;
  /** Blocks the data plane was last told it may use. */
  private commanded: readonly number[] = [];
  private grantedMs = -Infinity;
  private granted = 0;
  private surplusSinceMs = Infinity;
  private servicesWanted: number;
  private servicesSinceMs = -Infinity;
  private hasToldEnding = false;
  private hasToldEnded = false;
  private hasToldLow = false;

  constructor(context: LeasingContext, board: LeaseBoard, text: string, row: number, timers: Timers) {
    const { plan } = context;
    this.context = context;
    this.plan = plan;
    this.store = context.store;
    this.board = board;
    this.text = text;
    this.address = parseIpv4(text);
    this.row = row;
    this.timers = timers;
    this.leaseMs = plan.share.leaseMs;
    this.marginMs = Math.min(MARGIN_MAX_MS, this.leaseMs * MARGIN_PART);
    const { blocks } = board;
    const first = hashText(plan.share.instance, row) >>> 0;
    const all = Array.from({ length: blocks }, (_, i) => (first + i) % blocks);
    this.ordinary = all.filter((block) => this.ordinaryIn(block) > 0);
    this.services = plan.limits.snatPortFirst < SERVICES_END ? [] : all.filter((block) => this.ordinaryIn(block) === 0 && this.overlap(block, SERVICES_FIRST, SERVICES_END - 1) > 0);
    this.payload = new Int32Array(BLOCKS_BITMAP + ((blocks + 31) >>> 5));
    this.order = board.orderGiven(row);
    this.servicesWanted = board.servicesWanted(row);
    // A worker before us may have crashed, and left the data plane with blocks whose time is not over.
    for (let block = 0; block < blocks; block++) if (board.isUsable(row, block)) this.held.add(block);
    this.isInherited = this.held.size > 0;
    this.endMs = this.untilMs = context.nowMs() + this.leaseMs - this.marginMs;
  }

  setUsable(isUsable: boolean, nowMs: number): void {
    this.isUsable = isUsable;
    this.isFirst = isUsable;
    // What is held is prolonged at once.
    this.renewAtMs = -Infinity;
    this.retryAtMs = -Infinity;
    this.retryMs = RETRY_FIRST_MS;
    if (isUsable) this.step(nowMs);
  }

  /** What is held is another's. */
  lose(): void {
    const lost = this.held.size;
    this.had = [];
    if (lost === 0) return;
    this.held.clear();
    this.draining.clear();
    this.command([]);
    this.tell('share.leases.ended', `${countOf(lost)} of ports of ${this.text} ${lost === 1 ? 'is' : 'are'} left to another instance of this name: new flows get no port of it, known ones go on`, { blocks: lost, severity: 'error' });
  }

  /** Ports are scarce. */
  hurry(): void { this.step(this.context.nowMs()); }

  tick(nowMs: number): void {
    this.watchTime(nowMs);
    this.step(nowMs);
  }

  status(nowMs: number): ShareLeaseStatus {
    const held = [...this.held].sort((a, b) => a - b);
    return { address: this.text, blocks: this.ordinary.length + this.services.length, held, leftMs: held.length === 0 ? null : Math.max(0, this.untilMs - nowMs) };
  }

  /** Hand out nothing any more, and give back what is empty. What is not is the store's to end (`resign`). */
  async end(isPlaneGone: boolean): Promise<void> {
    this.isEnding = true;
    const byMs = this.context.nowMs() + CLOSE_MS;
    const closing = this.command([]);
    const isDone = (): boolean => !this.isBusy && (isPlaneGone || this.hasObeyed(closing) || this.context.nowMs() >= byMs);
    while (!isDone()) await new Promise<void>((resolve) => { this.timers.set(resolve, CLOSE_POLL_MS); });
    const empty = [...this.held].filter((block) => this.board.isEmpty(this.row, block));
    const isObeyed = isPlaneGone || this.hasObeyed(closing);
    this.held.clear();
    this.draining.clear();
    if (this.isUsable && isObeyed && empty.length > 0) await this.store.release(this.text, empty);
  }

  /** What follows from time alone. */
  private watchTime(nowMs: number): void {
    // Only the data plane knows when their time is over.
    if (this.isInherited) for (const block of this.held) if (!this.board.isUsable(this.row, block)) this.held.delete(block);
    if (this.held.size === 0) return;
    const blocks = countOf(this.held.size);
    if (nowMs >= this.untilMs - this.leaseMs * RENEW_PART && !this.hasToldEnding) {
      this.hasToldEnding = true;
      this.tell('share.leases.ending', `${blocks} of ports of ${this.text} cannot be prolonged: new flows get ports of them for ${seconds(this.untilMs - nowMs)} more`,
        { blocks: this.held.size, leftMs: Math.max(0, this.untilMs - nowMs), severity: 'warning' });
    }
    if (nowMs >= this.untilMs && !this.hasToldEnded) {
      this.hasToldEnded = true;
      this.tell('share.leases.ended', `the lease of ${blocks} of ports of ${this.text} is over: new flows get no port of it, known ones go on`, { blocks: this.held.size, severity: 'error' });
    }
    if (nowMs < this.endMs) return;
    this.had = [...this.held];
    this.held.clear();
    this.draining.clear();
  }

  /** Begin what is most urgent; what follows from it comes with the next step. */
  private step(nowMs: number): void {
    // Without the data plane's clock nothing can be told to it.
    if (!this.isUsable || this.isEnding || this.isBusy || nowMs < this.retryAtMs || this.board.nowMs === 0) return;
    if (this.held.size > 0 && nowMs >= this.renewAtMs) this.ask(() => this.renew([]));
    // Flows that are not here yet may live in any other block.
    else if (!this.context.isLoaded()) return;
    else if (this.isFirst) this.ask(() => this.recall());
    else this.settle(nowMs);
  }

  /** More blocks, or fewer. */
  private settle(nowMs: number): void {
    // What is free is known once the last order has been carried out.
    if (!this.hasObeyed(this.order)) return;
    const { portBlock } = this.plan.share;
    const has = this.capacity();
    const free = Math.min(has, this.board.free(this.row));
    this.measure(nowMs, has - free);
    const low = Math.max(portBlock / 2, this.rate * LOW_MS);
    if (free < low || this.isBelowRest) {
      this.surplusSinceMs = Infinity;
      if (this.reopen()) return;
      const isRush = nowMs - this.grantedMs < RUSH_MS;
      const wanted = Math.max(Math.ceil((low + this.rate * AHEAD_MS - free) / portBlock), has === 0 ? AT_REST : 1, isRush ? 2 * this.granted : 0);
      if (nowMs >= this.noneLeftUntilMs) {
        this.ask(() => this.lease(this.ordinary, Math.min(wanted, Math.max(AT_REST, Math.floor(this.ordinary.length * RUSH_PART)))));
        return;
      }
    }
    if (this.board.servicesWanted(this.row) !== this.servicesWanted) {
      this.servicesWanted = this.board.servicesWanted(this.row);
      const isFull = this.services.every((block) => !this.isOpen(block) || this.board.used(this.row, block) >= this.overlap(block, SERVICES_FIRST, SERVICES_END - 1));
      if (isFull && this.services.some((block) => !this.held.has(block)) && nowMs - this.servicesSinceMs >= NONE_LEFT_MS) {
        this.servicesSinceMs = nowMs;
        this.ask(() => this.lease(this.services, 1));
        return;
      }
    }
    this.giveBack(nowMs, free, low);
  }

  /** True when less is held than is at rest. */
  private get isBelowRest(): boolean {
    return [...this.held].filter((block) => this.ordinaryIn(block) > 0).length < Math.min(AT_REST, this.ordinary.length);
  }

  private measure(nowMs: number, used: number): void {
    const tookMs = nowMs - this.sampledMs;
    if (tookMs < SAMPLE_MS) return;
    const rate = tookMs === Infinity ? 0 : (used - this.sampledUsed) / tookMs;
    this.rate = tookMs === Infinity ? 0 : Math.max(0, rate, this.rate * 2 ** (-tookMs / RATE_HALF_LIFE_MS));
    this.sampledMs = nowMs;
    this.sampledUsed = used;
  }

  /** Blocks that were to go stay. */
  private reopen(): boolean {
    const ordinary = [...this.draining.keys()].filter((block) => this.ordinaryIn(block) > 0);
    if (ordinary.length === 0) return false;
    for (const block of ordinary) this.draining.delete(block);
    this.command(this.open());
    return true;
  }

  private giveBack(nowMs: number, free: number, low: number): void {
    const { portBlock } = this.plan.share;
    const empty = [...this.draining].filter(([block, order]) => this.hasObeyed(order) && this.board.isEmpty(this.row, block)).map(([block]) => block);
    if (empty.length > 0) {
      this.ask(() => this.release(empty));
      return;
    }
    const freeIn = (block: number): number => this.ordinaryIn(block) - this.board.used(this.row, block);
    const open = this.open();
    const ordinary = open.filter((block) => this.ordinaryIn(block) > 0).sort((a, b) => freeIn(b) - freeIn(a));
    const idle = open.filter((block) => this.ordinaryIn(block) === 0 && this.board.isEmpty(this.row, block));
    const isSurplus = ordinary.length > AT_REST && free - freeIn(ordinary[0]) >= low + portBlock;
    if (!isSurplus && idle.length === 0) this.surplusSinceMs = Infinity;
    else if (this.surplusSinceMs === Infinity) this.surplusSinceMs = nowMs;
    if (nowMs - this.surplusSinceMs < this.leaseMs * SURPLUS_PART || this.surplusSinceMs === Infinity) return;
    const going = isSurplus ? [ordinary[0], ...idle] : idle;
    const order = (this.order + 1) | 0;
    for (const block of going) this.draining.set(block, order);
    this.command(this.open());
  }

  /** The store is usable under a new generation, and all it has is here: what it has leased under our name is ours, whatever we knew of it. */
  private async recall(): Promise<void> {
    const { instance } = this.plan.share;
    const ours = (await this.store.leases()).filter((lease) => lease.address === this.text && lease.instance === instance).map(({ block }) => block);
    const { order } = this;
    await this.renew(ours.filter((block) => block < this.board.blocks));
    // What a worker before us has ordered last may have been lost with it.
    if (this.order === order && !this.hasObeyed(order)) this.command(this.open());
    this.isFirst = false;
  }

  /** Prolong all that is held, and others that the store has under our name. */
  private async renew(others: readonly number[]): Promise<void> {
    const asked = new Set([...this.held, ...others]);
    if (asked.size === 0) return;
    const sent = this.sent();
    const kept = new Set(await this.store.renew(this.text, [...asked], this.leaseMs));
    const lost = [...this.held].filter((block) => !kept.has(block));
    for (const block of lost) {
      this.held.delete(block);
      this.draining.delete(block);
    }
    for (const block of kept) this.held.add(block);
    this.accept(sent, true);
    if (lost.length > 0) {
      this.tell('share.leases.ended', `${countOf(lost.length)} of ports of ${this.text} ${lost.length === 1 ? 'is' : 'are'} leased by another instance now: new flows get no port of it, known ones go on`,
        { blocks: lost.length, severity: 'error' });
    }
  }

  private async lease(wanted: readonly number[], count: number): Promise<void> {
    const isOrdinary = wanted === this.ordinary;
    const free = wanted.filter((block) => !this.held.has(block));
    const before = this.had.filter((block) => free.includes(block));
    const isFirst = this.held.size === 0;
    const sent = this.sent();
    const got = free.length === 0 ? [] : await this.store.lease(this.text, [...before, ...free.filter((block) => !before.includes(block))], count, this.leaseMs);
    const nowMs = this.context.nowMs();
    for (const block of got) this.held.add(block);
    if (isOrdinary) {
      this.grantedMs = nowMs;
      this.granted = got.length;
      const had = this.grows;
      this.grows = got.length === count;
      if (!this.grows) this.noneLeftUntilMs = nowMs + NONE_LEFT_MS;
      if (got.length === 0 && had !== this.grows) this.command(this.open());
      if (got.length === 0 && !this.hasToldLow) {
        this.hasToldLow = true;
        this.tell('share.leases.low', `no more blocks of ports of ${this.text} are to be had: ${this.held.size} of ${this.board.blocks} are ours, and the others are leased`,
          { blocks: this.held.size, total: this.board.blocks, severity: 'warning' });
      }
      if (got.length > 0) this.hasToldLow = false;
    }
    if (got.length > 0) this.accept(sent, isFirst);
  }

  private async release(blocks: readonly number[]): Promise<void> {
    // Once asked for it they are not ours, whatever becomes of the answer.
    for (const block of blocks) {
      this.held.delete(block);
      this.draining.delete(block);
    }
    this.had = this.had.filter((block) => !blocks.includes(block));
    this.noneLeftUntilMs = -Infinity;
    await this.store.release(this.text, blocks);
  }

  /** The store has leased or prolonged what is held; `isAll`: all of it, so that the time of all begins anew. */
  private accept({ atMs, thereMs }: Sent, isAll: boolean): void {
    if (isAll) {
      this.endMs = atMs + this.leaseMs;
      this.untilMs = this.endMs - this.marginMs;
      this.untilThereMs = thereMs + this.leaseMs - this.marginMs;
      this.renewAtMs = atMs + this.leaseMs * RENEW_PART;
      this.isInherited = false;
    }
    if (isAll && this.hasToldEnding && this.held.size > 0) {
      this.tell('share.leases.renewed', `${countOf(this.held.size)} of ports of ${this.text} ${this.held.size === 1 ? 'is' : 'are'} ours for ${seconds(this.leaseMs)} more`, { blocks: this.held.size, severity: 'info' });
    }
    if (isAll && this.held.size > 0) this.hasToldEnding = this.hasToldEnded = false;
    this.command(this.isEnding ? [] : this.open());
  }

  /** Tell the data plane which blocks it may use; the order's number. */
  private command(blocks: readonly number[]): number {
    const { payload } = this;
    payload.fill(0);
    this.order = (this.order + 1) | 0;
    this.board.setOrderGiven(this.row, this.order);
    this.moment[0] = this.untilThereMs;
    payload[BLOCKS_ADDRESS] = this.address;
    payload[BLOCKS_ORDER] = this.order;
    payload[BLOCKS_GROWS] = this.grows ? 1 : 0;
    payload[BLOCKS_UNTIL_MS] = this.momentWords[0];
    payload[BLOCKS_UNTIL_MS + 1] = this.momentWords[1];
    for (const block of blocks) payload[BLOCKS_BITMAP + (block >>> 5)] |= 1 << (block & 31);
    // What was in use in a block before it came, or still is when it goes, is not used up now.
    const usedIn = (some: readonly number[], others: readonly number[]): number =>
      some.reduce((sum, block) => sum + (others.includes(block) || this.ordinaryIn(block) === 0 ? 0 : this.board.used(this.row, block)), 0);
    this.sampledUsed += usedIn(blocks, this.commanded) - usedIn(this.commanded, blocks);
    this.commanded = [...blocks];
    this.context.blocks(payload);
    return this.order;
  }

  private ask(what: () => Promise<void>): void {
    this.isBusy = true;
    void what().then(() => {
      this.retryMs = RETRY_FIRST_MS;
      this.retryAtMs = -Infinity;
      this.isBusy = false;
      this.step(this.context.nowMs());
    }, (error: unknown) => {
      this.isBusy = false;
      // What is wrong with the store is for who has made it to tell.
      if (!(error instanceof StoreError)) throw error;
      this.retryAtMs = this.context.nowMs() + this.retryMs;
      this.retryMs = Math.min(RETRY_LAST_MS, this.retryMs * 1.5);
    });
  }

  private sent(): Sent { return { atMs: this.context.nowMs(), thereMs: this.board.nowMs }; }

  private hasObeyed(order: number): boolean { return ((this.board.order(this.row) - order) | 0) >= 0; }

  private isOpen(block: number): boolean { return this.held.has(block) && !this.draining.has(block); }
  private open(): number[] { return [...this.held].filter((block) => !this.draining.has(block)); }

  /** Ordinary ports of the blocks that may be used. */
  private capacity(): number { return this.open().reduce((sum, block) => sum + this.ordinaryIn(block), 0); }

  private ordinaryIn(block: number): number { return this.overlap(block, this.plan.limits.snatPortFirst, this.plan.limits.snatPortLast); }

  /** Ports of a block that lie in a range. */
  private overlap(block: number, first: number, last: number): number {
    const { portBlock } = this.plan.share;
    return Math.max(0, Math.min(last, (block + 1) * portBlock - 1) - Math.max(first, block * portBlock) + 1);
  }

  private tell(event: ShareEvent['event'], message: string, fields: ShareEvent['fields']): void {
    this.context.tell({ event, subject: this.text, message, fields: { address: this.text, ...fields } });
  }
}

/** When a request was sent: by our clock, and by the data plane's. */
interface Sent { atMs: number; thereMs: number }

function countOf(blocks: number): string { return blocks === 1 ? 'one block' : `${blocks} blocks`; }

function seconds(ms: number): string { return `${Math.max(0, Math.round(ms / 1000))} s`; }

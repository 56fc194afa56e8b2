/**
 * The way into the inbox, with patience: nothing is lost when the ring is full. What is small and due (answers, blocks, states) is kept here in its order;
 * whoever brings records by the thousand waits for `room`, and so makes the store wait.
 *
 * The data plane sleeps while it has nothing to do, so it is woken once for everything that was put since the last time (`flush`).
 */
import type { InboxWriter } from '../table/inbox.js';

/** Records wait for room until this part of the ring is free again: one wait for thousands of them. */
const ROOM_PART = 1 / 4;

export class Feed {
  /** Times somebody had to wait. */
  waits = 0;
  private readonly inbox: InboxWriter;
  private readonly wake: () => void;
  private readonly limitWords: number;
  /** What found no room; each gives false as long as that is so. */
  private readonly waiting: (() => boolean)[] = [];
  private roomFor: (() => void)[] = [];
  private isDirty = false;

  constructor(inbox: InboxWriter, limitWords: number, wake: () => void) {
    this.inbox = inbox;
    this.limitWords = limitWords;
    this.wake = wake;
  }

  /** Words that wait to be read, of so many. */
  get words(): number { return this.inbox.waiting; }
  get limit(): number { return this.limitWords; }

  /** True when the data plane has taken everything. */
  get isEmpty(): boolean { return this.waiting.length === 0 && this.inbox.waiting === 0; }

  fetched(token: number, isFound: boolean): void { this.put(() => this.inbox.fetched(token, isFound)); }
  store(isUsable: boolean, isLoaded: boolean): void { this.put(() => this.inbox.store(isUsable, isLoaded)); }
  yield(): void { this.put(() => this.inbox.yield()); }

  blocks(payload: Int32Array): void {
    const copy = payload.slice();
    this.put(() => this.inbox.blocks(copy));
  }

  /** False = no room now: wait for `room` and try again. */
  record(value: Uint8Array, from: number, to: number): boolean { return this.waiting.length === 0 && this.noted(this.inbox.record(value, from, to)); }
  forget(key: Uint8Array): boolean { return this.waiting.length === 0 && this.noted(this.inbox.forget(key)); }

  /** Settles when there is room again, or has been long enough for another try. */
  room(): Promise<void> {
    this.waits++;
    this.flush();
    return new Promise((resolve) => { this.roomFor.push(resolve); });
  }

  /** What waits is tried again. Called every few milliseconds. */
  tick(): void {
    while (this.waiting.length > 0 && this.noted(this.waiting[0]())) this.waiting.shift();
    this.flush();
    if (this.roomFor.length === 0 || this.waiting.length > 0 || this.inbox.waiting > this.limitWords * (1 - ROOM_PART)) return;
    this.release();
  }

  /** Nobody waits any more: what they brought is not wanted. */
  release(): void {
    const waiting = this.roomFor;
    this.roomFor = [];
    for (const go of waiting) go();
  }

  /** The data plane is told that something is there. */
  flush(): void {
    if (!this.isDirty) return;
    this.isDirty = false;
    this.wake();
  }

  private put(attempt: () => boolean): void {
    if (this.waiting.length > 0 || !this.noted(attempt())) this.waiting.push(attempt);
  }

  private noted(isIn: boolean): boolean {
    this.isDirty ||= isIn;
    return isIn;
  }
}

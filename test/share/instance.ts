/** A whole instance without threads: a data plane that only has flows (plane.ts), the share worker's classes, and a store; with what makes the store fail at a moment of choice. */
import { Random } from '../../src/base/random.js';
import type { Plan } from '../../src/base/plan.js';
import { RecordDecoder, RecordNames, SharedRecord, DECODED, RECORD_FLOW } from '../../src/table/flow-record.js';
import { MemoryStore } from '../../src/share/memory.js';
import type { MemoryStoreSpace } from '../../src/share/memory.js';
import { Sharing } from '../../src/share/sharing.js';
import { STAMP_BYTES } from '../../src/share/stamp.js';
import type { FromShare, ShareEvent, ShareStatus } from '../../src/share/status.js';
import { StoreError } from '../../src/share/store.js';
import type { StoreTrouble } from '../../src/share/store.js';
import type { ManualTimers } from '../health/manual-timers.js';
import { Plane, sharedPlan } from './plane.js';
import type { PlaneOptions } from './plane.js';

/** A store whose writes fail when told: before they have taken effect, or after. */
export class FlakyStore extends MemoryStore {
  failures: { when: 'before' | 'after'; trouble: StoreTrouble }[] = [];
  writes = 0;

  override async write(batch: Uint8Array): Promise<void> {
    this.writes++;
    const failure = this.failures.shift();
    if (failure?.when === 'before') throw new StoreError(failure.trouble, `made to fail before: ${failure.trouble}`);
    await super.write(batch);
    if (failure?.when === 'after') throw new StoreError(failure.trouble, `made to fail after: ${failure.trouble}`);
  }
}

export interface InstanceOptions extends Partial<Omit<PlaneOptions, 'plan' | 'nowMs'>> {
  name: string;
  space: MemoryStoreSpace;
  timers: ManualTimers;
  share?: Partial<Plan['share']>;
  limits?: Partial<Plan['limits']>;
  isRestart?: boolean;
  generation?: number | null;
  /** Of an instance whose share worker has crashed: the data plane goes on. */
  plane?: Plane;
}

/** Between two turns of the data plane. */
const TURN_MS = 2;

export class Instance {
  readonly plane: Plane;
  readonly store: FlakyStore;
  readonly sharing: Sharing;
  readonly messages: FromShare[] = [];
  readonly plan: Plan;
  private readonly timers: ManualTimers;
  private timer: unknown;

  constructor(options: InstanceOptions) {
    const { name, space, timers, plane } = options;
    this.timers = timers;
    this.plan = sharedPlan(name, { ...(options.share === undefined ? {} : { share: options.share }), ...(options.limits === undefined ? {} : { limits: options.limits }) });
    this.plane = plane ?? new Plane({ ...options, plan: this.plan, nowMs: () => timers.nowMs() });
    this.store = new FlakyStore(space);
    this.sharing = new Sharing({
      plan: this.plan, version: '1.0.0', store: this.store, ...this.plane.memory, clock: timers, timers, random: new Random(3),
      planeNowMs: () => timers.nowMs(), wake: () => undefined, tell: (message) => this.messages.push(message), isRestart: options.isRestart ?? false, generation: options.generation ?? null,
    });
    this.turn();
    void this.sharing.run();
  }

  get status(): ShareStatus { return this.sharing.status(); }

  events(word: ShareEvent['event']): ShareEvent[] {
    return this.messages.flatMap((message) => (message.type === 'event' && message.event.event === word ? [message.event] : []));
  }

  /** It is gone at once, nothing is told to anyone; with `keepsPlane` only the share worker is. */
  crash(keepsPlane = false): void {
    if (!keepsPlane) this.timers.clear(this.timer);
    void this.store.close();
    this.sharing.abandon();
  }

  private turn(): void {
    this.timer = this.timers.set(() => this.turn(), TURN_MS);
    this.plane.turn();
  }
}

/** What the store has of flows: key as text, and by number of flow its state. */
export function flowsOf(space: MemoryStoreSpace, plan: Plan, nowMs: number): Map<number, number> {
  const decoder = new RecordDecoder(new RecordNames(plan));
  const record = new SharedRecord();
  const found = new Map<number, number>();
  for (const [key, { bytes, endsAtMs }] of space.records) {
    if (key.charCodeAt(0) !== RECORD_FLOW || endsAtMs <= nowMs) continue;
    if (decoder.value(bytes, STAMP_BYTES, bytes.length, record) !== DECODED) throw new Error('the store has something that is no record');
    const high = (record.reply.s3 - (0xc6336407 | 0)) | 0;
    found.set((high << 16) | (record.original.s3 & 0xffff), record.state);
  }
  return found;
}

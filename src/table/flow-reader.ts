/**
 * The flow table read from another thread: one entry at a time, copied out, and only handed over when nobody changed its owner while
 * it was copied. Never locks, never makes the data plane wait.
 */
import { COUNTERS, FLOW_WORDS, HEADER_COUNT, HEADER_ENDED, HEADER_EXPIRED, HEADER_HIGH, HEADER_NOW, HEADER_OPENED, HEADER_WORDS, SERIAL } from './flow.js';

export class FlowReader {
  private readonly shared: Int32Array;
  private readonly sharedDoubles: Float64Array;
  readonly capacity: number;
  /** The entry last copied: int32 words as table/flow.ts lays them out, and the same memory as doubles. */
  readonly words = new Int32Array(FLOW_WORDS);
  readonly doubles = new Float64Array(this.words.buffer);

  constructor(memory: SharedArrayBuffer, capacity: number) {
    this.shared = new Int32Array(memory);
    this.sharedDoubles = new Float64Array(memory);
    this.capacity = capacity;
  }

  get count(): number { return this.shared[HEADER_COUNT]; }
  get opened(): number { return this.shared[HEADER_OPENED] >>> 0; }
  get expired(): number { return this.shared[HEADER_EXPIRED] >>> 0; }
  /** Ended before their time; opened = count + expired + ended. */
  get ended(): number { return this.shared[HEADER_ENDED] >>> 0; }
  /** Entries beyond this one were never used. */
  get high(): number { return this.shared[HEADER_HIGH]; }
  /** Table time, seconds. */
  get nowTick(): number { return this.shared[HEADER_NOW]; }

  /** One word of an entry as it is at the moment, whoever owns it. */
  peek(flow: number, word: number): number { return this.shared[HEADER_WORDS + flow * FLOW_WORDS + word]; }

  /** Copy an entry; false when it holds no flow or changed its owner meanwhile. */
  read(flow: number): boolean {
    const at = HEADER_WORDS + flow * FLOW_WORDS;
    const serial = Atomics.load(this.shared, at + SERIAL);
    if ((serial & 1) === 0) return false;
    for (let i = 0; i < FLOW_WORDS; i++) this.words[i] = this.shared[at + i];
    // The counters of a flow that goes on change meanwhile: each in one piece, for an aligned double is never torn and two words are.
    for (let i = COUNTERS / 2; i < COUNTERS / 2 + 4; i++) this.doubles[i] = this.sharedDoubles[at / 2 + i];
    return Atomics.load(this.shared, at + SERIAL) === serial;
  }
}

/**
 * The data plane's side of a turn: the arena, the descriptors, what waits to be sent, and scratch room for packets the router makes
 * itself. Behind it stands a device that moves whole batches: the addon, or memory links in tests.
 */
import {
  ARENA_LENGTH, BATCH_MAX, HEADROOM, RX_WORDS, SCRATCH_AT, SCRATCH_LENGTH, TX_ERRNO, TX_FRAME_AT, TX_LENGTH_BYTES, TX_LINK, TX_MAX, TX_WORDS,
} from './batch.js';

/** What moves batches; `NativeIo` (link/native.ts) is one, `MemoryIo` (link/memory.ts) the other. */
export interface BatchDevice {
  /** Send tx[0 .. txCount), wait up to timeoutMs, receive; the number of receive descriptors filled. */
  turn(txCount: number, timeoutMs: number): number;
  /** Send tx[0 .. txCount) now; how many failed. */
  flush(txCount: number): number;
}

export class Exchange {
  readonly arena = new ArrayBuffer(ARENA_LENGTH);
  readonly u8 = new Uint8Array(this.arena);
  readonly view = new DataView(this.arena);
  readonly rx = new Int32Array(BATCH_MAX * RX_WORDS);
  readonly tx = new Int32Array(TX_MAX * TX_WORDS);
  txCount = 0;
  private scratchAt = SCRATCH_AT;
  private device: BatchDevice | undefined;
  /** Told of every frame a device would not take: link, errno. */
  private readonly onSendError: (link: number, errno: number) => void;

  constructor(onSendError: (link: number, errno: number) => void) { this.onSendError = onSendError; }

  connect(device: BatchDevice): void { this.device = device; }

  /**
   * Room for a record of the router's own with `length` bytes from the IP header on (HEADROOM before it), good for this
   * turn. Returns where the IP header goes, or -1 when the scratch region is used up.
   */
  allocate(length: number): number {
    const ipAt = this.scratchAt + HEADROOM;
    const end = (ipAt + length + 3) & ~3;
    if (end > SCRATCH_AT + SCRATCH_LENGTH) return -1;
    this.scratchAt = end;
    return ipAt;
  }

  /** True when `count` more records of `length` bytes have room in this turn. */
  hasRoom(count: number, length: number): boolean {
    return this.scratchAt + count * (HEADROOM + length + 3) <= SCRATCH_AT + SCRATCH_LENGTH;
  }

  /** Queue a frame whose virtio-net header is written. */
  send(link: number, frameAt: number, length: number): void {
    if (this.txCount === TX_MAX) this.flush();
    const at = this.txCount++ * TX_WORDS;
    this.tx[at + TX_LINK] = link;
    this.tx[at + TX_FRAME_AT] = frameAt;
    this.tx[at + TX_LENGTH_BYTES] = length;
    this.tx[at + TX_ERRNO] = 0;
  }

  /** Send what is queued and receive the next batch. */
  turn(timeoutMs: number): number {
    const sent = this.txCount;
    const received = (this.device as BatchDevice).turn(sent, timeoutMs);
    this.settle(sent);
    this.scratchAt = SCRATCH_AT;
    return received;
  }

  /** Send what is queued now, within a turn; scratch records stay where they are. */
  flush(): void {
    const sent = this.txCount;
    if ((this.device as BatchDevice).flush(sent) > 0) this.settle(sent);
    this.txCount = 0;
  }

  private settle(sent: number): void {
    for (let i = 0; i < sent; i++) {
      const errno = this.tx[i * TX_WORDS + TX_ERRNO];
      if (errno !== 0) this.onSendError(this.tx[i * TX_WORDS + TX_LINK], errno);
    }
    this.txCount = 0;
  }
}

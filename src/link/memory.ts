/**
 * Links made of memory, for tests and micro-benches: frames are put in by hand, and what leaves is kept. Records lie in the
 * arena just as the addon places them, so the pipeline cannot tell the difference.
 */
import { HEADROOM, BATCH_MAX, KIND_TUN, RECORD_MAX, RX_AT, RX_FRAME_AT, RX_LENGTH, RX_LENGTH_BYTES, RX_LINK, RX_VLAN_TCI, RX_WORDS, TX_ERRNO, TX_FRAME_AT, TX_LENGTH_BYTES, TX_LINK, TX_WORDS } from './batch.js';
import type { BatchDevice, Exchange } from './exchange.js';
import { ETHERNET_LENGTH } from '../wire/ethernet.js';
import { VNET_LENGTH } from '../wire/vnet.js';

/** A frame with its virtio-net header (10 bytes; all zero = plain). */
export interface MemoryFrame { link: number; frame: Uint8Array; vnet: Uint8Array; vlanTci: number }

const PLAIN = new Uint8Array(VNET_LENGTH);

export class MemoryIo implements BatchDevice {
  private readonly exchange: Exchange;
  private readonly kinds: readonly number[];
  private readonly waiting: MemoryFrame[] = [];
  /** Everything sent so far, oldest first. */
  readonly sent: MemoryFrame[] = [];
  /** errno to answer sends on a link with, to play a device in trouble. */
  readonly sendErrno = new Map<number, number>();

  /** @param kinds KIND_* of each link, by index. */
  constructor(exchange: Exchange, kinds: readonly number[]) {
    this.exchange = exchange;
    this.kinds = kinds;
  }

  /** Frames still to be received. */
  get waitingCount(): number { return this.waiting.length; }

  /** Queue a frame for the next turn. */
  receive(link: number, frame: Uint8Array, vnet: Uint8Array = PLAIN, vlanTci = -1): void {
    this.waiting.push({ link, frame, vnet, vlanTci });
  }

  turn(txCount: number): number {
    this.flush(txCount);
    const { u8, rx } = this.exchange;
    let at = RX_AT;
    let count = 0;
    while (count < BATCH_MAX && at + RECORD_MAX <= RX_AT + RX_LENGTH) {
      const next = this.waiting.shift();
      if (next === undefined) break;
      const ipAt = at + HEADROOM;
      const frameAt = this.kinds[next.link] === KIND_TUN ? ipAt : ipAt - ETHERNET_LENGTH;
      u8.set(next.vnet, frameAt - VNET_LENGTH);
      u8.set(next.frame, frameAt);
      rx[count * RX_WORDS + RX_LINK] = next.link;
      rx[count * RX_WORDS + RX_FRAME_AT] = frameAt;
      rx[count * RX_WORDS + RX_LENGTH_BYTES] = next.frame.length;
      rx[count * RX_WORDS + RX_VLAN_TCI] = next.vlanTci;
      at = (frameAt + next.frame.length + 3) & ~3;
      count++;
    }
    return count;
  }

  flush(txCount: number): number {
    const { u8, tx } = this.exchange;
    let failed = 0;
    for (let i = 0; i < txCount; i++) {
      const at = i * TX_WORDS;
      const link = tx[at + TX_LINK];
      const errno = this.sendErrno.get(link) ?? 0;
      tx[at + TX_ERRNO] = errno;
      if (errno !== 0) {
        failed++;
        continue;
      }
      const frameAt = tx[at + TX_FRAME_AT];
      this.sent.push({
        link, frame: u8.slice(frameAt, frameAt + tx[at + TX_LENGTH_BYTES]), vnet: u8.slice(frameAt - VNET_LENGTH, frameAt), vlanTci: -1,
      });
    }
    return failed;
  }
}

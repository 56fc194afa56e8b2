/**
 * Two TCP ends with a router between, and a bad network on either side of it: segments of any size, lost, reordered and repeated, in any cut; SACK
 * with every acknowledgement. The ends are models, not stacks: they check what no stack would tell, that every number they are told makes sense.
 */
import * as assert from 'uvu/assert';
import { Random } from '../../src/base/random.js';
import * as make from './frames.js';
import type { LinkName, Rig } from './rig.js';

export interface EndOptions {
  link: LinkName;
  address: string;
  port: number;
  /** Where it believes the other end to be. */
  peer: string;
  peerPort: number;
  /** All it is going to send. */
  data: Buffer;
  /** It sends on only when everything is acknowledged (Nagle's algorithm with one byte at a time is the worst case). */
  waits?: boolean;
  /** Longest segment it sends. */
  most?: number;
  /** It says nothing before it has received so many bytes. */
  after?: number;
}

interface Segment { sequence: number; acknowledgement: number; flags: number; payload: Buffer; sack: [number, number][] }

export class End {
  readonly options: EndOptions;
  readonly initial: number;
  una: number;
  next: number;
  /** What has come in order, and bytes ahead of it by sequence number. */
  received = Buffer.alloc(0);
  private readonly ahead = new Map<number, number>();
  peerInitial = 0;
  peerAcknowledged = 0;
  isOpen = false;
  finSent = false;
  finReceived = false;
  /** Told of what the other end says it has: everything before `una`, and the range of each SACK block, offsets into `data`. */
  onAcknowledged: (una: number, blocks: [number, number][]) => void = () => {};

  constructor(options: EndOptions, initial: number) {
    this.options = options;
    this.initial = initial >>> 0;
    this.una = 0;
    this.next = 0;
  }

  get isDone(): boolean { return this.una === this.options.data.length + 1; }

  packet(offset: number, length: number, letters: string): Buffer {
    const { address, port, peer, peerPort, data } = this.options;
    const payload = data.subarray(offset, offset + length);
    const options = this.sackOption();
    return make.ipv4({ source: address, destination: peer, dontFragment: true }, make.tcp({
      sourcePort: port, destinationPort: peerPort, sequence: (this.initial + 1 + offset) >>> 0, acknowledgement: this.acknowledgement, flags: letters, options, payload,
    }));
  }

  get acknowledgement(): number { return (this.peerInitial + 1 + this.received.length + (this.finReceived ? 1 : 0)) >>> 0; }

  /** Up to three blocks of what came ahead. */
  private sackOption(): Buffer {
    const places = [...this.ahead.keys()].sort((a, b) => a - b);
    const blocks: [number, number][] = [];
    for (const place of places) {
      const last = blocks[blocks.length - 1];
      if (last !== undefined && last[1] === place) last[1]++;
      else blocks.push([place, place + 1]);
    }
    if (blocks.length === 0) return Buffer.alloc(0);
    const kept = blocks.slice(-3);
    const option = Buffer.alloc(4 + kept.length * 8, 1);
    option[2] = 5;
    option[3] = 2 + kept.length * 8;
    kept.forEach(([left, right], i) => {
      option.writeUInt32BE((this.peerInitial + 1 + left) >>> 0, 4 + i * 8);
      option.writeUInt32BE((this.peerInitial + 1 + right) >>> 0, 8 + i * 8);
    });
    return option;
  }

  /** Take a packet in; true when it asks for an acknowledgement. */
  take(packet: Buffer): boolean {
    const segment = parse(packet);
    if ((segment.flags & make.FLAG.A) !== 0) this.acknowledged(segment);
    const offset = (segment.sequence - this.peerInitial - 1) | 0;
    // One byte before the next: a keep-alive, to be answered.
    if (segment.payload.length === 0 && (segment.flags & make.FLAG.F) === 0) return offset < this.received.length;
    assert.ok(offset >= 0 && offset <= this.received.length + 70_000, `a segment at ${offset}, ${this.received.length} received`);
    segment.payload.forEach((byte, i) => {
      const place = offset + i;
      if (place < this.received.length) assert.is(byte, this.received[place], `byte ${place} came again as another one`);
      else if (this.ahead.has(place)) assert.is(byte, this.ahead.get(place), `byte ${place} came again as another one`);
      else this.ahead.set(place, byte);
    });
    const fresh: number[] = [];
    for (let place = this.received.length; this.ahead.has(place); place++) {
      fresh.push(this.ahead.get(place) as number);
      this.ahead.delete(place);
    }
    this.received = Buffer.concat([this.received, Buffer.from(fresh)]);
    if ((segment.flags & make.FLAG.F) !== 0 && offset + segment.payload.length === this.received.length) this.finReceived = true;
    return true;
  }

  /**
   * What it makes of a reset once it is open (RFC 9293 §3.10.7.4, RFC 5961 §3.2): believed when it bears the very number expected next, asked back about
   * when it is in the window, ignored else. An opener that waits for its answer believes one that acknowledges its SYN.
   */
  judgeReset(packet: Buffer, window = 65_160): 'reset' | 'challenge' | 'ignored' {
    const { sequence, acknowledgement, flags } = parse(packet);
    assert.ok((flags & make.FLAG.R) !== 0, 'a reset');
    if (this.peerInitial === 0) return (flags & make.FLAG.A) !== 0 && acknowledgement === (this.initial + 1) >>> 0 ? 'reset' : 'ignored';
    const ahead = (sequence - this.acknowledgement) | 0;
    return ahead === 0 ? 'reset' : ahead > 0 && ahead < window ? 'challenge' : 'ignored';
  }

  private acknowledged(segment: Segment): void {
    const offset = (segment.acknowledgement - this.initial - 1) | 0;
    assert.ok(offset >= 0 && offset <= this.next + (this.finSent ? 1 : 0), `${offset} acknowledged, ${this.next} sent`);
    if (offset > this.una) this.una = offset;
    const blocks = segment.sack.map(([left, right]): [number, number] => {
      const from = (left - this.initial - 1) | 0, to = (right - this.initial - 1) | 0;
      assert.ok(from < to && from >= 0 && to <= this.next, `block ${from} … ${to}, ${this.next} sent`);
      return [from, to];
    });
    this.onAcknowledged(offset, blocks);
  }

  /** True when the byte at this place of what the peer's side sends has come. */
  has(place: number): boolean { return place < this.received.length || this.ahead.has(place); }
}

function parse(packet: Buffer): Segment {
  const tcp = packet.subarray((packet[0] & 15) * 4);
  const header = (tcp[12] >> 4) * 4;
  const sack: [number, number][] = [];
  for (let at = 20; at < header && tcp[at] !== 0; at += tcp[at] === 1 ? 1 : tcp[at + 1]) {
    if (tcp[at] !== 5) continue;
    for (let block = at + 2; block < at + tcp[at + 1]; block += 8) sack.push([tcp.readUInt32BE(block), tcp.readUInt32BE(block + 4)]);
  }
  return { sequence: tcp.readUInt32BE(4), acknowledgement: tcp.readUInt32BE(8), flags: tcp[13], payload: tcp.subarray(header), sack };
}

export interface PairOptions {
  client: EndOptions;
  server: EndOptions;
  /** Of packets, on each side of the router. */
  loss: number;
  seed: number;
  /** Asked of every packet that leaves the router. */
  check?: (packet: Buffer) => void;
  /** Pieces of what each end sends that the other end is to have otherwise, in order. */
  clientEdits?: readonly Edit[];
  serverEdits?: readonly Edit[];
  /** Asked before each step: stop here, with whatever is under way. */
  until?: (client: End, server: End) => boolean;
}

/** Bytes [at, at + old) of what is sent arrive as `text`; the same text: they are only looked at. */
export interface Edit { at: number; old: number; text: string }

/** What arrives of `data`. */
export function edited(data: Buffer, edits: readonly Edit[]): Buffer {
  const parts: Buffer[] = [];
  let done = 0;
  for (const { at, old, text } of edits) {
    parts.push(data.subarray(done, at), Buffer.from(text, 'latin1'));
    done = at + old;
  }
  return Buffer.concat([...parts, data.subarray(done)]);
}

/**
 * Holds acknowledgements to what has really arrived: outside of edits byte for byte. Bytes of an edit may be acknowledged while the router still
 * holds them, which it does until the byte after them has come.
 */
function judge(from: End, to: End, edits: readonly Edit[]): void {
  const place = (offset: number, mayBeHeld: boolean): number => {
    let moved = offset;
    for (const { at, old, text } of edits) {
      if (offset > at && offset <= at + old && mayBeHeld) return moved - (offset - at);
      assert.ok(offset <= at || offset >= at + old || text.length === old, `a block begins or ends at ${offset}, within an edit`);
      if (offset >= at + old) moved += text.length - old;
    }
    return moved;
  };
  const { length } = from.options.data;
  from.onAcknowledged = (una, blocks) => {
    const most = place(Math.min(una, length), true);
    assert.ok(to.received.length >= most, `${una} acknowledged, which is ${most}, but ${to.received.length} received`);
    for (const [left, right] of blocks) {
      for (let at = place(left, false); at < place(right, false); at++) assert.ok(to.has(at), `block ${left} … ${right}, but ${at} has not come`);
    }
  };
}

/** A connection, run until both ends have got everything across and both FINs. Returns the ends. */
export function runPair(r: Rig, options: PairOptions): { client: End; server: End } {
  const chance = new Random(options.seed);
  const client = new End(options.client, chance.next());
  const server = new End(options.server, chance.next());
  /** What is under way to an end. */
  const toServer: Buffer[] = [];
  const toClient: Buffer[] = [];
  const isFor = (packet: Buffer, end: End): boolean => make.formatAddress(packet.subarray(16, 20)) === end.options.address && packet.readUInt16BE(22) === end.options.port;
  /** From an end to the router; what comes out is under way. */
  const give = (from: End, packet: Buffer, loses: boolean): void => {
    if (loses && chance.below(1000) < options.loss * 1000) return;
    for (const sent of r.from(from.options.link, packet)) {
      options.check?.(sent.packet);
      if (loses && chance.below(1000) < options.loss * 1000) continue;
      const queue = isFor(sent.packet, client) ? toClient : isFor(sent.packet, server) ? toServer : null;
      queue?.push(sent.packet);
    }
  };

  // Opened without loss: it is the numbers of data that are on trial.
  const syn = (end: End, letters: string, acknowledgement: number): Buffer => make.ipv4({ source: end.options.address, destination: end.options.peer }, make.tcp({
    sourcePort: end.options.port, destinationPort: end.options.peerPort, sequence: end.initial, acknowledgement, flags: letters,
  }));
  const [opening] = r.from(client.options.link, syn(client, 'S', 0));
  assert.ok(opening !== undefined, 'the SYN gets through');
  const seen = make.formatAddress(opening.packet.subarray(12, 16));
  Object.assign(server.options, { peer: seen, peerPort: opening.packet.readUInt16BE(20), port: opening.packet.readUInt16BE(22) });
  server.peerInitial = parse(opening.packet).sequence;
  const [answer] = r.from(server.options.link, syn(server, 'SA', (server.peerInitial + 1) >>> 0));
  assert.ok(answer !== undefined, 'the answer gets through');
  client.peerInitial = parse(answer.packet).sequence;
  assert.is(parse(answer.packet).acknowledgement, (client.initial + 1) >>> 0);
  judge(client, server, options.clientEdits ?? []);
  judge(server, client, options.serverEdits ?? []);
  give(client, client.packet(0, 0, 'A'), false);
  toServer.length = 0;

  const act = (end: End, isLossy: boolean): void => {
    const { data, waits, most = 60, after = 0 } = end.options;
    const { length } = data;
    if (end.received.length < after) return;
    if (end.una < end.next && chance.below(3) === 0) {
      // Something again: from the first byte missing, or anywhere, as long as it likes.
      const from = chance.below(2) === 0 ? end.una : end.una + chance.below(end.next - end.una);
      const size = Math.min(1 + chance.below(most), end.next - from, length - from);
      const isFin = end.finSent && from + size === length;
      if (size > 0 || isFin) give(end, end.packet(from, Math.max(0, size), isFin ? 'FPA' : 'PA'), isLossy);
    } else if (end.next < length && !(waits && end.una < end.next)) {
      const size = Math.min(1 + chance.below(most), length - end.next);
      end.next += size;
      give(end, end.packet(end.next - size, size, 'PA'), isLossy);
    } else if (end.next === length && end.una >= 0 && !end.isDone) {
      end.finSent = true;
      give(end, end.packet(length, 0, 'FA'), isLossy);
    }
  };
  const deliver = (queue: Buffer[], end: End, isLossy: boolean): void => {
    if (queue.length === 0) return;
    const [packet] = queue.splice(isLossy ? chance.below(queue.length) : 0, 1);
    if (isLossy && chance.below(20) === 0) queue.push(packet);
    if (end.take(packet)) give(end, end.packet(end.next + (end.finSent ? 1 : 0), 0, 'A'), isLossy);
  };

  for (let step = 0; !(client.isDone && server.isDone && client.finReceived && server.finReceived); step++) {
    if (options.until?.(client, server) === true) break;
    assert.ok(step < 200_000, `comes to its end: client ${client.una} of ${client.options.data.length}, server ${server.una} of ${server.options.data.length}`);
    const isLossy = step < 4000 && options.loss > 0;
    switch (chance.below(4)) {
      case 0: act(client, isLossy); break;
      case 1: act(server, isLossy); break;
      case 2: deliver(toServer, server, isLossy); break;
      default: deliver(toClient, client, isLossy);
    }
    // When all is quiet, what is missing is sent again (a retransmission timer).
    if (toServer.length === 0 && toClient.length === 0) {
      for (const end of [client, server]) {
        if (end.una >= end.next && !(end.finSent && !end.isDone)) continue;
        const size = Math.min(end.options.most ?? 60, end.next - end.una);
        give(end, end.packet(end.una, Math.max(0, size), end.finSent && end.una + size >= end.options.data.length ? 'FPA' : 'PA'), isLossy);
      }
    }
  }
  return { client, server };
}

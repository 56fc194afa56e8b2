/**
 * Datagrams that left lately in fragments or with an identification of ours (table/ip-id.ts): which flow each belongs to, and what its sender
 * called it. An ICMP error quotes the number we gave: with this the quote says again what the sender wrote, and the quote of a later
 * fragment, which has no ports, finds its flow (RFC 5508 §4).
 *
 * A direct-mapped table of SENT_DATAGRAMS entries by a seeded hash; a newer datagram takes the place of an older one, so nothing expires and
 * nothing is ever full. An error comes within a round trip, and one whose datagram has been overwritten is only an error with another
 * number in its quote, or, about a later fragment, one that is dropped under its own name.
 */
import { finish, mix } from '../base/hash.js';

const SENT_DATAGRAMS = 4096;
const WORDS = 8;
const SOURCE = 0;
const DESTINATION = 1;
/** Protocol << 16 | our identification; -1 = never used. */
const KEY = 2;
const FLOW = 3;
/** The flow's serial then: its entry may have another owner by now. */
const SERIAL = 4;
/** Direction << 16 | the sender's identification. */
const BEFORE = 5;
const NONE = -1;

export class SentDatagrams {
  private readonly words = new Int32Array(SENT_DATAGRAMS * WORDS).fill(NONE);
  private readonly seed: number;

  constructor(seed: number) { this.seed = seed; }

  /** Remember a datagram as it leaves. */
  note(source: number, destination: number, protocol: number, id: number, before: number, flow: number, serial: number, direction: number): void {
    const { words } = this;
    const at = this.place(source, destination, protocol, id);
    words[at + SOURCE] = source;
    words[at + DESTINATION] = destination;
    words[at + KEY] = (protocol << 16) | id;
    words[at + FLOW] = flow;
    words[at + SERIAL] = serial;
    words[at + BEFORE] = (direction << 16) | before;
  }

  /** Its place in the table, or NONE. */
  find(source: number, destination: number, protocol: number, id: number): number {
    const { words } = this;
    const at = this.place(source, destination, protocol, id);
    return words[at + KEY] === ((protocol << 16) | id) && words[at + SOURCE] === source && words[at + DESTINATION] === destination ? at : NONE;
  }

  flow(at: number): number { return this.words[at + FLOW]; }
  serial(at: number): number { return this.words[at + SERIAL]; }
  direction(at: number): number { return this.words[at + BEFORE] >>> 16; }
  before(at: number): number { return this.words[at + BEFORE] & 0xffff; }

  private place(source: number, destination: number, protocol: number, id: number): number {
    return (finish(mix(mix(mix(this.seed, source), destination), (protocol << 16) | id)) & (SENT_DATAGRAMS - 1)) * WORDS;
  }
}

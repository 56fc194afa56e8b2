/**
 * What instances tell each other, as bytes: the codec of shared records, and the names they bear in a store. A record is one of
 *
 *   f  a flow                     key f + its ORIGINAL tuple, another name for it r + its REPLY tuple: a packet of either direction finds it
 *   s  an edited control flow     key s + its ORIGINAL tuple: how its numbers have moved (alg/stream.ts), an image that means nothing here
 *   x  an expectation             key x + the tuple it arrives with
 *   a  an entry of affinity       key a + its owner and addresses
 *   p  an entry of persistence    key p + its owner and network
 *
 * Shape: little-endian bytes; VERSION, the type's letter, then fields in a fixed order. A tuple is its family (4 or 6), its protocol, two addresses and the
 * ports: 14 bytes of IPv4. Links, uplinks, groups, real servers and owners go by a hash of their names, so that two instances need equal names and
 * not equal order; `RecordNames` knows those of a plan. Times are seconds left, never a time of any clock.
 *
 * Bytes that are no record, of another version, or with a name nobody has here are refused by a number; nothing throws. Cost: some 60 bytes and 0.3 µs a
 * flow either way; nothing is allocated.
 */
import { hashText } from '../base/hash.js';
import type { Plan } from '../base/plan.js';
import { V4_MAPPED } from '../wire/address.js';
import { Tuple } from '../wire/tuple.js';
import {
  CONTROL, DEADLINE, FLAG_CHOSEN, FLAG_DNAT, FLAG_NO_REFRESH, FLAG_SHARED, FLAG_SNAT, FLAGS, GROUP_SHIFT, IN_LINK, INWARD, MAPPING, ORIGINAL_TUPLE, REPLY_TUPLE, servedBy, STATE,
  UPLINK,
} from './flow.js';

const NONE = -1;

export const RECORD_VERSION = 1;
/** Types, as the first byte of a key and the second of a value. */
export const RECORD_FLOW = 0x66;
export const RECORD_STREAM = 0x73;
export const RECORD_EXPECTATION = 0x78;
export const RECORD_AFFINITY = 0x61;
export const RECORD_PERSISTENCE = 0x70;
/** First byte of a flow's other name. */
export const ALIAS_REPLY = 0x72;

/** The longest key, and the longest value. */
export const KEY_BYTES = 64;
export const VALUE_BYTES = 4096;

/** Words of a stream's image at most. */
export const IMAGE_WORDS = 640;

/** What `decode` says of bytes. */
export const DECODED = 0;
/** Cut off, longer than it should be, or with a field that cannot be. */
export const MALFORMED = 1;
export const OTHER_VERSION = 2;
/** It names a link, uplink, group, server or owner that is not in the plan. */
export const UNKNOWN_NAME = 3;
export type Decoded = typeof DECODED | typeof MALFORMED | typeof OTHER_VERSION | typeof UNKNOWN_NAME;

/** Of a flow's FLAGS those that mean the same everywhere. */
const TRAVELLING = FLAG_SNAT | FLAG_DNAT | FLAG_NO_REFRESH | (FLAG_NO_REFRESH << 1) | FLAG_SHARED | FLAG_CHOSEN;
/** Beside them in a record: it holds a mapping for its source; it was let in through one; an ALG had expected it. */
export const HOLDS_MAPPING = 0x10000;
export const HOLDS_INWARD = 0x20000;
export const IS_EXPECTED = 0x40000;
const KNOWN_FLAGS = TRAVELLING | HOLDS_MAPPING | HOLDS_INWARD | IS_EXPECTED;

const FAMILY_4 = 4;
const FAMILY_6 = 6;

/** Where a value has its seconds left. */
const LEFT_AT = 2;

/** Say anew how many seconds a record is good for. */
export function setLeft(value: Uint8Array, leftS: number): void { putWord(value, LEFT_AT, leftS); }

/** What stands for a name in records; never 0, which stands for none. */
export function nameHash(name: string): number { return hashText(name, 0) || 1; }

/** A name of a plan that records bear, and in what sense: names of one sense must not have the same hash. */
export interface RecordName { sense: 'link' | 'uplink' | 'group' | 'server' | 'affinity' | 'persistence' | 'alg'; name: string }

/** Every name records of this plan may bear, in the order of their numbers by sense. */
export function recordNames(plan: Plan): RecordName[] {
  const owners = [...new Set(plan.virtualServers.flatMap(({ name, persistence }) => (persistence === undefined ? [] : [persistence.tie === undefined ? name : `tie/${persistence.tie}`])))];
  return [
    ...plan.links.map(({ name }): RecordName => ({ sense: 'link', name })),
    ...plan.uplinks.map(({ name }): RecordName => ({ sense: 'uplink', name })),
    ...plan.groups.map(({ name }): RecordName => ({ sense: 'group', name })),
    ...plan.realServers.map(({ name, virtualServer }): RecordName => ({ sense: 'server', name: `${plan.virtualServers[virtualServer].name}/${name}` })),
    ...plan.groups.map(({ name }): RecordName => ({ sense: 'affinity', name })),
    ...plan.policies.map(({ name }): RecordName => ({ sense: 'affinity', name: `policy/${name}` })),
    ...owners.map((name): RecordName => ({ sense: 'persistence', name })),
    ...plan.algs.map(({ name }): RecordName => ({ sense: 'alg', name })),
  ];
}

/** Names of one sense: hash by number, number by hash. */
class Hashes {
  private readonly hashes: Int32Array;
  private readonly numbers: ReadonlyMap<number, number>;

  constructor(names: readonly string[]) {
    this.hashes = Int32Array.from(names, nameHash);
    this.numbers = new Map(names.map((name, number) => [nameHash(name), number]));
  }

  /** 0 for NONE. */
  hash(number: number): number { return number < 0 ? 0 : this.hashes[number]; }

  /** NONE for 0, less for a hash that is nobody's. */
  number(hash: number): number { return hash === 0 ? NONE : this.numbers.get(hash) ?? UNKNOWN; }
}

const UNKNOWN = -2;

/** The names of a plan as records bear them. */
export class RecordNames {
  readonly links: Hashes;
  readonly uplinks: Hashes;
  readonly groups: Hashes;
  readonly servers: Hashes;
  /** Owners of affinity: groups by their index, then policies by theirs; and of persistence, in the order of balance/virtual-server.ts. */
  readonly affinity: Hashes;
  readonly persistence: Hashes;
  readonly algs: Hashes;

  constructor(plan: Plan) {
    const all = recordNames(plan);
    const of = (sense: RecordName['sense']): Hashes => new Hashes(all.filter((one) => one.sense === sense).map(({ name }) => name));
    this.links = of('link');
    this.uplinks = of('uplink');
    this.groups = of('group');
    this.servers = of('server');
    this.affinity = of('affinity');
    this.persistence = of('persistence');
    this.algs = of('alg');
  }
}

/** A record decoded; used again for the next one. Fields that its type does not have are as they were. */
export class SharedRecord {
  /** RECORD_*. */
  type = 0;
  /** Seconds it is good for from now. */
  leftS = 0;
  /** Flow, stream: ORIGINAL. Expectation: as it arrives. */
  readonly original = new Tuple();
  /** Flow: REPLY. Expectation: as it leaves. */
  readonly reply = new Tuple();
  /** Flow: its STATE word. */
  state = 0;
  /** Flow: FLAG_* that travel, HOLDS_*, IS_EXPECTED. Expectation: HOLDS_MAPPING. */
  flags = 0;
  /** Numbers in this instance's plan, or NONE. */
  inLink = NONE;
  uplink = NONE;
  group = NONE;
  server = NONE;
  alg = NONE;
  /** Expectation: its control flow's ORIGINAL, and the direction of it in which the flow is opened. */
  readonly control = new Tuple();
  direction = 0;
  /** Affinity, persistence: whose entry. */
  owner = NONE;
  /** Affinity: source and destination. Persistence: the network, and how many bits of it count. */
  readonly addresses = new Int32Array(8);
  lengthBits = 0;
  /** Stream: its image. */
  readonly image = new Int32Array(IMAGE_WORDS);
  imageWords = 0;
}

/** Writes records: the bytes are in `key`, `alias` and `value` until the next one. */
export class RecordEncoder {
  readonly key = new Uint8Array(KEY_BYTES);
  keyLength = 0;
  /** Another name under which the record is found; empty = it has none. */
  readonly alias = new Uint8Array(KEY_BYTES);
  aliasLength = 0;
  readonly value = new Uint8Array(VALUE_BYTES);
  valueLength = 0;
  /** Seconds the record is good for from now. */
  leftS = 0;
  private readonly names: RecordNames;
  private readonly view = new DataView(this.value.buffer);

  constructor(names: RecordNames) { this.names = names; }

  /** A flow's entry that begins at `at` (table/flow.ts), as FlowReader copies it (0) or as it stands in the table. */
  flow(words: Int32Array, at: number, nowTick: number): void {
    const { names } = this;
    const flags = words[at + FLAGS];
    this.flowKeys(words, at + ORIGINAL_TUPLE, at + REPLY_TUPLE);
    this.leftS = Math.max(0, words[at + DEADLINE] - nowTick);
    let to = this.begin(RECORD_FLOW);
    to = putTuple(this.value, to, words, at + ORIGINAL_TUPLE);
    to = putTuple(this.value, to, words, at + REPLY_TUPLE);
    to = this.put(to, words[at + STATE]);
    to = this.put(to, (flags & TRAVELLING) | (words[at + MAPPING] !== NONE ? HOLDS_MAPPING : 0) | (words[at + INWARD] >= 0 ? HOLDS_INWARD : 0)
      | (words[at + CONTROL] !== NONE ? IS_EXPECTED : 0));
    to = this.put(to, names.links.hash(words[at + IN_LINK]));
    to = this.put(to, names.uplinks.hash(words[at + UPLINK]));
    to = this.put(to, names.groups.hash((flags >>> GROUP_SHIFT) - 1));
    this.valueLength = this.put(to, names.servers.hash(servedBy(words[at + INWARD])));
  }

  /** Only the key and the other name of the flow with these two tuples. */
  flowKeys(words: Int32Array, originalAt: number, replyAt: number): void {
    this.key[0] = RECORD_FLOW;
    this.keyLength = putTuple(this.key, 1, words, originalAt);
    this.alias[0] = ALIAS_REPLY;
    this.aliasLength = putTuple(this.alias, 1, words, replyAt);
  }

  /** What to ask for when a packet with this tuple belongs to no flow: `key`, if it is one's ORIGINAL, and `alias`, if it is one's REPLY. */
  fetchKeys(words: Int32Array, at: number): void { this.flowKeys(words, at, at); }

  /** How the numbers of a control flow have moved: `count` words of image. `alg`: number of the ALG that watches it. */
  stream(words: Int32Array, originalAt: number, alg: number, image: Int32Array, count: number, leftS: number): void {
    this.streamKey(words, originalAt);
    this.leftS = leftS;
    let to = this.begin(RECORD_STREAM);
    to = putTuple(this.value, to, words, originalAt);
    to = this.put(to, this.names.algs.hash(alg));
    for (let i = 0; i < count; i++) to = this.put(to, image[i]);
    this.valueLength = to;
  }

  /** Only the key. */
  streamKey(words: Int32Array, originalAt: number): void {
    this.key[0] = RECORD_STREAM;
    this.keyLength = putTuple(this.key, 1, words, originalAt);
    this.aliasLength = 0;
  }

  /** An expectation by its two tuples, its control flow's ORIGINAL, and whether it holds an external port. */
  expectation(words: Int32Array, arrivingAt: number, leavingAt: number, control: Int32Array, controlAt: number, direction: number, holdsMapping: boolean, leftS: number): void {
    this.expectationKey(words, arrivingAt);
    this.leftS = leftS;
    let to = this.begin(RECORD_EXPECTATION);
    to = putTuple(this.value, to, words, arrivingAt);
    to = putTuple(this.value, to, words, leavingAt);
    to = putTuple(this.value, to, control, controlAt);
    this.valueLength = this.put(to, direction | (holdsMapping ? HOLDS_MAPPING : 0));
  }

  /** Only the key. */
  expectationKey(words: Int32Array, arrivingAt: number): void {
    this.key[0] = RECORD_EXPECTATION;
    this.keyLength = putTuple(this.key, 1, words, arrivingAt);
    this.aliasLength = 0;
  }

  /** An entry of affinity: eight words of addresses, source and destination; one that does not count is all zero. */
  affinity(owner: number, group: number, uplink: number, words: Int32Array, at: number, leftS: number): void {
    this.affinityKey(owner, words, at);
    this.leftS = leftS;
    let to = this.begin(RECORD_AFFINITY);
    to = this.put(to, this.names.affinity.hash(owner));
    to = this.put(to, this.names.groups.hash(group));
    to = this.put(to, this.names.uplinks.hash(uplink));
    to = putAddress(this.value, to, words, at);
    this.valueLength = putAddress(this.value, to, words, at + 4);
  }

  /** Only the key. */
  affinityKey(owner: number, words: Int32Array, at: number): void {
    this.key[0] = RECORD_AFFINITY;
    let to = putWord(this.key, 1, this.names.affinity.hash(owner));
    to = putAddress(this.key, to, words, at);
    this.keyLength = putAddress(this.key, to, words, at + 4);
    this.aliasLength = 0;
  }

  /** An entry of persistence: four words of the network, of which so many bits count. */
  persistence(owner: number, server: number, words: Int32Array, at: number, lengthBits: number, leftS: number): void {
    this.persistenceKey(owner, words, at);
    this.leftS = leftS;
    let to = this.begin(RECORD_PERSISTENCE);
    to = this.put(to, this.names.persistence.hash(owner));
    to = this.put(to, this.names.servers.hash(server));
    to = this.put(to, lengthBits);
    this.valueLength = putAddress(this.value, to, words, at);
  }

  /** Only the key. */
  persistenceKey(owner: number, words: Int32Array, at: number): void {
    this.key[0] = RECORD_PERSISTENCE;
    const to = putWord(this.key, 1, this.names.persistence.hash(owner));
    this.keyLength = putAddress(this.key, to, words, at);
    this.aliasLength = 0;
  }

  private begin(type: number): number {
    this.value[0] = RECORD_VERSION;
    this.value[1] = type;
    return this.put(LEFT_AT, this.leftS);
  }

  private put(at: number, word: number): number {
    this.view.setInt32(at, word, true);
    return at + 4;
  }
}

/** Reads records and keys. */
export class RecordDecoder {
  private readonly names: RecordNames;
  private at = 0;
  private end = 0;
  private isUnknown = false;

  constructor(names: RecordNames) { this.names = names; }

  /** Read the value in bytes from … to - 1. Whatever is not DECODED leaves `into` half written. */
  value(bytes: Uint8Array, from: number, to: number, into: SharedRecord): Decoded {
    this.at = from + 2;
    this.end = to;
    this.isUnknown = false;
    if (to - from < 2) return MALFORMED;
    if (bytes[from] !== RECORD_VERSION) return OTHER_VERSION;
    into.type = bytes[from + 1];
    into.leftS = this.word(bytes);
    if (into.leftS < 0) return MALFORMED;
    switch (into.type) {
      case RECORD_FLOW: if (!this.flow(bytes, into)) return MALFORMED; break;
      case RECORD_STREAM: if (!this.stream(bytes, into)) return MALFORMED; break;
      case RECORD_EXPECTATION: if (!this.expectation(bytes, into)) return MALFORMED; break;
      case RECORD_AFFINITY: this.affinity(bytes, into); break;
      case RECORD_PERSISTENCE: this.persistence(bytes, into); break;
      default: return MALFORMED;
    }
    if (this.at !== to) return MALFORMED;
    return this.isUnknown ? UNKNOWN_NAME : DECODED;
  }

  /** Read a key: its type, and what it says; false when it is none. */
  key(bytes: Uint8Array, from: number, to: number, into: SharedRecord): Decoded {
    this.at = from + 1;
    this.end = to;
    this.isUnknown = false;
    into.type = to > from ? bytes[from] : 0;
    switch (into.type) {
      case RECORD_FLOW: case RECORD_STREAM: case RECORD_EXPECTATION: if (!this.tuple(bytes, into.original)) return MALFORMED; break;
      case RECORD_AFFINITY:
        into.owner = this.named(this.names.affinity, bytes);
        this.address(bytes, into.addresses, 0);
        this.address(bytes, into.addresses, 4);
        break;
      case RECORD_PERSISTENCE:
        into.owner = this.named(this.names.persistence, bytes);
        this.address(bytes, into.addresses, 0);
        break;
      default: return MALFORMED;
    }
    if (this.at !== to) return MALFORMED;
    return this.isUnknown ? UNKNOWN_NAME : DECODED;
  }

  private flow(bytes: Uint8Array, into: SharedRecord): boolean {
    if (!this.tuple(bytes, into.original) || !this.tuple(bytes, into.reply)) return false;
    into.state = this.word(bytes);
    into.flags = this.word(bytes);
    into.inLink = this.named(this.names.links, bytes);
    into.uplink = this.named(this.names.uplinks, bytes);
    into.group = this.named(this.names.groups, bytes);
    into.server = this.named(this.names.servers, bytes);
    return (into.flags & ~KNOWN_FLAGS) === 0 && into.original.protocol === into.reply.protocol;
  }

  private stream(bytes: Uint8Array, into: SharedRecord): boolean {
    if (!this.tuple(bytes, into.original)) return false;
    into.alg = this.named(this.names.algs, bytes);
    const left = this.end - this.at;
    if (left < 0 || (left & 3) !== 0 || left > IMAGE_WORDS * 4) return false;
    into.imageWords = left >> 2;
    for (let i = 0; i < into.imageWords; i++) into.image[i] = this.word(bytes);
    return true;
  }

  private expectation(bytes: Uint8Array, into: SharedRecord): boolean {
    if (!this.tuple(bytes, into.original) || !this.tuple(bytes, into.reply) || !this.tuple(bytes, into.control)) return false;
    const word = this.word(bytes);
    into.flags = word & HOLDS_MAPPING;
    into.direction = word & 1;
    return (word & ~(HOLDS_MAPPING | 1)) === 0 && into.original.protocol === into.reply.protocol;
  }

  private affinity(bytes: Uint8Array, into: SharedRecord): void {
    into.owner = this.named(this.names.affinity, bytes);
    into.group = this.named(this.names.groups, bytes);
    into.uplink = this.named(this.names.uplinks, bytes);
    this.address(bytes, into.addresses, 0);
    this.address(bytes, into.addresses, 4);
    // What an entry is for it must have.
    if (into.owner === NONE || into.group === NONE || into.uplink === NONE) this.isUnknown = true;
  }

  private persistence(bytes: Uint8Array, into: SharedRecord): void {
    into.owner = this.named(this.names.persistence, bytes);
    into.server = this.named(this.names.servers, bytes);
    into.lengthBits = this.word(bytes);
    this.address(bytes, into.addresses, 0);
    if (into.owner === NONE || into.server === NONE) this.isUnknown = true;
    if (into.lengthBits < 0 || into.lengthBits > 128) this.at = this.end + 1;
  }

  private named(names: Hashes, bytes: Uint8Array): number {
    const number = names.number(this.word(bytes));
    if (number === UNKNOWN) this.isUnknown = true;
    return number;
  }

  private tuple(bytes: Uint8Array, into: Tuple): boolean {
    const family = this.byte(bytes);
    into.protocol = this.byte(bytes);
    if (family === FAMILY_4) {
      const source = this.network(bytes);
      const destination = this.network(bytes);
      into.setV4(source, destination, this.network(bytes), into.protocol);
    } else {
      into.s0 = this.network(bytes); into.s1 = this.network(bytes); into.s2 = this.network(bytes); into.s3 = this.network(bytes);
      into.d0 = this.network(bytes); into.d1 = this.network(bytes); into.d2 = this.network(bytes); into.d3 = this.network(bytes);
      into.ports = this.network(bytes);
      // What fits the short form has no other.
      if (isShort(into.s0, into.s1, into.s2) && isShort(into.d0, into.d1, into.d2)) return false;
    }
    return (family === FAMILY_4 || family === FAMILY_6) && this.at <= this.end;
  }

  private address(bytes: Uint8Array, into: Int32Array, at: number): void {
    const family = this.byte(bytes);
    into[at] = 0; into[at + 1] = 0; into[at + 2] = 0; into[at + 3] = 0;
    if (family === FAMILY_4) {
      into[at + 2] = V4_MAPPED;
      into[at + 3] = this.network(bytes);
    } else if (family === FAMILY_6) {
      for (let i = 0; i < 4; i++) into[at + i] = this.network(bytes);
    } else if (family !== 0) {
      this.at = this.end + 1;
    }
  }

  private byte(bytes: Uint8Array): number { return this.at < this.end ? bytes[this.at++] : (this.at++, 0); }

  private word(bytes: Uint8Array): number {
    const { at } = this;
    this.at = at + 4;
    return this.at <= this.end ? bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24) : 0;
  }

  /** As on the wire, most significant byte first. */
  private network(bytes: Uint8Array): number {
    const { at } = this;
    this.at = at + 4;
    return this.at <= this.end ? (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3] : 0;
  }
}

function isShort(a0: number, a1: number, a2: number): boolean { return a0 === 0 && a1 === 0 && a2 === V4_MAPPED; }

/** A stored tuple (wire/tuple.ts); gives where it ends. */
function putTuple(bytes: Uint8Array, at: number, words: Int32Array, from: number): number {
  const isV4 = isShort(words[from], words[from + 1], words[from + 2]) && isShort(words[from + 4], words[from + 5], words[from + 6]);
  bytes[at] = isV4 ? FAMILY_4 : FAMILY_6;
  bytes[at + 1] = words[from + 9];
  let to = at + 2;
  if (isV4) {
    to = putNetwork(bytes, to, words[from + 3]);
    to = putNetwork(bytes, to, words[from + 7]);
  } else {
    for (let i = 0; i < 8; i++) to = putNetwork(bytes, to, words[from + i]);
  }
  return putNetwork(bytes, to, words[from + 8]);
}

/** Four words of an address, of none when they are all zero. */
function putAddress(bytes: Uint8Array, at: number, words: Int32Array, from: number): number {
  if (isShort(words[from], words[from + 1], words[from + 2])) {
    bytes[at] = FAMILY_4;
    return putNetwork(bytes, at + 1, words[from + 3]);
  }
  const isNone = (words[from] | words[from + 1] | words[from + 2] | words[from + 3]) === 0;
  bytes[at] = isNone ? 0 : FAMILY_6;
  let to = at + 1;
  for (let i = 0; i < 4 && !isNone; i++) to = putNetwork(bytes, to, words[from + i]);
  return to;
}

function putNetwork(bytes: Uint8Array, at: number, word: number): number {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
  return at + 4;
}

function putWord(bytes: Uint8Array, at: number, word: number): number {
  bytes[at] = word;
  bytes[at + 1] = word >>> 8;
  bytes[at + 2] = word >>> 16;
  bytes[at + 3] = word >>> 24;
  return at + 4;
}

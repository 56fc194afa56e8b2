/** Records: whatever is written is read back the same, under one key whoever writes it; whatever is not a record is refused by a number. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Plan } from '../../src/base/plan.js';
import {
  CONTROL, DEADLINE, FLAG_CHOSEN, FLAG_COUNTED, FLAG_DNAT, FLAG_NO_REFRESH, FLAG_PUBLISHED, FLAG_REMEMBERED, FLAG_SHARED, FLAG_SNAT, FLAG_TOLD, FLAGS, FLOW_WORDS, GROUP_SHIFT, IN_LINK, INWARD,
  inwardOf, MAPPING, ORIGINAL_TUPLE, REPLY_TUPLE, STATE, UPLINK,
} from '../../src/table/flow.js';
import {
  DECODED, HOLDS_INWARD, HOLDS_MAPPING, IMAGE_WORDS, IS_EXPECTED, KEY_BYTES, MALFORMED, nameHash, OTHER_VERSION, RECORD_AFFINITY, RECORD_EXPECTATION, RECORD_FLOW, RECORD_PERSISTENCE, RECORD_STREAM,
  RecordDecoder, RecordEncoder, recordNames, RecordNames, SharedRecord, UNKNOWN_NAME, VALUE_BYTES,
} from '../../src/table/flow-record.js';
import { V4_MAPPED } from '../../src/wire/address.js';
import type { Tuple } from '../../src/wire/tuple.js';
import { check, word32 } from '../support/oracle/property.js';
import { Rig } from '../support/rig.js';
import { servers } from '../support/servers.js';

const AFFINITY = { by: 'source', timeout: 60 } as const;

/** A plan with something of every sense; `reversed` has everything in another order. */
function planOf(isReversed = false): Plan {
  const of = (plan: Partial<Plan>): Plan => new Rig({ up: false, dmz: true, plan }).router.plan;
  const farm = servers(
    { addresses: '203.0.113.80', realServers: [{ address: '10.0.0.1' }, { address: '10.0.0.2' }], persistence: { timeout: 60, mask: 24 } },
    { addresses: '203.0.113.81', realServers: [{ address: '10.0.0.3' }], persistence: { timeout: 60, mask: 24, tie: 'shop' } });
  const policies = [{ index: 0, name: 'voip', match: {}, exclude: false, group: 0, affinity: AFFINITY }];
  const plan = of({ ...farm, policies, algs: [{ name: 'ftp', ports: [21] }, { name: 'tftp', ports: [69] }] });
  if (!isReversed) return plan;
  const turn = <T>(list: readonly T[]): T[] => [...list].reverse();
  return {
    ...plan, links: turn(plan.links), uplinks: turn(plan.uplinks), algs: turn(plan.algs),
    virtualServers: turn(plan.virtualServers), realServers: turn(plan.realServers.map((server) => ({ ...server, virtualServer: plan.virtualServers.length - 1 - server.virtualServer }))),
  };
}

const plan = planOf();
const names = new RecordNames(plan);
const encoder = new RecordEncoder(names);
const decoder = new RecordDecoder(names);

const port = fc.integer({ min: 0, max: 0xffff });
const address = fc.oneof(fc.tuple(fc.constant(0), fc.constant(0), fc.constant(V4_MAPPED), word32), fc.tuple(word32, word32, word32, word32));
const pairOf = fc.oneof(fc.tuple(word32, word32).map(([s, d]) => [0, 0, V4_MAPPED, s, 0, 0, V4_MAPPED, d]), fc.tuple(address, address).map(([s, d]) => [...s, ...d]));
const tuple = (protocol: number): fc.Arbitrary<number[]> => fc.tuple(pairOf, port, port).map(([words, source, destination]) => [...words, (source << 16) | destination, protocol]);
const tuples = fc.constantFrom(1, 6, 17, 47).chain((protocol) => fc.tuple(tuple(protocol), tuple(protocol), tuple(protocol)));
const numberBelow = (count: number): fc.Arbitrary<number> => fc.integer({ min: -1, max: count - 1 });

const wordsOf = ({ s0, s1, s2, s3, d0, d1, d2, d3, ports, protocol }: Tuple): number[] => [s0, s1, s2, s3, d0, d1, d2, d3, ports, protocol];
const value = (): Uint8Array => encoder.value.slice(0, encoder.valueLength);
const key = (): Uint8Array => encoder.key.slice(0, encoder.keyLength);

/** Both read back; from a place of a larger array, as in a ring. */
function readBack(): { record: SharedRecord; byKey: SharedRecord } {
  const record = new SharedRecord(), byKey = new SharedRecord();
  const buffer = new Uint8Array(VALUE_BYTES + 40).fill(0xee);
  buffer.set(value(), 7);
  assert.is(decoder.value(buffer, 7, 7 + encoder.valueLength, record), DECODED);
  buffer.set(key(), 3);
  assert.is(decoder.key(buffer, 3, 3 + encoder.keyLength, byKey), DECODED);
  assert.is(byKey.type, record.type);
  assert.ok(encoder.keyLength <= KEY_BYTES && encoder.valueLength <= VALUE_BYTES);
  return { record, byKey };
}

const TRAVELLING = FLAG_SNAT | FLAG_DNAT | FLAG_NO_REFRESH | (FLAG_NO_REFRESH << 1) | FLAG_SHARED | FLAG_CHOSEN;
const LOCAL = FLAG_COUNTED | FLAG_TOLD | FLAG_REMEMBERED | FLAG_PUBLISHED;

interface FlowWant { tuples: number[][]; state: number; left: number; flags: number; inLink: number; uplink: number; group: number; server: number; inward: number; mapping: number; control: number }

const flowWant = fc.record({
  tuples, state: word32, left: fc.integer({ min: -5, max: 100_000 }), flags: fc.nat({ max: 0xffff }), inLink: numberBelow(plan.links.length), uplink: numberBelow(plan.uplinks.length),
  group: numberBelow(plan.groups.length), server: numberBelow(plan.realServers.length), inward: fc.integer({ min: -1, max: 0x7ffffff }), mapping: fc.integer({ min: -1, max: 0x7ffffff }), control: fc.integer({ min: -1, max: 10 }),
});

function entryOf(want: FlowWant, nowTick: number): Int32Array {
  const words = new Int32Array(FLOW_WORDS);
  words.set(want.tuples[0], ORIGINAL_TUPLE);
  words.set(want.tuples[1], REPLY_TUPLE);
  words[STATE] = want.state;
  words[DEADLINE] = nowTick + want.left;
  words[FLAGS] = want.flags | ((want.group + 1) << GROUP_SHIFT);
  words[IN_LINK] = want.inLink;
  words[UPLINK] = want.uplink;
  words[INWARD] = want.server !== -1 ? inwardOf(want.server) : want.inward;
  words[MAPPING] = want.mapping;
  words[CONTROL] = want.control;
  return words;
}

test('a flow comes back as it was, but for what is only ours', () => {
  check(fc.property(flowWant, fc.integer({ min: 0, max: 1 << 20 }), (want, nowTick) => {
    encoder.flow(entryOf(want, nowTick), 0, nowTick);
    const { record, byKey } = readBack();
    assert.equal(wordsOf(record.original), want.tuples[0]);
    assert.equal(wordsOf(record.reply), want.tuples[1]);
    assert.equal(wordsOf(byKey.original), want.tuples[0]);
    const flags = (want.flags & TRAVELLING) | (want.mapping === -1 ? 0 : HOLDS_MAPPING) | (want.server === -1 && want.inward >= 0 ? HOLDS_INWARD : 0) | (want.control === -1 ? 0 : IS_EXPECTED);
    assert.equal(
      [record.type, record.state, record.leftS, record.flags, record.inLink, record.uplink, record.group, record.server],
      [RECORD_FLOW, want.state, Math.max(0, want.left), flags, want.inLink, want.uplink, want.group, want.server]);
    assert.is(encoder.leftS, record.leftS);
    assert.is(record.flags & LOCAL, 0);
  }), 500);
});

test('its two names are those a packet of either direction asks by', () => {
  check(fc.property(flowWant, (want) => {
    const entry = entryOf(want, 0);
    encoder.flow(entry, 0, 0);
    const flowKey = key(), alias = encoder.alias.slice(0, encoder.aliasLength);
    encoder.fetchKeys(entry, ORIGINAL_TUPLE);
    assert.equal(key(), flowKey);
    encoder.fetchKeys(entry, REPLY_TUPLE);
    assert.equal(encoder.alias.slice(0, encoder.aliasLength), alias);
    assert.ok(encoder.valueLength <= 110, `${encoder.valueLength} bytes`);
  }), 200);
});

test('numbers mean what their names mean at another instance', () => {
  const other = new RecordDecoder(new RecordNames(planOf(true)));
  const record = new SharedRecord();
  const last = (list: readonly unknown[], number: number): number => (number === -1 ? -1 : list.length - 1 - number);
  check(fc.property(flowWant, (want) => {
    encoder.flow(entryOf(want, 0), 0, 0);
    assert.is(other.value(value(), 0, encoder.valueLength, record), DECODED);
    assert.equal([record.inLink, record.uplink, record.server], [last(plan.links, want.inLink), last(plan.uplinks, want.uplink), last(plan.realServers, want.server)]);
  }), 200);
});

test('expectations, streams, affinity and persistence come back as they were', () => {
  const image = fc.array(word32, { maxLength: IMAGE_WORDS });
  check(fc.property(tuples, fc.boolean(), fc.boolean(), image, address, fc.oneof(address, fc.constant([0, 0, 0, 0])), fc.integer({ min: 0, max: 128 }), fc.nat({ max: 100_000 }),
    ([one, two, three], isBack, holds, words, from, to, bits, left) => {
      const both = Int32Array.from([...one, ...two]);
      encoder.expectation(both, 0, 10, Int32Array.from(three), 0, isBack ? 1 : 0, holds, left);
      let { record, byKey } = readBack();
      assert.equal([record.type, wordsOf(record.original), wordsOf(record.reply), wordsOf(record.control), record.direction, record.flags, record.leftS],
        [RECORD_EXPECTATION, one, two, three, isBack ? 1 : 0, holds ? HOLDS_MAPPING : 0, left]);
      assert.equal(wordsOf(byKey.original), one);
      encoder.stream(both, 0, 1, Int32Array.from(words), words.length, left);
      ({ record, byKey } = readBack());
      assert.equal([record.type, wordsOf(record.original), record.alg, [...record.image.subarray(0, record.imageWords)]], [RECORD_STREAM, one, 1, words]);
      const addresses = Int32Array.from([...from, ...to]);
      encoder.affinity(1, 0, 1, addresses, 0, left);
      ({ record, byKey } = readBack());
      assert.equal([record.type, record.owner, record.group, record.uplink, [...record.addresses]], [RECORD_AFFINITY, 1, 0, 1, [...addresses]]);
      assert.equal([byKey.owner, [...byKey.addresses]], [1, [...addresses]]);
      encoder.persistence(1, 2, addresses, 0, bits, left);
      ({ record, byKey } = readBack());
      assert.equal([record.type, record.owner, record.server, record.lengthBits, [...record.addresses.subarray(0, 4)]], [RECORD_PERSISTENCE, 1, 2, bits, from]);
      assert.equal([byKey.owner, [...byKey.addresses.subarray(0, 4)]], [1, from]);
    }), 200);
});

test('no bytes throw, and none are read past their end', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.tuple(fc.constantFrom(0x66, 0x73, 0x78, 0x61, 0x70), fc.uint8Array({ maxLength: 120 })).map(([type, rest]) => Uint8Array.from([1, type, ...rest])));
  const record = new SharedRecord();
  check(fc.property(bytes, (some) => {
    const around = new Uint8Array(some.length + 64).fill(0x55);
    around.set(some, 32);
    for (const read of [decoder.value, decoder.key] as const) {
      const alone = read.call(decoder, some, 0, some.length, record);
      assert.ok(alone >= DECODED && alone <= UNKNOWN_NAME);
      assert.is(read.call(decoder, around, 32, 32 + some.length, record), alone);
    }
  }), 2000);
});

test('cut off, too long, of another version, with a name that is not here, with flags nobody has', () => {
  const record = new SharedRecord();
  const want: FlowWant = { tuples: [[0, 0, V4_MAPPED, 1, 0, 0, V4_MAPPED, 2, 3, 6], [0, 0, V4_MAPPED, 2, 0, 0, V4_MAPPED, 1, 3, 6]], state: 4, left: 60, flags: 0, inLink: 0, uplink: 1, group: 0, server: 0, inward: -1, mapping: 1, control: -1 };
  encoder.flow(entryOf(want, 0), 0, 0);
  const whole = value();
  assert.is(whole.length, 58);
  for (let length = 0; length < whole.length; length++) assert.is(decoder.value(whole, 0, length, record), MALFORMED, `${length} bytes`);
  assert.is(decoder.value(Uint8Array.from([...whole, 0]), 0, whole.length + 1, record), MALFORMED);
  const changed = (at: number, byte: number): number => {
    const bytes = whole.slice();
    bytes[at] = byte;
    return decoder.value(bytes, 0, bytes.length, record);
  };
  assert.is(changed(0, 2), OTHER_VERSION);
  assert.is(changed(1, 0x7a), MALFORMED);
  assert.is(changed(5, 0x80), MALFORMED, 'a life of less than nothing');
  assert.is(changed(6, 5), MALFORMED, 'a family that is none');
  assert.is(changed(7, 17), MALFORMED, 'tuples of two protocols');
  assert.is(changed(41, 0x80), MALFORMED, 'a flag nobody has');
  for (const at of [42, 46, 50, 54]) assert.is(changed(at, whole[at] ^ 0xff), UNKNOWN_NAME);
  assert.is(decoder.value(whole, 0, whole.length, record), DECODED);
});

test('names: of one sense each has a hash of its own here, and none is 0', () => {
  const all = recordNames(plan);
  for (const { sense, name } of all) {
    assert.is.not(nameHash(name), 0);
    assert.is(all.filter((one) => one.sense === sense && nameHash(one.name) === nameHash(name)).length, 1, `${sense} ${name}`);
  }
  assert.equal(all.filter(({ sense }) => sense === 'persistence').map(({ name }) => name), ['vs1', 'tie/shop']);
  assert.equal(all.filter(({ sense }) => sense === 'affinity').map(({ name }) => name), ['internet', 'policy/voip']);
  assert.equal(all.filter(({ sense }) => sense === 'server').map(({ name }) => name), ['vs1/rs1', 'vs1/rs2', 'vs2/rs1']);
});

test.run();

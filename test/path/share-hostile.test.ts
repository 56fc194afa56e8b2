/**
 * Records as nobody honest writes them: well formed, but with flags, states, names, lives and tuples that contradict each other, from a store that was tampered with,
 * went back in time or is shared with something else. The data plane takes or refuses them; it never throws, never stops, forwards on, and when all of it has
 * ended nothing is held by anybody.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  HOLDS_INWARD, HOLDS_MAPPING, IS_EXPECTED, nameHash, RECORD_AFFINITY, RECORD_EXPECTATION, RECORD_FLOW, RECORD_PERSISTENCE, RECORD_STREAM, RECORD_VERSION,
} from '../../src/table/flow-record.js';
import { FLAG_CHOSEN, FLAG_DNAT, FLAG_NO_REFRESH, FLAG_SHARED, FLAG_SNAT } from '../../src/table/flow.js';
import { InboxWriter } from '../../src/table/inbox.js';
import * as make from '../support/frames.js';
import { anySeed, bytesOf, check, word32 } from '../support/oracle/property.js';
import { BOX, DMZ_HOST, HOST, LAN, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { Rig } from '../support/rig.js';
import { servers } from '../support/servers.js';
import { atRest, counted, RING_WORDS } from '../support/shared.js';

const VIP = '192.168.201.80';
const ADDRESSES = [PC1, PC2, SERVER, WAN1, WAN2, VIP, LAN, HOST, BOX, DMZ_HOST, '0.0.0.0', '255.255.255.255'] as const;
const PORTS = [0, 20, 21, 53, 80, 600, 1023, 1024, 2021, 4000, 4001, 65_535] as const;

interface End { address: string; port: number }
interface TupleWant { from: End; to: End; protocol: number; isV6: boolean }

const end: fc.Arbitrary<End> = fc.record({ address: fc.constantFrom(...ADDRESSES), port: fc.constantFrom(...PORTS) });
const protocol = fc.constantFrom(6, 6, 6, 17, 17, 1, 47, 0, 255);
const isV6 = fc.integer({ min: 0, max: 20 }).map((n) => n === 0);

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  return bytes;
}

const quad = (address: string): number[] => address.split('.').map(Number);

function tuple({ from, to, protocol: number, isV6: isLong }: TupleWant): Buffer {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(from.port);
  ports.writeUInt16BE(to.port, 2);
  const address = (text: string): number[] => (isLong ? [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, ...quad(text)] : quad(text));
  return Buffer.concat([Buffer.from([isLong ? 6 : 4, number, ...address(from.address), ...address(to.address)]), ports]);
}

/** The same the other way, with single ends changed: as replies mostly are. */
const bothWays = fc.tuple(end, end, protocol, isV6, fc.option(end), fc.option(end)).map(([from, to, number, isLong, outside, server]): [TupleWant, TupleWant] => [
  { from, to, protocol: number, isV6: isLong }, { from: server ?? to, to: outside ?? from, protocol: number, isV6: isLong },
]);

/** A control flow there often is, so that streams and expectations are of something. */
const CONTROL: TupleWant = { from: { address: PC1, port: 4000 }, to: { address: SERVER, port: 21 }, protocol: 6, isV6: false };
const CONTROL_BACK: TupleWant = { from: CONTROL.to, to: { address: WAN1, port: 4000 }, protocol: 6, isV6: false };
const oneOfAny = fc.oneof({ weight: 3, arbitrary: fc.constant(CONTROL) }, { weight: 1, arbitrary: bothWays.map(([original]) => original) });

const FLAGS = [FLAG_SNAT, FLAG_DNAT, FLAG_NO_REFRESH, FLAG_NO_REFRESH << 1, FLAG_SHARED, FLAG_CHOSEN, HOLDS_MAPPING, HOLDS_INWARD, IS_EXPECTED];
const flags = fc.subarray(FLAGS).map((some) => some.reduce((all, one) => all | one, 0));
const life = fc.constantFrom(0, 1, 60, 7440, 0x7fffffff);
const state = fc.oneof(fc.integer({ min: 0, max: 15 }), word32, fc.integer({ min: 0, max: 15 }).map((low) => low | 0x1f0));
const name = (...names: string[]): fc.Arbitrary<number> => fc.constantFrom(0, ...names.map(nameHash));
const server = name('vs1/rs1', 'vs1/rs2', 'vs2/rs1');

const header = (type: number, leftS: number): Buffer => Buffer.concat([Buffer.from([RECORD_VERSION, type]), word(leftS)]);

const flow = fc.tuple(life, bothWays, state, flags, name('lan', 'wan1', 'wan2', 'dmz', 'host'), name('one', 'two'), name('internet'), server)
  .map(([leftS, [original, reply], ...rest]) => Buffer.concat([header(RECORD_FLOW, leftS), tuple(original), tuple(reply), ...rest.map(word)]));
/** As above, of a host inside by an uplink, so that much of it is true. */
const likely = fc.tuple(life, fc.constantFrom(PC1, PC2), fc.constantFrom(...PORTS), fc.constantFrom(...PORTS), fc.constantFrom(21, 80), fc.constantFrom(6, 17), state, flags, fc.boolean(), server)
  .map(([leftS, address, inside, outside, far, number, word32, some, isInward, who]) => {
    const original: TupleWant = { from: { address, port: inside }, to: { address: SERVER, port: far }, protocol: number, isV6: false };
    const reply: TupleWant = { from: original.to, to: { address: WAN1, port: outside }, protocol: number, isV6: false };
    const [one, two] = isInward ? [reply, original] : [original, reply];
    return Buffer.concat([header(RECORD_FLOW, leftS), tuple(one), tuple(two), word(word32), word(some), word(nameHash(isInward ? 'wan1' : 'lan')), word(nameHash('one')), word(nameHash('internet')), word(who)]);
  });
/** An image of the right shape (alg/alg.ts, Conversation.store) with numbers of any kind in it. */
const near = fc.oneof({ weight: 4, arbitrary: fc.integer({ min: -40, max: 120 }) }, { weight: 1, arbitrary: word32 });
const textLength = fc.integer({ min: 0, max: 96 });
const textOf = (length: number): number[] => new Array<number>((length + 3) >> 2).fill(0x31323334);
const edit = fc.tuple(near, textLength, textLength, textLength).map(([start, old, length, owned]) => [start, old, length, owned, ...textOf(length)]);
const half = fc.tuple(fc.integer({ min: 0, max: 3 }), near, near, near, textLength, near, fc.array(edit, { maxLength: 8 }), fc.array(near, { minLength: 5, maxLength: 5 }), textLength)
  .map(([bits, next, begun, base, held, settled, edits, reader, length]) => [bits | (edits.length << 8), next, begun, base, held, settled, ...edits.flat(), ...reader, length, ...textOf(length)]);
const shaped = fc.tuple(life, fc.constantFrom(0, 1, 0x100, -1), half, half)
  .map(([leftS, first, one, two]) => Buffer.concat([header(RECORD_STREAM, leftS), tuple(CONTROL), word(nameHash('ftp')), ...[first, ...one, ...two].map(word)]));
const control = state.map((word32) => Buffer.concat([header(RECORD_FLOW, 7440), tuple(CONTROL), tuple(CONTROL_BACK), ...[word32, HOLDS_MAPPING, nameHash('lan'), nameHash('one'), nameHash('internet'), 0].map(word)]));
const stream = fc.tuple(life, oneOfAny, fc.oneof(fc.constantFrom(25, 26, 27, 29, 33, 61), fc.integer({ min: 0, max: 640 })), anySeed, fc.boolean()).map(([leftS, original, count, seed, isSmall]) => {
  const image = Buffer.from(bytesOf(seed, count * 4));
  // Small numbers are believed more often.
  if (isSmall) for (let at = 0; at < image.length; at += 4) image.writeInt32LE(image[at] % 12, at);
  return Buffer.concat([header(RECORD_STREAM, leftS), tuple(original), word(nameHash('ftp')), image]);
});
const expectation = fc.tuple(life, bothWays, oneOfAny, fc.constantFrom(0, 1, HOLDS_MAPPING, HOLDS_MAPPING | 1))
  .map(([leftS, [arriving, leaving], of, flag]) => Buffer.concat([header(RECORD_EXPECTATION, leftS), tuple(arriving), tuple(leaving), tuple(of), word(flag)]));
const address = fc.option(fc.constantFrom(...ADDRESSES)).map((text) => (text === null ? Buffer.from([0]) : Buffer.from([4, ...quad(text)])));
const affinity = fc.tuple(life, name('internet'), name('internet'), name('one', 'two'), address, address)
  .map(([leftS, owner, group, uplink, from, to]) => Buffer.concat([header(RECORD_AFFINITY, leftS), word(owner), word(group), word(uplink), from, to]));
const persistence = fc.tuple(life, name('vs1'), server, fc.constantFrom(0, 24, 32, 128), address)
  .map(([leftS, owner, who, bits, network]) => Buffer.concat([header(RECORD_PERSISTENCE, leftS), word(owner), word(who), word(bits), network]));

/** Keys of what there may be. */
const key = fc.oneof(
  fc.tuple(fc.constantFrom(RECORD_FLOW, RECORD_STREAM, RECORD_EXPECTATION), bothWays).map(([type, [original]]) => Buffer.concat([Buffer.from([type]), tuple(original)])),
  fc.tuple(name('internet'), address, address).map(([owner, from, to]) => Buffer.concat([Buffer.from([RECORD_AFFINITY]), word(owner), from, to])),
  fc.tuple(name('vs1'), address).map(([owner, network]) => Buffer.concat([Buffer.from([RECORD_PERSISTENCE]), word(owner), network])));

type Step =
  | { do: 'record' | 'forget'; bytes: Buffer }
  | { do: 'packet'; want: TupleWant; link: 'lan' | 'wan1' | 'wan2' | 'dmz' | 'host'; flags: string; length: number }
  | { do: 'say'; isBack: boolean; text: string; flags: string; sequence: number; acknowledgement: number }
  | { do: 'yield' } | { do: 'wait'; seconds: number };

const TEXTS = ['PORT 192,168,0,4,15,161\r\n', 'PORT 192,168', ',0,4,15,161\r\n', 'PASV\r\n', '227 Entering (198,51,100,7,15,161)\r\n', 'EPSV\r\n', '229 (|||4001|)\r\n', '\r\n', ''] as const;
const spoken = fc.tuple(fc.boolean(), fc.constantFrom(...TEXTS), fc.constantFrom('PA', 'A', 'FA'), fc.oneof(fc.integer({ min: 0, max: 12 }), word32), word32)
  .map(([isBack, text, said, sequence, acknowledgement]): Step => ({ do: 'say', isBack, text, flags: said, sequence: sequence >>> 0, acknowledgement: acknowledgement >>> 0 }));
const packet = fc.tuple(bothWays, fc.constantFrom('lan', 'wan1', 'wan2', 'dmz', 'host'), fc.constantFrom('S', 'SA', 'A', 'PA', 'FA', 'R', 'RA'), fc.integer({ min: 0, max: 200 }))
  .map(([[want], link, text, length]): Step => ({ do: 'packet', want, link: link as 'lan', flags: text, length }));
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: flow.map((bytes): Step => ({ do: 'record', bytes })) },
  { weight: 8, arbitrary: likely.map((bytes): Step => ({ do: 'record', bytes })) },
  { weight: 2, arbitrary: control.map((bytes): Step => ({ do: 'record', bytes })) },
  { weight: 4, arbitrary: spoken },
  { weight: 5, arbitrary: fc.oneof(shaped, shaped, stream, expectation, affinity, persistence).map((bytes): Step => ({ do: 'record', bytes })) },
  { weight: 2, arbitrary: key.map((bytes): Step => ({ do: 'forget', bytes })) },
  { weight: 8, arbitrary: packet },
  { weight: 1, arbitrary: fc.constant<Step>({ do: 'yield' }) },
  { weight: 1, arbitrary: fc.constantFrom(1, 30, 200, 5000).map((seconds): Step => ({ do: 'wait', seconds })) });

const farm = servers(
  { addresses: VIP, realServers: [{ address: PC1 }, { address: PC2 }], persistence: { timeout: 100, mask: 32 } },
  { addresses: VIP, protocols: [17], ports: { first: 53, last: 53 }, realServers: [{ address: PC1 }], onePacket: true });

function victim(): { of: Rig; inbox: InboxWriter } {
  const of = rig({
    seed: 1, rings: RING_WORDS, dmz: true, host: true, plan: { ...farm, algs: [{ name: 'ftp', ports: [21, 2021] }] }, uplink: { filtering: 'address-dependent' },
    group: { affinity: { by: 'source', timeout: 100 } }, limits: { flowsPerSource: 1000, portsPerSource: 1000, flows: 4096 },
  });
  return { of, inbox: new InboxWriter(of.memory.inbox as SharedArrayBuffer) };
}

function bytesOfPacket({ from, to, protocol: number }: TupleWant, text: string, length: number): Buffer {
  const ends = { sourcePort: from.port, destinationPort: to.port };
  const payload = make.filler(length);
  const body = number === 6 ? make.tcp({ ...ends, flags: text, sequence: 1000 * length, acknowledgement: 7, payload }) : number === 17 ? make.udp({ ...ends, payload }) : make.echoRequest({ id: from.port });
  return make.ipv4({ source: from.address, destination: to.address }, body);
}

let adopted = 0;

test('whatever well-formed records say, nothing throws, and nothing is held in the end', () => {
  check(fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
    const { of, inbox } = victim();
    for (const one of steps) {
      switch (one.do) {
        case 'record': assert.ok(inbox.record(one.bytes)); of.run(); break;
        case 'forget': assert.ok(inbox.forget(one.bytes)); of.run(); break;
        case 'packet': if (one.want.protocol === 6 || one.want.protocol === 17 || one.want.protocol === 1) of.from(one.link, bytesOfPacket(one.want, one.flags, one.length)); break;
        case 'say': {
          const [{ from, to }, link] = one.isBack ? [CONTROL_BACK, 'wan1'] as const : [CONTROL, 'lan'] as const;
          of.from(link, make.ipv4({ source: from.address, destination: to.address }, make.tcp({
            sourcePort: from.port, destinationPort: to.port, flags: one.flags, sequence: one.sequence, acknowledgement: one.acknowledgement, payload: Buffer.from(one.text),
          })));
          break;
        }
        case 'yield': inbox.yield(); of.run(); break;
        case 'wait': of.advance(one.seconds * 1000); of.teach(); break;
      }
    }
    adopted += counted(of, 'adopted');
    atRest(of);
  }), Number(process.env['RUNS'] ?? 150));
  assert.ok(adopted > 50, `${adopted} adopted: much of it has been believed`);
});

test('flags that contradict each other are refused', () => {
  const outside = { address: WAN1, port: 4000 };
  const record = (some: number, who: string, to: End = outside, isLong = false): Buffer => {
    const original: TupleWant = { from: { address: PC1, port: 4000 }, to: { address: SERVER, port: 80 }, protocol: 17, isV6: isLong };
    return Buffer.concat([
      header(RECORD_FLOW, 60), tuple(original), tuple({ ...original, from: original.to, to }), word(0), word(some), word(nameHash('lan')), word(nameHash('one')), word(nameHash('internet')),
      word(who === '' ? 0 : nameHash(who)),
    ]);
  };
  const refused = [
    // Let in through a mapping, and given to a server.
    record(HOLDS_INWARD, 'vs1/rs1'),
    // It shares a port that it does not bear, or that is its own.
    record(FLAG_SHARED, ''),
    record(FLAG_SHARED | HOLDS_MAPPING, '', { address: PC1, port: 4001 }),
    // Ports are those of IPv4 addresses.
    record(HOLDS_MAPPING, '', outside, true),
  ];
  const { of, inbox } = victim();
  for (const bytes of refused) {
    const before = counted(of, 'malformed');
    assert.ok(inbox.record(bytes));
    of.run();
    assert.is(counted(of, 'malformed'), before + 1);
  }
  assert.is(of.flowCount, 0);
  assert.ok(inbox.record(record(FLAG_SHARED | HOLDS_MAPPING, '')));
  of.run();
  assert.is(of.flowCount, 1);
  atRest(of);
});

test('what a flow expects that nobody watches is refused: its end would not withdraw it', () => {
  const { of, inbox } = victim();
  const [sent] = of.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 4000, destinationPort: 80 })));
  assert.ok(sent);
  const of80: TupleWant = { from: { address: PC1, port: 4000 }, to: { address: SERVER, port: 80 }, protocol: 17, isV6: false };
  const arriving: TupleWant = { from: of80.to, to: { address: WAN1, port: 5000 }, protocol: 17, isV6: false };
  assert.ok(inbox.record(Buffer.concat([header(RECORD_EXPECTATION, 60), tuple(arriving), tuple({ ...arriving, to: { address: PC1, port: 5000 } }), tuple(of80), word(1)])));
  of.run();
  assert.is(of.router.expectations.count, 0);
  assert.is(counted(of, 'orphan'), 1);
  atRest(of);
});

test.run();

/** Flows of which each instance sees one direction: state, numbers, resets, deadlines; what merges and what does not; what is forgotten. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DEADLINE, HEADER_WORDS } from '../../src/table/flow.js';
import { JOURNAL_END } from '../../src/table/journal.js';
import { Conversation } from '../support/conversation.js';
import * as make from '../support/frames.js';
import { PC1, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, Sent } from '../support/rig.js';
import type { Said } from '../support/conversation.js';
import { allWell, atRest, counted, flowsOf, onlyFlow, pair } from '../support/shared.js';
import type { Pair } from '../support/shared.js';

/** What the client says comes to one instance, what the server says to the other. */
class Split {
  readonly talk: Conversation;
  readonly pair: Pair;
  /** Told after every packet, unless off. */
  tells = true;
  constructor(made: Pair) {
    this.pair = made;
    this.talk = new Conversation(made.a);
  }
  say(side: 0 | 1, flags: string, said: Said = {}): Sent[] {
    this.talk.rig = side === 0 ? this.pair.a : this.pair.b;
    const sent = this.talk.say(side, flags, said);
    if (this.tells) this.pair.pump.flow();
    return sent;
  }
  open(): this {
    this.say(0, 'S');
    this.say(1, 'SA');
    this.say(0, 'A');
    return this;
  }
  get states(): string[] { return [this.pair.a, this.pair.b].map((one) => onlyFlow(one).state); }
}

const leftS = (r: Rig): number => r.router.flows.words[HEADER_WORDS + DEADLINE] - r.router.tick;

test('a handshake over two instances is established at both', () => {
  const split = new Split(pair());
  assert.is(split.say(0, 'S').length, 1);
  assert.is(split.say(1, 'SA').length, 1);
  assert.equal(split.states, ['answered', 'answered']);
  assert.is(split.say(0, 'A').length, 1);
  assert.equal(split.states, ['established', 'established']);
  assert.equal([leftS(split.pair.a), leftS(split.pair.b)], [7440, 7440]);
  allWell(split.pair.a, split.pair.b);
  atRest(split.pair.a, split.pair.b);
});

test('it is, too, when what one hears is told late', () => {
  const split = new Split(pair());
  split.say(0, 'S');
  split.tells = false;
  split.say(1, 'SA');
  split.say(0, 'A');
  assert.equal(split.states, ['opening', 'answered']);
  split.pair.pump.flow();
  assert.equal(split.states, ['established', 'established']);
});

test('data flows for as long as it likes in one direction, past every window the other side was ever heard to offer', () => {
  const split = new Split(pair()).open();
  for (let i = 0; i < 3000; i++) assert.is(split.say(1, 'A', { length: 1400, sequence: (split.talk.next[1] + (i > 2 ? 1_000_000 : 0)) >>> 0 }).length, 1);
  assert.is(split.pair.b.router.windows.strange, 0);
  assert.is(split.say(1, 'FA').length, 1);
  assert.equal(split.states, ['half-closed', 'half-closed']);
  assert.is(split.say(0, 'FA').length, 1);
  assert.equal(split.states, ['time-wait', 'time-wait']);
  atRest(split.pair.a, split.pair.b);
});

test('a reset gets through on either side, whatever was heard there', () => {
  for (const side of [0, 1] as const) {
    const split = new Split(pair()).open();
    split.say(1, 'PA', { length: 5000 });
    split.say(0, 'PA', { length: 300 });
    const [sent] = split.say(side, 'R');
    assert.ok(sent !== undefined, 'the very next number');
    assert.equal(split.states, ['reset', 'reset']);
    atRest(split.pair.a, split.pair.b);
  }
  for (const side of [0, 1] as const) {
    const split = new Split(pair()).open();
    split.say(side, 'PA', { length: 3000 });
    // Not the last that was sent: what the other side has acknowledged, which nobody has heard here.
    const [sent] = split.say(side, 'R', { sequence: split.talk.next[side] - 1500 });
    assert.ok(sent !== undefined);
    assert.is(onlyFlow(side === 0 ? split.pair.a : split.pair.b).state, 'challenged', 'its receiver judges');
    split.say(side, 'A', { length: 1 });
    assert.is(onlyFlow(side === 0 ? split.pair.a : split.pair.b).state, 'established', 'and it was not believed');
    atRest(split.pair.a, split.pair.b);
  }
});

test('a refused opening ends at both', () => {
  const split = new Split(pair());
  split.say(0, 'S');
  const [sent] = split.say(1, 'RA');
  assert.is(sent.link, 'lan');
  assert.equal(split.states, ['reset', 'reset']);
});

test('a reset as the first packet after a takeover passes, and leaves room for its having been forged', () => {
  const { a, b, pump } = pair();
  const talk = new Conversation(a).open();
  pump.flow();
  talk.rig = b;
  assert.is(talk.say(1, 'R', { sequence: 4711, forged: true }).length, 1);
  assert.is(onlyFlow(b).state, 'challenged');
  talk.say(0, 'A', { length: 1 });
  assert.is(onlyFlow(b).state, 'established');
  assert.is(talk.say(0, 'R').length, 1);
  assert.is(onlyFlow(b).state, 'reset');
  atRest(a, b);
});

test('a connection told of while it opened is taken for what it is', () => {
  for (const first of [0, 1] as const) {
    const { a, b, pump } = pair();
    const talk = new Conversation(a);
    talk.say(0, 'S');
    pump.collect(a);
    talk.say(1, 'SA');
    talk.say(0, 'A');
    pump.deliver(b);
    talk.rig = b;
    assert.is(onlyFlow(b).state, 'opening');
    assert.is(talk.say(first, 'PA', { length: 10 }).length, 1);
    assert.is(talk.say(first === 0 ? 1 : 0, 'PA', { length: 10 }).length, 1);
    assert.is(onlyFlow(b).state, 'established');
    talk.close();
    assert.is(onlyFlow(b).state, 'time-wait');
    atRest(a, b);
  }
});

test('when the direction comes back its numbers are learned, and it goes on', () => {
  const split = new Split(pair()).open();
  for (let i = 0; i < 20; i++) split.say(1, 'A', { length: 1000 });
  // Everything comes to a now.
  split.talk.rig = split.pair.a;
  const { a, b, pump } = split.pair;
  for (let i = 0; i < 5; i++) {
    assert.is(split.talk.say(1, 'PA', { length: 1000 }).length, 1);
    assert.is(split.talk.say(0, 'PA', { length: 100 }).length, 1);
  }
  assert.is(a.router.windows.strange, 0);
  a.refused('TCP_OUT_OF_WINDOW', 'wan1', split.talk.packet(1, 'R', { sequence: (split.talk.next[1] + 0x7000_0000) >>> 0 }));
  split.talk.close();
  pump.flow();
  assert.equal(split.states, ['time-wait', 'time-wait']);
  atRest(a, b);
});

test('a flow lives as long as either instance sees packets and tells', () => {
  const { a, b, pump } = pair({ uplink: { refreshInbound: false } });
  a.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
  pump.flow();
  const answer = (): Sent[] => b.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.udp({ sourcePort: 53, destinationPort: 5000 })));
  assert.is(answer().length, 1);
  pump.flow();
  for (let i = 0; i < 10; i++) {
    a.advance(150_000);
    b.advance(150_000);
    a.teach();
    b.teach();
    // Answers alone prolong nothing (RFC 4787 REQ-6), so what b knows is what a tells.
    assert.is(answer().length, 1, `after ${(i + 1) * 150} s`);
    a.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
    a.router.journal?.flow(0, a.router.flows.words[HEADER_WORDS + 23], a.router.nowMs);
    pump.flow();
    assert.ok(leftS(b) > 290, `${leftS(b)} s left`);
  }
  b.advance(310_000);
  assert.is(flowsOf(b).length, 0);
  atRest(a, b);
});

test('a replica ends in silence; what was ours tells its end, and replicas follow', () => {
  const { a, b, pump } = pair();
  a.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
  pump.flow();
  b.advance(400_000);
  assert.is(flowsOf(b).length, 0);
  pump.flow();
  assert.is(pump.flowKeys.length, 1);
  assert.is(pump.read.get(JOURNAL_END) ?? 0, 0);
  pump.load(b);
  assert.is(flowsOf(b).length, 1);
  a.advance(400_000);
  pump.flow();
  assert.is(flowsOf(b).length, 0);
  assert.is(counted(b, 'forgotten'), 1);
  assert.is(pump.records.size, 0);
  atRest(a, b);
});

test('what goes on here is not forgotten because it ended elsewhere: it is told of again', () => {
  const split = new Split(pair()).open();
  const { a, b, pump } = split.pair;
  a.router.flows.remove(0);
  pump.flow();
  assert.is(flowsOf(b).length, 1);
  assert.is(counted(b, 'kept'), 1);
  assert.ok(onlyFlow(a).isReplica, 'it is back');
  assert.is(split.say(0, 'PA', { length: 10 }).length, 1);
  assert.is(split.say(1, 'PA', { length: 10 }).length, 1);
  // What is over here as well is let go.
  split.say(1, 'FA');
  split.say(0, 'FA');
  a.router.flows.remove(0);
  pump.flow();
  assert.equal([flowsOf(a).length, flowsOf(b).length], [0, 0]);
  assert.is(pump.records.size, 0);
  atRest(a, b);
});

test('a connection that begins anew with the same ports is one at both, and late news of the old one is none', () => {
  const { a, b, pump } = pair();
  const talk = new Conversation(a).open();
  pump.flow();
  const old = pump.records.get(pump.flowKeys[0]) as string;
  talk.close();
  pump.flow();
  assert.is(onlyFlow(b).state, 'time-wait');
  const next = new Conversation(a, { first: [5_000_000, 6_000_000] }).open();
  pump.flow();
  assert.is(onlyFlow(b).state, 'established');
  next.rig = b;
  assert.is(next.say(1, 'PA', { length: 10 }).length, 1);
  next.close();
  pump.flow();
  pump.send(a, Buffer.from(old, 'hex'));
  pump.send(b, Buffer.from(old, 'hex'));
  assert.equal([onlyFlow(a).state, onlyFlow(b).state], ['time-wait', 'time-wait']);
  atRest(a, b);
});

test('what stands in the way and is ours stays: the record is refused', () => {
  const { a, b, pump } = pair();
  const out = (source: string, port: number): Buffer => make.ipv4({ source, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 53 }));
  const [mine] = a.from('lan', out(PC1, 5000));
  const [theirs] = b.from('lan', out('192.168.0.5', 5000));
  assert.is(mine.packet.readUInt16BE(20), theirs.packet.readUInt16BE(20), 'with no leases both have taken one port');
  pump.flow();
  assert.equal([counted(a, 'clash'), counted(b, 'clash')], [1, 1]);
  assert.equal([onlyFlow(a).from, onlyFlow(b).from], [`${PC1}:5000`, '192.168.0.5:5000']);
  atRest(a, b);
});

test('a ring that is full loses records, counts them, and nothing else happens', () => {
  const { a, b, pump } = pair({ rings: 4096, limits: { flows: 4096 } });
  for (let port = 2000; port < 3500; port++) a.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 53 })));
  a.advance(1000);
  const lost = counted(a, 'journalLost');
  assert.ok(lost > 500, `${lost} lost`);
  pump.flow();
  assert.is(flowsOf(a).length, 1500);
  assert.is(flowsOf(b).length, 1500 - lost);
  atRest(a, b);
});

test('garbage is refused and counted, and harms nothing', () => {
  const { a, b, pump } = pair();
  new Conversation(a).open();
  pump.flow();
  const value = Buffer.from(pump.records.get(pump.flowKeys[0]) as string, 'hex');
  for (let length = 0; length < value.length; length++) pump.send(b, value.subarray(0, length));
  pump.send(b, Buffer.concat([value, Buffer.alloc(1)]));
  assert.is(counted(b, 'malformed'), value.length + 1);
  pump.send(b, Buffer.concat([Buffer.from([9]), value.subarray(1)]));
  assert.is(counted(b, 'version'), 1);
  const stranger = Buffer.from(value);
  stranger.writeInt32LE(12345, value.length - 12);
  pump.send(b, stranger);
  assert.is(counted(b, 'unknownName'), 1);
  pump.send(b, Buffer.alloc(100_000));
  assert.is(flowsOf(b).length, 1);
  atRest(a, b);
});

test('who is fenced yields: its flows are replicas until their next packet', () => {
  const { a, b, pump } = pair();
  const talk = new Conversation(a).open();
  a.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000, destinationPort: 53 })));
  pump.flow();
  pump.yield(a);
  assert.is(counted(a, 'replicas'), 2);
  assert.is(pump.yielded, 1);
  assert.is(a.router.windows.used, 0);
  assert.is(talk.say(1, 'PA', { length: 100 }).length, 1);
  assert.is(counted(a, 'replicas'), 1);
  a.advance(400_000);
  pump.flow();
  assert.is(pump.flowKeys.length, 2, 'the end of a replica is not told');
  atRest(a, b);
});

test.run();

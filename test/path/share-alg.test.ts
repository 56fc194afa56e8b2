/** FTP over a takeover: the control connection whose text was edited, what it expects, and the data connections; and with each direction at another instance. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ethernet, expect, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { MAC, PC1, rig, SERVER, WAN1 } from '../support/rig.js';
import type { LinkName, Rig, Sent } from '../support/rig.js';
import { Pump } from '../support/share-pump.js';
import { allWell, atRest, counted, flowsOf, pair, RING_WORDS } from '../support/shared.js';

const commas = (address: string, port: number): string => `${address.replaceAll('.', ',')},${port >> 8},${port & 255}`;
const payload = ({ packet }: Sent): string => packet.subarray(20 + (packet[32] >> 4) * 4).toString('latin1');
const sequence = ({ packet }: Sent): number => packet.readUInt32BE(24);
const acknowledgement = ({ packet }: Sent): number => packet.readUInt32BE(28);

/** The two ends of a control connection, each of which checks every number it is told. */
class Control {
  /** Whose router the client's packets come to, and the server's. */
  readonly at: [Rig, Rig];
  /** What each end sends next, and expects next. */
  readonly next: [number, number] = [0xffff_ff00, 7000];
  readonly expected: [number, number] = [0, 0];
  /** Everything each end has heard, in order. */
  readonly heard: [string, string] = ['', ''];
  /** Told after every packet. */
  after: () => void = () => undefined;

  constructor(client: Rig, server: Rig = client) { this.at = [client, server]; }

  packet(end: 0 | 1, flags: string, text = ''): Buffer {
    return make.ipv4({ source: end === 0 ? PC1 : SERVER, destination: end === 0 ? SERVER : WAN1, dontFragment: true }, make.tcp({
      sourcePort: end === 0 ? 40_000 : 21, destinationPort: end === 0 ? 21 : 40_000, sequence: this.next[end] >>> 0, acknowledgement: this.expected[end] >>> 0, flags, payload: Buffer.from(text, 'latin1'),
    }));
  }

  /** An end sends; what of it arrives is heard by the other, which acknowledges it. `isLost`: it never arrives. */
  say(end: 0 | 1, text: string, flags = 'PA', isLost = false): Sent[] {
    const sent = this.at[end].from(this.link(end), this.packet(end, flags, text));
    this.next[end] = (this.next[end] + text.length + (flags.includes('S') || flags.includes('F') ? 1 : 0)) >>> 0;
    this.after();
    if (!isLost) for (const one of sent) this.hear(end === 0 ? 1 : 0, one);
    return sent;
  }

  /** An end is handed what has arrived. */
  hear(end: 0 | 1, one: Sent): void {
    const flags = one.packet[33];
    const text = payload(one);
    if ((flags & 2) !== 0) this.expected[end] = sequence(one);
    assert.is(sequence(one), this.expected[end], `number of '${text}'`);
    if ((flags & 16) !== 0) assert.is(acknowledgement(one), this.next[end], `what '${text}' acknowledges`);
    this.heard[end] += text;
    const length = text.length + (flags & 3 ? 1 : 0);
    this.expected[end] = (this.expected[end] + length) >>> 0;
    if (text.length > 0) this.say(end, '', 'A');
  }

  open(): this {
    this.say(0, '', 'S');
    this.say(1, '', 'SA');
    this.say(0, '', 'A');
    this.say(1, '220 ready\r\n');
    return this;
  }

  /** Both go on at another instance. */
  move(to: Rig): void { this.at[0] = this.at[1] = to; }

  private link(end: 0 | 1): LinkName { return end === 0 ? 'lan' : 'wan1'; }
}

const syn = (port: number, flags = 'S'): Buffer => make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 20, destinationPort: port, flags, sequence: flags === 'S' ? 1000 : 1001, acknowledgement: flags === 'S' ? 0 : 5001 }));
const answer = (port: number, flags = 'SA'): Buffer => make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: port, destinationPort: 20, flags, sequence: flags === 'SA' ? 5000 : 5001, acknowledgement: 1001 }));

test('control, expectation and data connection survive a takeover; edits go on with the right numbers', () => {
  const { a, b, pump } = pair();
  const control = new Control(a).open();
  control.say(0, `PORT ${commas(PC1, 51_234)}\r\n`);
  control.say(1, '200 PORT\r\n');
  // A data connection opened at a, another one expected there.
  const [data] = a.from('wan1', syn(51_234));
  expect(data.frame, ethernet({ destination: MAC.pc1 }), ipv4({ destination: PC1 }), tcp({ destinationPort: 51_234 }));
  a.from('lan', answer(51_234));
  control.say(0, `PORT ${commas(PC1, 51_300)}\r\n`);
  control.say(1, '200 PORT\r\n');
  pump.flow();
  assert.is(b.router.expectations.count, 1);
  assert.is(flowsOf(b).length, 2);
  control.move(b);
  control.say(0, 'RETR file\r\n');
  control.say(1, '150 here it comes\r\n');
  assert.is(b.from('wan1', syn(51_234, 'PA')).length, 1);
  assert.is(b.from('lan', answer(51_234, 'PA')).length, 1);
  const [second] = b.from('wan1', syn(51_300));
  expect(second.packet, ipv4({ source: SERVER, destination: PC1 }), tcp({ sourcePort: 20, destinationPort: 51_300 }));
  control.say(0, `PORT ${commas(PC1, 51_400)}\r\n`);
  assert.ok(control.heard[1].endsWith(`PORT ${commas(WAN1, 51_400)}\r\n`));
  control.say(1, '200 PORT\r\n');
  assert.is(b.from('wan1', syn(51_400)).length, 1);
  control.say(0, 'QUIT\r\n', 'FPA');
  control.say(1, '221\r\n', 'FPA');
  pump.flow();
  assert.is(a.router.expectations.count, 0);
  allWell(a, b);
  atRest(a, b);
});

test('an edit nobody has acknowledged goes along with its text: sent again at the other instance it is the very same', () => {
  const { a, b, pump } = pair();
  const control = new Control(a).open();
  const text = `PORT ${commas(PC1, 51_234)}\r\n`;
  const before = control.next[0];
  const [first] = control.say(0, text, 'PA', true);
  pump.flow();
  control.move(b);
  control.next[0] = before;
  const [again] = control.say(0, text);
  assert.is(payload(again), payload(first));
  assert.is(sequence(again), sequence(first));
  assert.is(payload(again), `PORT ${commas(WAN1, 51_234)}\r\n`);
  control.say(1, '200\r\n');
  control.say(0, 'NOOP\r\n');
  assert.is(b.from('wan1', syn(51_234)).length, 1);
  atRest(a, b);
});

test('text that was held back for its end is not lost', () => {
  const { a, b, pump } = pair();
  const control = new Control(a).open();
  const text = `PORT ${commas(PC1, 51_234)}\r\n`;
  control.say(0, text.slice(0, 12));
  pump.flow();
  control.move(b);
  control.say(0, text.slice(12));
  assert.ok(control.heard[1].endsWith(`PORT ${commas(WAN1, 51_234)}\r\n`), control.heard[1]);
  control.say(1, '200\r\n');
  atRest(a, b);
});

test('what was said between the last telling and the takeover is passed over, unless it was edited', () => {
  const { a, b, pump } = pair();
  const control = new Control(a).open();
  control.say(0, `PORT ${commas(PC1, 51_234)}\r\n`);
  control.say(1, '200\r\n');
  pump.flow();
  control.say(0, 'TYPE I\r\n');
  control.say(1, '200\r\n');
  pump.collect(a);
  pump.lose(b);
  control.move(b);
  control.say(0, `PORT ${commas(PC1, 51_300)}\r\n`);
  assert.ok(control.heard[1].endsWith(`PORT ${commas(WAN1, 51_300)}\r\n`), control.heard[1]);
  control.say(1, '200\r\n');
  atRest(a, b);
});

test('each direction at another instance: edits are acknowledged where they were not made', () => {
  const { a, b, pump } = pair();
  const control = new Control(a, b);
  control.after = () => pump.flow();
  control.open();
  // More than can be unacknowledged at a time (alg/stream.ts).
  for (let i = 0; i < 30; i++) {
    control.say(0, `PORT ${commas(PC1, 51_000 + i)}\r\n`);
    assert.ok(control.heard[1].endsWith(`PORT ${commas(WAN1, 51_000 + i)}\r\n`), `edit ${i}: ${control.heard[1].slice(-40)}`);
    control.say(1, '200\r\n');
    assert.is(b.from('wan1', syn(51_000 + i)).length, 1);
    pump.flow();
  }
  assert.is(a.router.expectations.count, 0);
  assert.is(b.router.expectations.count, 0);
  allWell(a, b);
  atRest(a, b);
});

test('who loads later has control flows first, then what they expect', () => {
  const { a, pump } = pair();
  const control = new Control(a).open();
  control.say(0, `PORT ${commas(PC1, 51_234)}\r\n`);
  control.say(1, '200\r\n');
  pump.collect(a);
  const late = rig({ weights: [1, 0], rings: RING_WORDS });
  const loading = new Pump(late);
  // In whatever order the store gives them.
  for (const [key, value] of [...pump.records].reverse()) loading.records.set(key, value);
  loading.load(late);
  assert.is(late.router.expectations.count, 1);
  assert.is(counted(late, 'orphan'), 0);
  control.move(late);
  control.say(0, 'NOOP\r\n');
  assert.is(late.from('wan1', syn(51_234)).length, 1);
  atRest(a, late);
});

test('streams and expectations of flows that are not here are counted', () => {
  const { a, b, pump } = pair();
  const control = new Control(a).open();
  control.say(0, `PORT ${commas(PC1, 51_234)}\r\n`);
  pump.collect(a);
  pump.lose(b);
  for (const [key, value] of pump.records) if (!key.startsWith('66')) pump.send(b, Buffer.from(value, 'hex'));
  assert.is(counted(b, 'orphan'), 2);
  atRest(a, b);
});

test.run();

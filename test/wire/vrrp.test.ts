/** The VRRP codec, against adverts that keepalived 2.2.7 sent and against the layout of RFC 9568 §5.2. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as checksum from '../../src/wire/checksum.js';
import { parseIpv4 } from '../../src/wire/address.js';
import * as vrrp from '../../src/wire/vrrp.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const viewOf = (array: Uint8Array): DataView => new DataView(array.buffer, array.byteOffset, array.byteLength);
const SOURCE = parseIpv4('10.0.0.2'), GROUP = parseIpv4('224.0.0.18'), PEER = parseIpv4('10.0.0.3');
const ADDRESSES = [parseIpv4('10.0.0.1'), parseIpv4('10.0.0.9')];

interface Captured { name: string; message: Uint8Array; destination: number; fields: vrrp.AdvertFields; pseudo: boolean }

/** From the wire: virtual router 51, priority 150, addresses 10.0.0.1 and 10.0.0.9. */
const captured: Captured[] = [
  { name: 'version 3, every 100 ms', message: bytes('31 33 96 02 00 0a 3a 21 0a 00 00 01 0a 00 00 09'), destination: GROUP, pseudo: true,
    fields: { version: 3, id: 51, priority: 150, intervalMs: 100, addresses: ADDRESSES, password: null } },
  { name: 'version 3 to a peer', message: bytes('31 33 96 02 00 0a 10 31 0a 00 00 01 0a 00 00 09'), destination: PEER, pseudo: true,
    fields: { version: 3, id: 51, priority: 150, intervalMs: 100, addresses: ADDRESSES, password: null } },
  { name: 'version 2 with a password', message: bytes('21 33 96 02 01 01 df 92 0a 00 00 01 0a 00 00 09 73 65 73 61 6d 65 00 00'), destination: GROUP, pseudo: false,
    fields: { version: 2, id: 51, priority: 150, intervalMs: 1000, addresses: ADDRESSES, password: vrrp.passwordBytes('sesame') } },
  { name: 'version 2 without one', message: bytes('21 33 96 02 00 01 34 bf 0a 00 00 01 0a 00 00 09 00 00 00 00 00 00 00 00'), destination: GROUP, pseudo: false,
    fields: { version: 2, id: 51, priority: 150, intervalMs: 1000, addresses: ADDRESSES, password: null } },
];

for (const { name, message, destination, fields, pseudo } of captured) {
  test(`keepalived, ${name}: read`, () => {
    const view = viewOf(message);
    assert.is(vrrp.version(view, 0), fields.version);
    assert.is(vrrp.type(view, 0), vrrp.ADVERTISEMENT);
    assert.is(vrrp.virtualRouterId(view, 0), 51);
    assert.is(vrrp.priority(view, 0), 150);
    assert.is(vrrp.intervalMs(view, 0), fields.intervalMs);
    assert.is(vrrp.addressCount(view, 0), 2);
    assert.equal([vrrp.address(view, 0, 0), vrrp.address(view, 0, 1)], ADDRESSES);
    assert.is(vrrp.messageLength(fields.version, 2), message.length);
    assert.ok(vrrp.checksumIsRight(view, 0, message.length, SOURCE, destination));
    if (fields.version !== 2) return;
    assert.is(vrrp.authenticationType(view, 0), fields.password === null ? vrrp.AUTHENTICATION_NONE : vrrp.AUTHENTICATION_PASSWORD);
    assert.is(vrrp.hasPassword(view, 0, vrrp.passwordBytes('sesame')), fields.password !== null);
    assert.not(vrrp.hasPassword(view, 0, vrrp.passwordBytes('sesam')));
  });

  test(`keepalived, ${name}: written the same`, () => {
    const written = new Uint8Array(message.length + 8).fill(0xaa);
    vrrp.writeAdvert(viewOf(written), 4, fields, pseudo ? checksum.pseudoHeaderSum(SOURCE, destination, vrrp.PROTOCOL_VRRP, message.length) : 0);
    assert.equal([...written.subarray(4, -4)], [...message]);
    assert.equal([...written.subarray(0, 4), ...written.subarray(-4)], new Array(8).fill(0xaa), 'and nothing beside it');
  });

  test(`keepalived, ${name}: one bit wrong anywhere is seen`, () => {
    for (let bit = 0; bit < message.length * 8; bit++) {
      const wrong = message.slice();
      wrong[bit >> 3] ^= 1 << (bit & 7);
      // A version that is neither is refused before its sum is looked at; so is one that is not what it should be.
      if ((wrong[0] >> 4) !== fields.version) continue;
      assert.not(vrrp.checksumIsRight(viewOf(wrong), 0, wrong.length, SOURCE, destination), `bit ${bit}`);
    }
  });
}

test('version 3 is right with the pseudo-header and without, version 2 only without', () => {
  for (const version of [2, 3] as const) {
    const length = vrrp.messageLength(version, 2);
    const message = new Uint8Array(length);
    const pseudo = checksum.pseudoHeaderSum(SOURCE, GROUP, vrrp.PROTOCOL_VRRP, length);
    for (const initial of [0, pseudo]) {
      vrrp.writeAdvert(viewOf(message), 0, { version, id: 7, priority: 1, intervalMs: 1000, addresses: ADDRESSES, password: null }, initial);
      assert.is(vrrp.checksumIsRight(viewOf(message), 0, length, SOURCE, GROUP), version === 3 || initial === 0, `version ${version}`);
    }
  }
});

test('the longest interval of either version', () => {
  const message = new Uint8Array(vrrp.messageLength(2, 1));
  for (const [version, intervalMs] of [[3, vrrp.INTERVAL_MAX_MS], [3, 10], [2, 255_000]] as const) {
    vrrp.writeAdvert(viewOf(message), 0, { version, id: 1, priority: 1, intervalMs, addresses: [ADDRESSES[0]], password: null }, 0);
    assert.is(vrrp.intervalMs(viewOf(message), 0), intervalMs);
  }
});

test('the four bits before the interval of version 3 are not of it (§5.2.6)', () => {
  const view = viewOf(bytes('31 33 96 01 f0 64 00 00 0a 00 00 01'));
  assert.is(vrrp.intervalMs(view, 0), 1000);
});

test('a password of more than eight bytes is cut, as RFC 2338 has no room for it', () => {
  assert.equal([...vrrp.passwordBytes('sesame-open')], [...Buffer.from('sesame-o')]);
});

test.run();

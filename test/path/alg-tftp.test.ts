/** TFTP through the whole pipeline: the server answers from a port of its own, on either side, whatever mapping and filtering there is. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { PortForwardPlan } from '../../src/base/plan.js';
import { expect, ipv4, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';

const TFTP = 69;
const UDP = 17;
const ONE: RigOptions = { weights: [1, 0], plan: { algs: [{ name: 'tftp', ports: [TFTP] }] } };
const FORWARD: PortForwardPlan = { index: 0, name: 'tftp', uplink: 0, addresses: [WAN1], protocols: [UDP], ports: { first: TFTP, last: TFTP }, to: PC2, toPort: TFTP };

const request = (opcode: number): Buffer => Buffer.concat([Buffer.from([0, opcode]), Buffer.from('file\0octet\0')]);
const datagram = (source: string, sourcePort: number, destination: string, destinationPort: number, payload: Buffer): Buffer =>
  make.ipv4({ source, destination }, make.udp({ sourcePort, destinationPort, payload }));
const DATA = Buffer.from([0, 3, 0, 1, 0x68, 0x69]);
const ACK = Buffer.from([0, 4, 0, 1]);
const counts = (r: Rig) => r.router.watch.counts[0];

for (const mapping of ['endpoint-independent', 'address-and-port-dependent'] as const) {
  for (const filtering of ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const) {
    for (const opcode of [1, 2]) {
      test(`client inside, ${mapping} mapping, ${filtering} filtering, ${opcode === 1 ? 'read' : 'write'}: the answer from another port gets in`, () => {
        const r = rig({ ...ONE, uplink: { mapping, filtering } });
        const [asked] = r.from('lan', datagram(PC1, 40_000, SERVER, TFTP, request(opcode)));
        const external = asked.packet.readUInt16BE(20);
        assert.is(r.router.expectations.count, 1);
        const [data] = r.from('wan1', datagram(SERVER, 55_555, WAN1, external, DATA));
        assert.is(data.link, 'lan');
        expect(data.packet, ipv4({ source: SERVER, destination: PC1 }), udp({ sourcePort: 55_555, destinationPort: 40_000, payload: DATA }));
        const [ack] = r.from('lan', datagram(PC1, 40_000, SERVER, 55_555, ACK));
        expect(ack.packet, ipv4({ source: WAN1, destination: SERVER }), udp({ sourcePort: external, destinationPort: 55_555, payload: ACK }));
        assert.equal([r.router.expectations.count, r.router.expectations.used], [0, 1]);
      });
    }
  }
}

const STRICT: RigOptions = { ...ONE, uplink: { filtering: 'address-and-port-dependent' } };

test('without the ALG the answer is not let in by strict filtering', () => {
  const r = rig({ ...STRICT, plan: { algs: [] } });
  r.from('lan', datagram(PC1, 40_000, SERVER, TFTP, request(1)));
  r.refused('PORT_CLOSED', 'wan1', datagram(SERVER, 55_555, WAN1, 40_000, DATA));
});

test('nobody but the server may answer', () => {
  const r = rig(STRICT);
  r.from('lan', datagram(PC1, 40_000, SERVER, TFTP, request(1)));
  r.refused('PORT_CLOSED', 'wan1', datagram('198.51.100.8', 55_555, WAN1, 40_000, DATA));
});

test('every request expects anew, from one and the same port too', () => {
  const r = rig(STRICT);
  for (let i = 0; i < 5; i++) {
    assert.is(r.from('lan', datagram(PC1, 40_000, SERVER, TFTP, request(1))).length, 1);
    assert.is(r.router.expectations.count, 1);
    // Sent again before the answer comes: still one.
    r.from('lan', datagram(PC1, 40_000, SERVER, TFTP, request(1)));
    assert.is(r.router.expectations.count, 1);
    assert.is(r.from('wan1', datagram(SERVER, 50_000 + i, WAN1, 40_000, DATA)).length, 1);
    assert.is(r.router.expectations.count, 0);
  }
  assert.is(counts(r).announced, 10);
});

test('what is no request expects nothing', () => {
  for (const payload of [DATA, ACK, Buffer.from([0, 1]), Buffer.alloc(0), Buffer.from([1, 1, 65, 0, 65, 0])]) {
    const r = rig(STRICT);
    r.from('lan', datagram(PC1, 40_000, SERVER, TFTP, payload));
    assert.is(r.router.expectations.count, 0);
  }
});

test('server inside behind a port forward: its answer bears the address the client asked', () => {
  for (const weights of [[1, 0], [0, 1]] as [number, number][]) {
    const r = rig({ ...STRICT, weights, plan: { ...STRICT.plan, portForwards: [FORWARD] } });
    const [asked] = r.from('wan1', datagram(SERVER, 40_000, WAN1, TFTP, request(1)));
    expect(asked.packet, ipv4({ destination: PC2 }), udp({ destinationPort: TFTP, payload: request(1) }));
    const [data] = r.from('lan', datagram(PC2, 55_555, SERVER, 40_000, DATA));
    assert.is(data.link, 'wan1', 'and goes by the uplink the client came by');
    expect(data.packet, ipv4({ source: WAN1, destination: SERVER }), udp({ destinationPort: 40_000, payload: DATA }));
    const [ack] = r.from('wan1', datagram(SERVER, 40_000, WAN1, data.packet.readUInt16BE(20), ACK));
    expect(ack.packet, ipv4({ destination: PC2 }), udp({ destinationPort: 55_555, payload: ACK }));
  }
});

test('an answer of the asked port itself goes on as ever, and the expectation ends by time', () => {
  const r = rig({ ...STRICT, timeouts: { expectation: 20 } });
  const pool = r.router.mappings.pool(r.router.mappings.poolOf(make.address(WAN1).readInt32BE(0), UDP));
  r.from('lan', datagram(PC1, 40_000, SERVER, TFTP, request(1)));
  assert.is(pool.users(40_000), 2);
  assert.is(r.from('wan1', datagram(SERVER, TFTP, WAN1, 40_000, DATA)).length, 1);
  r.advance(22_000, 1000);
  assert.equal([r.router.expectations.count, r.router.expectations.expired, pool.users(40_000)], [0, 1, 1]);
});

test.run();

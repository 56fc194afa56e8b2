/** What becomes of the flows of a real server that dies, is drained or is flushed: told at both ends, late packets at once, UDP never with the dead. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readFates } from '../../src/stage/fate.js';
import { SERVER_ACTIVE, SERVER_DRAINED, SERVER_UP, SERVER_USABLE, SERVER_WANTED, SERVER_WEIGHT } from '../../src/table/counters.js';
import { ethernet, expect, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { DMZ_HOST, MAC, PC1, PC2, rig, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions, Sent } from '../support/rig.js';
import { Call, origin, realServer, servers, towards } from '../support/servers.js';
import type { ServerWant } from '../support/servers.js';

const TCP = make.PROTOCOL.tcp, UDP = make.PROTOCOL.udp;
const CLIENT = '198.51.100.77';

function lab(want: Partial<ServerWant> = {}, options: RigOptions = {}): Rig {
  return rig({ ...options, plan: { ...options.plan, ...servers({ addresses: WAN1, protocols: [TCP, UDP], realServers: [{ address: PC1, port: 8080 }, { address: PC2, port: 8080 }], ...want }) } });
}

/** Flows opened until so many are with each of the two. */
function calls(r: Rig, each: number, want: Partial<ConstructorParameters<typeof Call>[1]> = {}): Record<'first' | 'second', Call[]> {
  const all = Array.from({ length: 2 * each }, (_, i) => new Call(r, { to: WAN1, port: 20_000 + i, ...want }));
  for (const call of all) call.open();
  const of = (address: string): Call[] => all.filter(({ server }) => server === `${address}:8080`);
  assert.equal([of(PC1).length, of(PC2).length], [each, each]);
  return { first: of(PC1), second: of(PC2) };
}

const resets = (sent: Sent[]): string[] => sent.filter(({ packet }) => packet[9] === TCP && (packet[33] & 4) !== 0).map((one) => `${one.link} ${origin(one)} → ${towards(one)}`).sort();
const told = (r: Rig): unknown[] => r.notices.flatMap((notice) => (notice.event === 'serverFailover' ? [[notice.server, notice.reason, notice.detail, notice.reset, notice.moved, notice.kept]] : []));

// conforms: vs-down
test('a server dies: its TCP flows are reset at both ends, as each end knows them; the others go on', () => {
  const r = lab();
  const { first, second } = calls(r, 3);
  r.router.setServerHealth(0, false, 'connection refused');
  const sent = r.run();
  assert.equal(resets(sent), [
    ...first.map(({ want: { port } }) => `lan ${CLIENT}:${port} → ${PC1}:8080`), ...first.map(({ want: { port } }) => `wan1 ${WAN1}:80 → ${CLIENT}:${port}`),
  ].sort());
  for (const one of sent) expect(one.frame, ethernet({ destination: one.link === 'lan' ? MAC.pc1 : MAC.gateway1 }), ipv4(), tcp({ flags: 'RA' }));
  assert.is(r.flowCount, 3);
  assert.is(realServer(r, PC1).active, 0);
  for (const call of second) {
    call.say('PA', 10);
    assert.is(call.server, `${PC2}:8080`);
  }
  assert.equal(told(r), [[0, 'serverDown', 'connection refused', 3, 0, 0]]);
  const fates = r.notices.flatMap((notice) => (notice.event === 'serverFate' ? [notice] : []));
  assert.equal(fates.map(({ server, fate, total }) => [server, fate, total]), [[0, 'reset', 3]]);
  assert.equal(readFates(fates[0].flows).map((flow) => [flow.source, flow.destination, flow.destinationPort]), first.map(() => [CLIENT, WAN1, 80]));
  // Nobody hears of the dead one before it is up again.
  for (let port = 1; port <= 4; port++) assert.is(new Call(r, { to: WAN1, port }).open(), `${PC2}:8080`);
  r.router.setServerHealth(0, true);
  assert.ok([10, 11].map((port) => new Call(r, { to: WAN1, port }).open()).includes(`${PC1}:8080`));
});

test('a packet that comes before the walk has come to its flow meets the same fate at once', () => {
  const r = lab();
  const { first: [call] } = calls(r, 1);
  r.router.setServerHealth(0, false);
  const packet = call.packet('PA', 10);
  r.put('wan1', r.frame('wan1', packet));
  const sent = r.counted('FLOW_ENDED', 'wan1', () => r.run().filter(({ isArp }) => !isArp));
  assert.ok(resets(sent).includes(`wan1 ${WAN1}:80 → ${CLIENT}:${call.want.port}`));
  assert.is(realServer(r, PC1).flows, 0);
});

// conforms: vs-down
test('its UDP flows are let go: the client’s very next packet is another server’s, none is lost', () => {
  for (const onServerDown of ['reset', 'keep', 'move'] as const) {
    for (const waits of [false, true]) {
      const r = lab({ onServerDown });
      const { first } = calls(r, 2, { protocol: 'udp' });
      r.router.setServerHealth(0, false);
      if (waits) r.run();
      // Where nobody waits the first packet comes in ahead of the walk.
      for (const call of first) {
        r.put('wan1', r.frame('wan1', call.packet('', 20)));
        const sent = r.run().filter(({ isArp }) => !isArp);
        assert.equal(sent.map((one) => [one.link, towards(one)]), [['lan', `${PC2}:8080`]]);
        call.toServer = sent[0];
        assert.is(origin(call.answer('', 5)[0]), `${WAN1}:80`);
      }
      r.run();
      assert.equal(told(r), [[0, 'serverDown', null, 0, 2, 0]]);
      assert.equal([realServer(r, PC1).flows, realServer(r, PC2).flows], [0, 4]);
    }
  }
});

test('a dead server that speaks on is no reason for its UDP client to come back to it', () => {
  const r = rig({ weights: [1, 0], plan: servers({ addresses: WAN1, protocols: [UDP], ports: { first: 5000, last: 5000 }, realServers: [{ address: PC1 }, { address: PC2 }] }) });
  const call = new Call(r, { to: WAN1, toPort: 5000, protocol: 'udp' });
  const first = call.open();
  r.router.setServerHealth(first === `${PC1}:5000` ? 0 : 1, false);
  r.run();
  // What it says now is its own affair, with a port that nobody is served at.
  const [late] = call.answer('', 10);
  assert.is(late.link, 'wan1');
  assert.is.not(origin(late), `${WAN1}:5000`);
  call.say('', 10);
  assert.is(call.server, first === `${PC1}:5000` ? `${PC2}:5000` : `${PC1}:5000`);
});

// conforms: vs-one-packet
test('one packet at a time: a dead server gets no more of them', () => {
  const r = lab({ protocols: [UDP], onePacket: true });
  const call = new Call(r, { to: WAN1, protocol: 'udp' });
  for (let i = 0; i < 4; i++) call.say();
  r.router.setServerHealth(0, false);
  for (let i = 0; i < 4; i++) {
    r.put('wan1', r.frame('wan1', call.packet()));
    assert.equal(r.run().filter(({ isArp }) => !isArp).map(towards), [`${PC2}:8080`]);
  }
  r.run();
  assert.is(realServer(r, PC1).flows, 0);
});

// conforms: vs-down
test('keep: TCP flows wait for their server, are told of once, and go on when it is back', () => {
  const r = lab({ onServerDown: 'keep' });
  const { first: [call] } = calls(r, 1);
  r.router.setServerHealth(0, false);
  assert.equal(resets(r.run()), []);
  call.say('PA', 10);
  assert.is(call.server, `${PC1}:8080`);
  // Something else changes: nobody is told again.
  r.router.setServerHealth(1, false);
  r.run();
  r.router.setServerHealth(1, true);
  r.run();
  assert.equal(r.notices.filter((notice) => notice.event === 'serverFate').map(({ server, fate }) => [server, fate]), [[0, 'kept'], [1, 'kept']]);
  r.router.setServerHealth(0, true);
  r.run();
  call.say('PA', 10);
  assert.is(call.server, `${PC1}:8080`);
  assert.is(realServer(r, PC1).active, 1);
  r.router.setServerHealth(0, false);
  r.run();
  assert.is(r.notices.filter((notice) => notice.event === 'serverFate').length, 3, 'another outage is told of');
});

// conforms: vs-drain
test('drain: not one flow is touched; flush ends them now, kept ones as well, and none hangs', () => {
  for (const onServerDown of ['reset', 'keep', 'move'] as const) {
    const r = lab({ onServerDown });
    const { first } = calls(r, 2);
    const udp = [1, 2].map((port) => new Call(r, { to: WAN1, port, protocol: 'udp' }));
    for (const call of udp) call.open();
    const left = udp.find(({ server }) => server === `${PC1}:8080`)!;
    r.router.setServerDrained(0, true, false);
    assert.equal(r.run(), []);
    const { counters } = r.router;
    assert.equal([SERVER_DRAINED, SERVER_UP, SERVER_USABLE, SERVER_WEIGHT, SERVER_WANTED].map((counter) => counters.server(0, counter)), [1, 1, 0, 0, 1]);
    for (const call of [...first, left]) {
      call.say('PA', 10);
      assert.is(call.server, `${PC1}:8080`);
    }
    assert.equal(told(r), []);
    r.router.setServerDrained(0, true, true);
    // One whose data is under way is told both numbers it may expect.
    assert.is(new Set(resets(r.run())).size, 2 * first.length, 'both ends of each');
    left.say('', 10);
    assert.is(left.server, `${PC2}:8080`);
    assert.equal(told(r), [[0, 'serverFlushed', null, 2, 1, 0]]);
    assert.equal([realServer(r, PC1).flows, counters.server(0, SERVER_ACTIVE)], [0, 0]);
    r.router.setServerDrained(0, false, false);
    assert.ok([30, 31].map((port) => new Call(r, { to: WAN1, port }).open()).includes(`${PC1}:8080`));
  }
});

test('what is over ends in silence, so that a SYN that uses its ports again finds a server', () => {
  const r = lab();
  const { first: [call] } = calls(r, 1);
  call.close();
  r.router.setServerHealth(0, false);
  assert.equal(resets(r.run()), []);
  const again = new Call(r, { to: WAN1, port: call.want.port });
  assert.is(again.open(), `${PC2}:8080`);
});

test('a thousand flows of a dead server end in bounded turns, each told of once', () => {
  const r = lab({}, { limits: { flows: 4096 } });
  const count = 1000;
  for (let i = 0; i < 2 * count; i++) new Call(r, { to: WAN1, port: 10_000 + i, client: `198.51.100.${i % 200 + 1}` }).open();
  r.router.setServerHealth(0, false);
  const sent = r.run();
  assert.is(resets(sent).length, 2 * count);
  assert.is(r.flowCount, count);
  assert.equal(told(r), [[0, 'serverDown', null, count, 0, 0]]);
  assert.is(r.notices.reduce((sum, notice) => sum + (notice.event === 'serverFate' ? readFates(notice.flows).length : 0), 0), count);
});

test('the flows of a virtual server are their uplink’s as well: they end with either', () => {
  const r = lab({}, { dmz: true });
  const { first, second } = calls(r, 1);
  const inside = new Call(r, { link: 'dmz', client: DMZ_HOST, to: WAN1 });
  inside.open();
  r.router.setUplinkHealth(0, false);
  const sent = r.run();
  assert.equal(resets(sent).map((text) => text.split(' ')[0]), ['lan', 'lan'], 'who is inside is told; the world cannot be');
  assert.is(r.flowCount, 1);
  inside.say('PA', 5);
  assert.ok(first[0].server !== second[0].server && inside.toServer !== null);
  assert.equal([realServer(r, PC1), realServer(r, PC2)].map(({ flows }) => flows).sort(), [0, 1]);
});

test('a check’s weight', () => {
  const r = lab();
  r.router.setServerHealth(0, true, null, 5);
  assert.is(realServer(r, PC1).weight, 5);
  r.router.setServerHealth(0, false, 'exit code 1');
  r.router.setServerHealth(0, true, null, 3);
  assert.equal([realServer(r, PC1).weight, realServer(r, PC1).isUsable], [3, true]);
});

test.run();

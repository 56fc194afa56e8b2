/** Persistence on the path: who comes back to which server, for how long, and when not. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PERSISTENCE_ENTRIES, PERSISTENCE_EVICTED, PERSISTENCE_REFUSED, VIRTUAL_RETURNED } from '../../src/table/counters.js';
import * as make from '../support/frames.js';
import { DMZ_HOST, PC1, PC2, rig, WAN1 } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';
import { Call, servers } from '../support/servers.js';
import type { ServerWant } from '../support/servers.js';

const UDP = make.PROTOCOL.udp, TCP = make.PROTOCOL.tcp;
const three = [{ address: PC1 }, { address: PC2 }, { address: DMZ_HOST }];

function lab(want: Partial<ServerWant> = {}, options: RigOptions = {}): Rig {
  return rig({ ...options, dmz: true, plan: servers({ addresses: WAN1, realServers: three, persistence: { timeout: 60, mask: 32 }, ...want }) });
}

let next = 1024;

/** The server a new flow of a client goes to, without its port. It is left open. */
function ask(r: Rig, client: string, want: Partial<ConstructorParameters<typeof Call>[1]> = {}): { server: string; call: Call } {
  const call = new Call(r, { to: WAN1, client, port: next++, ...want });
  call.open();
  return { server: call.server.split(':')[0], call };
}

const to = (r: Rig, client: string, want = {}): string => ask(r, client, want).server;

/** Open a flow and end it, so that it is gone. */
function visit(r: Rig, client: string): string {
  const { server, call } = ask(r, client);
  call.close();
  later(r, 125);
  return server;
}

function later(r: Rig, seconds: number): void {
  for (let left = seconds; left > 0; left -= 20) {
    r.advance(Math.min(left, 20) * 1000, 5000);
    r.teach();
  }
}

// conforms: vs-persistence
test('a client comes back to its server; others are scheduled', () => {
  const r = lab();
  const homes = ['198.51.100.1', '198.51.100.2', '198.51.100.3'].map((client) => [client, to(r, client)] as const);
  assert.is(new Set(homes.map(([, server]) => server)).size, 3);
  for (let i = 0; i < 5; i++) for (const [client, server] of homes) assert.is(to(r, client), server);
  assert.is(r.router.counters.virtualServer(0, VIRTUAL_RETURNED), 15);
  assert.is(r.router.counters.getRouter(PERSISTENCE_ENTRIES), 3);
});

test('by the network of the mask', () => {
  const r = lab({ persistence: { timeout: 60, mask: 24 } });
  const home = to(r, '198.51.100.1');
  assert.is(to(r, '198.51.100.254'), home);
  assert.is.not(to(r, '198.51.101.1'), home);
});

// conforms: vs-persistence
test('for as long as it has a flow, and for the timeout after the last one', () => {
  const r = lab();
  const { server, call } = ask(r, '198.51.100.1');
  later(r, 600);
  call.say('A');
  assert.is(to(r, '198.51.100.1'), server, 'ten minutes with a flow open');
  const s = lab({ persistence: { timeout: 300, mask: 32 } });
  const home = visit(s, '198.51.100.1');
  later(s, 200);
  assert.is(visit(s, '198.51.100.1'), home);
  assert.is(s.router.counters.getRouter(PERSISTENCE_ENTRIES), 1);
  later(s, 320);
  assert.is(s.router.counters.getRouter(PERSISTENCE_ENTRIES), 0);
  assert.is.not(to(s, '198.51.100.1'), home, 'round robin has gone on');
});

// conforms: vs-persistence
test('never to one that is dead, drained, full or without a weight; it stays with the one it gets instead', () => {
  for (const leave of [
    (r: Rig, i: number) => r.router.setServerHealth(i, false), (r: Rig, i: number) => r.router.setServerDrained(i, true, false), (r: Rig, i: number) => r.router.setServerWeight(i, 0),
  ]) {
    const r = lab();
    const home = to(r, '198.51.100.1');
    const index = three.findIndex(({ address }) => address === home);
    leave(r, index);
    const second = to(r, '198.51.100.1');
    assert.is.not(second, home);
    for (let i = 0; i < 4; i++) assert.is(to(r, '198.51.100.1'), second);
    r.router.setServerHealth(index, true);
    r.router.setServerDrained(index, false, false);
    r.router.setServerWeight(index, 1);
    assert.is(to(r, '198.51.100.1'), second);
  }
  const r = lab({ realServers: three.map((one) => ({ ...one, upper: 2, lower: 1 })) });
  const asked = [1, 2, 3].map(() => to(r, '198.51.100.1'));
  assert.is(asked[0], asked[1]);
  assert.is.not(asked[2], asked[0]);
});

// conforms: vs-persistence
test('several ports tied together, each with a pool of its own', () => {
  const persistence = { timeout: 60, mask: 32, tie: 'shop' };
  const r = rig({
    dmz: true,
    plan: servers(
      { addresses: WAN1, persistence, realServers: three.map((one) => ({ ...one, port: 80 })) },
      { addresses: WAN1, persistence, ports: { first: 443, last: 443 }, realServers: [...three].reverse().map((one) => ({ ...one, port: 8443 })) },
      { addresses: WAN1, persistence: { timeout: 60, mask: 32 }, ports: { first: 81, last: 81 }, realServers: three }),
  });
  for (let i = 1; i <= 6; i++) {
    const client = `198.51.100.${i}`;
    const home = to(r, client);
    assert.is(to(r, client, { toPort: 443 }), home);
  }
  const homes = Array.from({ length: 6 }, (_, i) => [to(r, `198.51.101.${i}`), to(r, `198.51.101.${i}`, { toPort: 81 })]);
  assert.is(homes.some(([a, b]) => a !== b) || new Set(homes.map(([, b]) => b)).size === 3, true, 'one that is not tied is scheduled by itself');
  assert.is(r.router.counters.getRouter(PERSISTENCE_ENTRIES), 18);
});

test('TCP and UDP of one virtual server come to the same server', () => {
  const r = lab({ protocols: [TCP, UDP] });
  const home = to(r, '198.51.100.1');
  assert.is(to(r, '198.51.100.1', { protocol: 'udp' }), home);
});

test('full of clients with flows: the next is served and not remembered; an idle one makes room', () => {
  const r = lab({}, { limits: { affinity: 2 } });
  const a = ask(r, '198.51.100.1'), b = ask(r, '198.51.100.2');
  to(r, '198.51.100.3');
  const read = (counter: number): number => {
    r.run();
    return r.router.counters.getRouter(counter);
  };
  assert.equal([read(PERSISTENCE_ENTRIES), read(PERSISTENCE_REFUSED), read(PERSISTENCE_EVICTED)], [2, 1, 0]);
  assert.is(to(r, '198.51.100.2'), b.server);
  a.call.close();
  later(r, 125);
  const c = to(r, '198.51.100.4');
  assert.equal([read(PERSISTENCE_ENTRIES), read(PERSISTENCE_EVICTED)], [2, 1], 'the idle one, before its end');
  assert.is(to(r, '198.51.100.4'), c);
});

test('the sorry server is nobody’s home, and an erased client is scheduled anew', () => {
  const r = lab({ sorry: { address: '192.168.0.77' } });
  for (let i = 0; i < 3; i++) r.router.setServerHealth(i, false);
  const call = new Call(r, { to: WAN1, client: '198.51.100.1', port: 1 });
  r.put('wan1', r.frame('wan1', call.packet()));
  r.run();
  assert.is(r.router.virtualServers.persistence.count, 0);
  for (let i = 0; i < 3; i++) r.router.setServerHealth(i, true);
  const home = to(r, '198.51.100.1');
  assert.is(r.router.virtualServers.persistence.erase(null), 1);
  assert.is.not(to(r, '198.51.100.1'), home);
});

test('what a flow that is refused on the way leaves behind: nothing', () => {
  const r = rig({ plan: { ...servers({ addresses: WAN1, realServers: [{ address: PC1 }], persistence: { timeout: 60, mask: 32 } }), filters: [{ index: 0, name: 'no', match: { to: [`${PC1}/32`] }, action: 'drop' }] } });
  r.refused('FILTER_DROP', 'wan1', new Call(r, { to: WAN1 }).packet());
  assert.is(r.router.virtualServers.persistence.count, 0);
});

test.run();

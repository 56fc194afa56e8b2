/** The test of the split: its arithmetic against known values, and real connections to a real server with a view that says where they went. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chiSquare, chiSquareTail } from '../../src/cli/chi-square.js';
import type { SplitResult } from '../../src/cli/split-test.js';
import { parseTarget } from '../../src/cli/split-test.js';
import type { FlowStatus } from '../../src/control/api/types.js';
import { withApi } from '../support/api.js';
import { golden, weir } from '../support/cli.js';
import type { FakeView } from '../support/fake-view.js';
import { fakeFlow } from '../support/fake-view.js';

const near = (actual: number, expected: number, tolerance: number): void => assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected}`);

test('the tail of chi-square at the critical values of any table of them', () => {
  const rows: [degrees: number, probability: number, statistic: number][] = [
    [1, 0.05, 3.841459], [1, 0.001, 10.827566], [2, 0.05, 5.991465], [2, 0.001, 13.815511], [3, 0.95, 0.351846], [3, 0.001, 16.266236],
    [5, 0.5, 4.351460], [10, 0.01, 23.209251], [30, 0.05, 43.772972], [100, 0.05, 124.342113],
  ];
  for (const [degrees, probability, statistic] of rows) near(chiSquareTail(statistic, degrees), probability, probability * 1e-4);
  assert.is(chiSquareTail(0, 3), 1);
  assert.is(chiSquareTail(5, 0), 1);
  assert.is(chiSquareTail(Infinity, 3), 0);
});

test('with two degrees of freedom the tail is exp(-x/2); it falls and lies between 0 and 1', () => {
  fc.assert(fc.property(fc.double({ min: 1e-6, max: 500, noNaN: true }), (x) => near(chiSquareTail(x, 2), Math.exp(-x / 2), 1e-10)));
  fc.assert(fc.property(fc.double({ min: 0, max: 2000, noNaN: true }), fc.integer({ min: 1, max: 64 }), fc.double({ min: 0, max: 50, noNaN: true }), (x, degrees, more) => {
    const p = chiSquareTail(x, degrees);
    assert.ok(p >= 0 && p <= 1 + 1e-12, String(p));
    assert.ok(chiSquareTail(x + more, degrees) <= p + 1e-9);
  }));
});

test('counts against weights: Mendel\'s peas, a perfect split, one that cannot be chance', () => {
  // 315 : 108 : 101 : 32 against 9 : 3 : 3 : 1.
  const peas = chiSquare([315, 108, 101, 32], [9, 3, 3, 1]);
  near(peas.statistic, 0.470024, 1e-6);
  assert.is(peas.degreesOfFreedom, 3);
  near(peas.pValue, 0.925426, 1e-5);
  assert.equal(chiSquare([300, 100], [3, 1]), { statistic: 0, degreesOfFreedom: 1, pValue: 1 });
  assert.ok(chiSquare([200, 200], [3, 1]).pValue < 1e-20);
  assert.is(chiSquare([399, 1], [1, 0]).pValue, 0, 'what takes nothing took one');
  assert.equal(chiSquare([0, 0], [3, 1]), { statistic: 0, degreesOfFreedom: 0, pValue: 1 });
});

test('where to', () => {
  assert.equal(parseTarget('192.0.2.1:443'), { host: '192.0.2.1', port: 443 });
  assert.equal(parseTarget('a-b.example_c.net:1'), { host: 'a-b.example_c.net', port: 1 });
  for (const text of ['', 'a', 'a:', ':80', 'a:0', 'a:65536', 'a:8o', '[::1]:80', 'http://a:80', 'a:80/']) assert.is(parseTarget(text), null, text);
});

/** Ports of this box's connections to a port of the loopback, as the kernel lists them: what has just been accepted nobody has told us of yet. */
function connectedFrom(port: number): number[] {
  return readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1).map((line) => line.trim().split(/\s+/))
    .filter(([, , remote, state]) => state === '01' && remote === `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`)
    .map(([, local]) => Number.parseInt(local.split(':')[1], 16));
}

/** A server on the loopback, and a view that says of the i-th connection to it that it went by `choose(i)`. */
async function withServer(choose: (i: number) => string | null, body: (to: string, socket: string, view: FakeView, most: () => number) => Promise<void>): Promise<void> {
  const flows = new Map<number, FlowStatus[]>();
  const peers = new Set<Socket>();
  let most = 0;
  const server: Server = createServer((peer) => {
    peers.add(peer);
    peer.on('error', () => undefined).on('close', () => { peers.delete(peer); }).resume();
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const { port } = server.address() as AddressInfo;
  const look = (): void => {
    const ports = connectedFrom(port);
    most = Math.max(most, ports.length);
    for (const sourcePort of ports) {
      if (flows.has(sourcePort)) continue;
      const original = { source: '127.0.0.1', sourcePort, destination: '127.0.0.1', destinationPort: port };
      const uplink = choose(flows.size);
      flows.set(sourcePort, [
        ...(uplink === null ? [] : [{ ...fakeFlow(0), original, uplink }]),
        // Of the same port to somebody else: not ours.
        { ...fakeFlow(0), original: { ...original, destination: '127.0.0.2' }, uplink: 'isp2' },
      ]);
    }
  };
  try {
    await withApi({}, async ({ socket, view }) => {
      // Pages of seven.
      view.flows = (_filter, cursor) => {
        if (cursor === 0) look();
        const all = [...flows.values()].flat();
        return { schemaVersion: 1, flows: all.slice(cursor, cursor + 7), nextCursor: cursor + 7 < all.length ? cursor + 7 : null, total: all.length, limit: 1000 };
      };
      await body(`127.0.0.1:${port}`, socket, view, () => most);
    });
  } finally {
    for (const peer of peers) peer.destroy();
    await new Promise((resolve) => { server.close(resolve); });
  }
}

const withoutPort = (text: string): string => text.replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT');

test('a split that follows the weights is proven, in batches', async () => {
  await withServer((i) => (i % 4 === 3 ? 'isp2' : 'isp1'), async (to, socket, _view, most) => {
    const { exitCode, out, err } = await weir(['uplinks', '--test', '--to', to, '--flows', '230', '--socket', socket]);
    assert.equal([exitCode, err], [0, '']);
    assert.ok(most() <= 100, `${most()} at once`);
    golden('split-fair.txt', withoutPort(out));
    const json = JSON.parse((await weir(['uplinks', '--test', '-j', '--to', to, '--flows', '40', '--group', 'internet', '--socket', socket])).out) as SplitResult;
    assert.equal([json.schemaVersion, json.flows, json.group, json.isFair, json.unseen, json.failed], [1, 40, 'internet', true, 0, []]);
    assert.is(json.uplinks.reduce((sum, row) => sum + row.flows, 0), 40);
  });
});

test('one that does not is not, nor is one that uses an uplink that is to take nothing', async () => {
  await withServer((i) => (i % 2 === 0 ? 'isp2' : 'isp1'), async (to, socket, view) => {
    const unfair = await weir(['uplinks', '--test', '--to', to, '--socket', socket]);
    assert.is(unfair.exitCode, 1);
    golden('split-unfair.txt', withoutPort(unfair.out));
    view.drained.set(1, true);
    const drained = await weir(['uplinks', '--test', '--to', to, '--flows', '20', '--socket', socket]);
    assert.is(drained.exitCode, 1);
    assert.match(drained.out, /isp2 +0 +0\.0 % +50\.0 % +0\.0 +10\n/);
    assert.match(drained.out, /only one uplink shares the new flows of the group now, and not all of these left by it: .*--group/);
    assert.not.match(drained.out, /chi-square|no split to test|follow/);
  });
});

test('flows that do not pass by an uplink, or do not open at all, fail the test and are told', async () => {
  await withServer((i) => (i < 5 ? null : i % 4 === 3 ? 'isp2' : 'isp1'), async (to, socket) => {
    const outcome = await weir(['uplinks', '--test', '--to', to, '--flows', '85', '--socket', socket]);
    assert.is(outcome.exitCode, 1);
    assert.match(outcome.out, /5 flows did not leave by an uplink: does this box reach 127\.0\.0\.1:\d+ through weir/);
  });
  const closed = createServer();
  await new Promise<void>((resolve) => { closed.listen(0, '127.0.0.1', resolve); });
  const { port } = closed.address() as AddressInfo;
  await new Promise((resolve) => { closed.close(resolve); });
  await withApi({}, async ({ socket, view }) => {
    const outcome = await weir(['uplinks', '--test', '--to', `localhost:${port}`, '--flows', '3', '--socket', socket]);
    assert.is(outcome.exitCode, 1);
    assert.match(outcome.out, /3 flows could not be opened: ECONNREFUSED/);
    const group = await weir(['uplinks', '--test', '--to', '127.0.0.1:1', '--group', 'lan', '--socket', socket]);
    assert.equal([group.exitCode, group.err], [2, 'weir: there is no group \'lan\'; there is: internet\n']);
    const links = view.links.bind(view);
    view.links = () => links().filter((link) => link.type !== 'tun');
    const none = await weir(['uplinks', '--test', '--to', '127.0.0.1:1', '--socket', socket]);
    assert.is(none.exitCode, 69);
    assert.match(none.err, /needs a link to this box \(type tun\)/);
  });
});

test('few flows, and a group of one: the test says what it cannot say', async () => {
  await withServer(() => 'isp1', async (to, socket, view) => {
    const few = await weir(['uplinks', '--test', '--to', to, '--flows', '4', '--socket', socket]);
    assert.match(few.out, /fewer than 5 flows are expected on an uplink, which says little: give --flows 20 or more/);
    view.drained.set(1, true);
    const one = await weir(['uplinks', '--test', '--to', to, '--flows', '20', '--socket', socket]);
    assert.is(one.exitCode, 0);
    assert.match(one.out, /only one uplink shares the new flows of the group now: there is no split to test\n$/);
  });
});

test.run();

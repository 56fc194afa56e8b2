/** Virtual servers on the path: who is asked for, which server it is given to, what both ends see, and what is said when nobody takes it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  SERVER_ACTIVE, SERVER_IN_BYTES, SERVER_IN_PACKETS, SERVER_INACTIVE, SERVER_NEW, SERVER_OUT_PACKETS, UPLINK_FLOWS, UPLINK_RX_PACKETS, VIRTUAL_REFUSED,
} from '../../src/table/counters.js';
import { arp, echo, ethernet, expect, icmpError, ipv4, tcp, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, DMZ_HOST, LAN, MAC, PC1, PC2, rig, SERVER, WAN1, WAN2 } from '../support/rig.js';
import type { Rig } from '../support/rig.js';
import { Call, origin, realServer, servers, towards } from '../support/servers.js';

const TCP = make.PROTOCOL.tcp, UDP = make.PROTOCOL.udp;
const CLIENT = '198.51.100.77';
/** In wan1's network, nobody else's; and in nobody's. */
const VIRTUAL = '192.168.201.80';
const ROUTED = '203.0.113.80';

const two = [{ address: PC1, port: 80 }, { address: PC2, port: 8000 }];
const counts = (r: Rig, address: string): { active: number; inactive: number } => {
  const { active, inactive, index } = realServer(r, address);
  assert.equal([r.router.counters.server(index, SERVER_ACTIVE), r.router.counters.server(index, SERVER_INACTIVE)], [active, inactive], 'what the view reads');
  return { active, inactive };
};

// conforms: vs-rewriting
test('the page’s packet rewriting example, byte for byte', () => {
  // Virtual server via NAT: 202.100.1.2:3456 → 202.103.106.5:80 → 172.16.0.3:8000, and back.
  const r = rig({
    link: { wan1: { addresses: [{ address: '202.103.106.5', prefixLength: 24 }] }, lan: { addresses: [{ address: '172.16.0.1', prefixLength: 24 }] } },
    uplink: { gateway: '202.103.106.1', snat: ['202.103.106.5'] }, weights: [1, 0], neighbours: false,
    plan: servers({ addresses: '202.103.106.5', scheduler: 'wlc', realServers: [{ address: '172.16.0.2', port: 80, weight: 1 }, { address: '172.16.0.3', port: 8000, weight: 2 }] }),
  });
  for (const [link, address, mac] of [['lan', '172.16.0.2', MAC.pc1], ['lan', '172.16.0.3', MAC.pc2], ['wan1', '202.103.106.1', MAC.gateway1]] as const) {
    for (let i = 0; i < 2; i++) r.put(link, r.arpReply(link, address, mac));
    r.put(link, r.arpRequest(address, mac, r.addressOf(link)));
  }
  r.run();
  // The stronger server's turn: wlc has begun with the first.
  assert.is(new Call(r, { to: '202.103.106.5', port: 5000 }).open(), '172.16.0.2:80');
  const payload = make.filler(33);
  const segment = (source: string, destination: string, sourcePort: number, destinationPort: number, ttl: number, flags: string, body: Buffer): Buffer =>
    make.ipv4({ source, destination, ttl, id: 0x4321, dontFragment: true }, make.tcp({
      sourcePort, destinationPort, flags, sequence: flags === 'S' ? 999 : 1000, ...(flags === 'S' ? {} : { acknowledgement: 5000 }), payload: body,
    }));
  const [there] = r.from('wan1', segment('202.100.1.2', '202.103.106.5', 3456, 80, 64, 'S', Buffer.alloc(0)));
  assert.is(there.link, 'lan');
  assert.is(there.packet.toString('hex'), segment('202.100.1.2', '172.16.0.3', 3456, 8000, 63, 'S', Buffer.alloc(0)).toString('hex'));
  expect(there.frame, ethernet({ source: MAC.lan, destination: MAC.pc2 }), ipv4(), tcp());
  const reply = (source: string, sourcePort: number, ttl: number, flags: string, body: Buffer): Buffer =>
    make.ipv4({ source, destination: '202.100.1.2', ttl, id: 7, dontFragment: true }, make.tcp({
      sourcePort, destinationPort: 3456, flags, sequence: flags === 'SA' ? 4999 : 5000, acknowledgement: 1000, payload: body,
    }));
  for (const [flags, body] of [['SA', Buffer.alloc(0)], ['PA', payload]] as const) {
    const [back] = r.from('lan', reply('172.16.0.3', 8000, 64, flags, body));
    assert.is(back.link, 'wan1');
    assert.is(back.packet.toString('hex'), reply('202.103.106.5', 80, 63, flags, body).toString('hex'));
  }
  const [data] = r.from('wan1', segment('202.100.1.2', '202.103.106.5', 3456, 80, 64, 'PA', payload));
  assert.is(data.packet.toString('hex'), segment('202.100.1.2', '172.16.0.3', 3456, 8000, 63, 'PA', payload).toString('hex'));
});

// conforms: vs-known-flows
test('a real server’s own traffic takes the normal translation, and what comes to no flow of the virtual server stays out', () => {
  const r = rig({ plan: servers({ addresses: VIRTUAL, realServers: [{ address: PC1, port: 80 }] }), weights: [1, 0] });
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 80, destinationPort: 7000 })));
  expect(out.frame, ethernet(), ipv4({ source: WAN1, destination: SERVER }), tcp({ destinationPort: 7000 }));
  // Late words of a flow nobody knows are not dressed up as the virtual server's.
  const [late] = r.from('lan', make.ipv4({ source: PC1, destination: CLIENT }, make.tcp({ sourcePort: 80, destinationPort: 40_000, flags: 'PA', payload: make.filler(9) })));
  assert.is(late.link, 'lan');
  expect(late.frame, ethernet(), ipv4({ source: CLIENT, destination: PC1 }), tcp({ flags: 'R' }));
});

test('the virtual address is claimed on the link whose network has it, and on no other', () => {
  const r = rig({ plan: servers({ addresses: [VIRTUAL, ROUTED], realServers: two }), dmz: true });
  for (const [link, target, isAnswered] of [['wan1', VIRTUAL, true], ['wan1', ROUTED, false], ['lan', VIRTUAL, false], ['lan', ROUTED, false]] as const) {
    const [sender, mac] = link === 'lan' ? [PC1, MAC.pc1] : ['192.168.201.1', MAC.gateway1];
    r.put(link, r.arpRequest(sender, mac, target));
    const sent = r.run().filter(({ isArp }) => isArp);
    assert.is(sent.length, isAnswered ? 1 : 0, `${target} on ${link}`);
    if (isAnswered) expect(sent[0].frame, ethernet({ destination: mac }), arp({ operation: 'reply', sender: target, senderMac: MAC.wan1, target: sender }));
  }
});

test('a virtual address that is a link\u2019s own is answered for by that link alone, though another is on its wire', () => {
  const r = rig({ plan: servers({ addresses: WAN1, realServers: two }) });
  for (const [link, mac, isAnswered] of [['wan1', MAC.gateway1, true], ['wan2', MAC.gateway2, false]] as const) {
    r.put(link, r.arpRequest('192.168.201.1', mac, WAN1));
    assert.is(r.run().filter(({ isArp }) => isArp).length, isAnswered ? 1 : 0, link);
  }
});

for (const to of [WAN1, VIRTUAL, ROUTED, LAN, '192.168.0.80']) {
  test(`${to} from outside, from inside and from the box`, () => {
    const r = rig({ plan: servers({ addresses: to, realServers: two }), host: true, dmz: true });
    for (const [link, client] of [['wan1', CLIENT], ['wan2', '198.51.100.78'], ['dmz', DMZ_HOST], ['host', BOX]] as const) {
      const call = new Call(r, { link, client, to });
      const server = call.open();
      assert.ok(['192.168.0.4:80', '192.168.0.5:8000'].includes(server), `${link}: ${server}`);
      assert.is(origin(call.toServer!), `${client}:40000`, 'the server sees its client');
      assert.is(call.toClient!.link, link);
      assert.is(origin(call.toClient!), `${to}:80`);
    }
    assert.is(r.flowCount, 4);
    assert.equal([counts(r, PC1), counts(r, PC2)], [{ active: 2, inactive: 0 }, { active: 2, inactive: 0 }]);
  });
}

test('what else is sent to a link’s own address stays the router’s and the box’s', () => {
  const r = rig({ plan: servers({ addresses: WAN1, realServers: two }), host: true });
  const [ssh] = r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.tcp({ sourcePort: 1, destinationPort: 22 })));
  assert.equal([ssh.link, towards(ssh)], ['host', `${WAN1}:22`]);
  const [pong] = r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.echoRequest({ id: 1, sequence: 1 })));
  expect(pong.frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), echo({ type: 'reply' }));
  // The same port of another protocol, and another address of the router.
  assert.is(r.from('wan1', make.ipv4({ source: CLIENT, destination: WAN1 }, make.udp({ sourcePort: 1, destinationPort: 80 })))[0].link, 'host');
  assert.is(r.from('wan2', make.ipv4({ source: CLIENT, destination: WAN2 }, make.tcp({ sourcePort: 1, destinationPort: 80 })))[0].link, 'host');
});

test('of an address that is nothing but virtual the router answers echoes, refuses the rest at once, and the box hears nothing', () => {
  const r = rig({ plan: servers({ addresses: [VIRTUAL, ROUTED], realServers: two }), host: true });
  for (const to of [VIRTUAL, ROUTED]) {
    const [pong] = r.from('wan1', make.ipv4({ source: CLIENT, destination: to }, make.echoRequest({ id: 1, sequence: 1 })));
    expect(pong.frame, ethernet(), ipv4({ source: to, destination: CLIENT }), echo({ type: 'reply' }));
    const [reset] = r.refused('PORT_CLOSED', 'wan1', new Call(r, { to, toPort: 81 }).packet());
    expect(reset.frame, ethernet(), ipv4({ source: to, destination: CLIENT }), tcp({ flags: 'RA', sourcePort: 81 }));
    const datagram = new Call(r, { to, protocol: 'udp' }).packet();
    const [error] = r.refused('PORT_CLOSED', 'wan1', datagram);
    expect(error.frame, ethernet(), ipv4({ source: WAN1 }), icmpError({ type: 3, code: 3 }));
  }
});

test('ports: one port to another, a range to the same or to one that begins elsewhere, all ports, and the narrower first', () => {
  const ranges = servers(
    { addresses: VIRTUAL, protocols: [TCP, UDP], ports: { first: 0, last: 65_535 }, realServers: [{ address: DMZ_HOST }] },
    { addresses: VIRTUAL, protocols: [TCP], ports: { first: 80, last: 80 }, realServers: [{ address: PC1, port: 8080 }] },
    { addresses: VIRTUAL, protocols: [UDP], ports: { first: 5000, last: 5009 }, realServers: [{ address: PC1 }] },
    { addresses: VIRTUAL, protocols: [TCP], ports: { first: 6000, last: 6009 }, realServers: [{ address: PC1, port: 9000 }] },
  );
  const r = rig({ plan: ranges, dmz: true });
  const to = (toPort: number, protocol: 'tcp' | 'udp' = 'tcp'): string => new Call(r, { to: VIRTUAL, toPort, protocol }).open();
  assert.is(to(80), `${PC1}:8080`);
  assert.is(to(80, 'udp'), `${DMZ_HOST}:80`);
  assert.is(to(5000, 'udp'), `${PC1}:5000`);
  assert.is(to(5009, 'udp'), `${PC1}:5009`);
  assert.is(to(5010, 'udp'), `${DMZ_HOST}:5010`);
  assert.is(to(6000), `${PC1}:9000`);
  assert.is(to(6009), `${PC1}:9009`);
  assert.is(to(5999), `${DMZ_HOST}:5999`);
  assert.is(to(65_535), `${DMZ_HOST}:65535`);
});

test('what an ALG or a flow expects goes before a virtual server, a virtual server before port forwards and mappings', () => {
  const both = servers({ addresses: WAN1, ports: { first: 8080, last: 8081 }, realServers: [{ address: PC2 }] });
  const forward = { index: 0, name: 'f', uplink: 0, addresses: [WAN1], protocols: [TCP], ports: { first: 8081, last: 8082 }, to: PC1, toPort: 8081 };
  const r = rig({ plan: { ...both, portForwards: [forward] }, weights: [1, 0] });
  assert.equal([8081, 8082].map((toPort) => new Call(r, { to: WAN1, toPort }).open()), [`${PC2}:8081`, `${PC1}:8082`]);
  // A mapping with the virtual server's port: its answers are its own, what is new is the virtual server's.
  const [out] = r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: 8080, destinationPort: 443 })));
  expect(out.frame, ethernet(), ipv4({ source: WAN1 }), tcp({ sourcePort: 8080 }));
  const [back] = r.from('wan1', make.ipv4({ source: SERVER, destination: WAN1 }, make.tcp({ sourcePort: 443, destinationPort: 8080, flags: 'SA', acknowledgement: 1001 })));
  assert.is(towards(back), `${PC1}:8080`);
  assert.is(new Call(r, { to: WAN1, toPort: 8080, client: SERVER }).open(), `${PC2}:8080`);
});

test('active and inactive flows, packets and bytes are counted for each server', () => {
  const r = rig({ plan: servers({ addresses: WAN1, realServers: [{ address: PC1 }] }) });
  const call = new Call(r, { to: WAN1 });
  call.say();
  assert.equal(counts(r, PC1), { active: 0, inactive: 1 });
  call.answer();
  assert.equal(counts(r, PC1), { active: 0, inactive: 1 });
  call.say('A');
  assert.equal(counts(r, PC1), { active: 1, inactive: 0 });
  call.say('PA', 100);
  call.answer('A');
  const { counters } = r.router;
  assert.equal([SERVER_NEW, SERVER_IN_PACKETS, SERVER_IN_BYTES, SERVER_OUT_PACKETS].map((counter) => counters.server(0, counter)), [1, 3, 220, 2]);
  assert.is(counters.uplink(0, UPLINK_FLOWS), 1);
  call.say('FA');
  assert.equal(counts(r, PC1), { active: 0, inactive: 1 });
  call.answer('FA');
  call.say('A');
  assert.equal(counts(r, PC1), { active: 0, inactive: 1 });
  later(r, 125);
  assert.equal([counts(r, PC1), r.flowCount], [{ active: 0, inactive: 0 }, 0]);
  const datagram = new Call(r, { to: WAN1, protocol: 'udp' });
  datagram.say();
  assert.equal(counts(r, PC1), { active: 0, inactive: 0 }, 'not UDP’s port');
});

test('flows refused on the way count for nobody', () => {
  const r = rig({ plan: { ...servers({ addresses: WAN1, realServers: [{ address: PC1 }] }), filters: [{ index: 0, name: 'no', match: { to: [`${PC1}/32`] }, action: 'drop' }] } });
  r.refused('FILTER_DROP', 'wan1', new Call(r, { to: WAN1 }).packet());
  assert.equal(counts(r, PC1), { active: 0, inactive: 0 });
  assert.is(r.router.counters.server(0, SERVER_NEW), 0);
});

// conforms: vs-thresholds
test('upper and lower thresholds: full at the one, open again at the other; refused in between', () => {
  const r = rig({ plan: servers({ addresses: WAN1, realServers: [{ address: PC1, upper: 4, lower: 2 }] }), limits: { icmpErrorsPerDestination: 1000 } });
  const calls = Array.from({ length: 4 }, (_, i) => new Call(r, { to: WAN1, port: 5000 + i }));
  for (const call of calls) assert.is(call.open(), `${PC1}:80`);
  const late = new Call(r, { to: WAN1, port: 6000 });
  r.refused('NO_SERVER', 'wan1', late.packet());
  const end = (call: Call): void => {
    call.close();
    later(r, 125);
  };
  end(calls[0]);
  assert.equal(counts(r, PC1), { active: 3, inactive: 0 });
  r.refused('NO_SERVER', 'wan1', late.packet());
  end(calls[1]);
  assert.is(late.open(), `${PC1}:80`);
});

// conforms: vs-nobody
test('nobody takes it: a reset or a port unreachable at once, from the virtual address, and however many ask', () => {
  const plan = servers({ addresses: [WAN1, VIRTUAL, ROUTED], protocols: [TCP, UDP], realServers: two });
  const r = rig({ plan, limits: { icmpErrorsPerSecond: 5, icmpErrorsPerDestination: 5 }, dmz: true });
  for (const [index, why] of [[0, 'a'], [1, 'b']] as const) r.router.setServerHealth(index, false, why);
  for (const to of [WAN1, VIRTUAL, ROUTED]) {
    for (let i = 0; i < 20; i++) {
      const call = new Call(r, { to, port: 5000 + i });
      const [reset] = r.refused('NO_SERVER', 'wan1', call.packet());
      expect(reset.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: to, destination: CLIENT }), tcp({ sourcePort: 80, destinationPort: 5000 + i, flags: 'RA', acknowledgement: 1001 }));
    }
  }
  r.advance(2000);
  const datagram = new Call(r, { to: VIRTUAL, protocol: 'udp' }).packet();
  const [error] = r.refused('NO_SERVER', 'wan1', datagram);
  expect(error.frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 3, code: 3 }), ipv4({ destination: VIRTUAL, ttl: 64 }), udp({ destinationPort: 80 }));
  assert.is(r.router.counters.virtualServer(0, VIRTUAL_REFUSED), 61);
  assert.is(r.flowCount, 0);
  // From inside as well.
  const [inside] = r.refused('NO_SERVER', 'dmz', new Call(r, { to: VIRTUAL, client: DMZ_HOST }).packet());
  expect(inside.frame, ethernet({ destination: MAC.dmzHost }), ipv4({ source: VIRTUAL, destination: DMZ_HOST }), tcp({ flags: 'RA' }));
});

// conforms: vs-nobody
test('the sorry server takes what nobody else does, and gives it back', () => {
  const r = rig({ plan: servers({ addresses: WAN1, realServers: [{ address: PC1 }], sorry: { address: PC2, port: 8888 } }) });
  assert.is(new Call(r, { to: WAN1, port: 1 }).open(), `${PC1}:80`);
  r.router.setServerHealth(0, false);
  const sorry = new Call(r, { to: WAN1, port: 2 });
  assert.is(sorry.open(), `${PC2}:8888`);
  r.router.setServerHealth(0, true);
  assert.is(new Call(r, { to: WAN1, port: 3 }).open(), `${PC1}:80`);
  sorry.say('PA', 10);
  assert.is(sorry.server, `${PC2}:8888`, 'who is there stays');
});

// conforms: vs-quorum
test('a quorum, with hysteresis, told of', () => {
  const r = rig({ plan: servers({ addresses: WAN1, quorum: { weight: 2, hysteresis: 1 }, realServers: [{ address: PC1 }, { address: PC2 }, { address: DMZ_HOST }] }), dmz: true });
  const asked = (port: number): string => new Call(r, { to: WAN1, port }).open();
  const state = (): unknown[] => r.notices.filter((notice) => notice.event === 'virtualServer').map(({ isUp, weight }) => [isUp, weight]);
  r.router.setServerHealth(0, false);
  assert.is.not(asked(1), 'nowhere');
  r.router.setServerHealth(1, false);
  assert.is(destinationOf(r, 2), 'nowhere', 'a weight of 1 of 2');
  r.router.setServerHealth(0, true);
  assert.is(destinationOf(r, 3), 'nowhere', '2 of 2 + 1');
  r.router.setServerHealth(1, true);
  assert.is.not(asked(4), 'nowhere');
  assert.equal(state(), [[false, 1], [true, 3]]);
});

/** Time passes in which every neighbour goes on answering. */
function later(r: Rig, seconds: number): void {
  for (let left = seconds; left > 0; left -= 20) {
    r.advance(Math.min(left, 20) * 1000, 5000);
    r.teach();
  }
}

/** Where a SYN goes. */
function destinationOf(r: Rig, port: number): string {
  const call = new Call(r, { to: WAN1, port });
  const [sent] = call.say();
  return sent.link === 'wan1' ? 'nowhere' : towards(sent);
}

// conforms: vs-drain
test('weight 0 and draining: no new flows, the old ones go on', () => {
  const r = rig({ plan: servers({ addresses: WAN1, scheduler: 'wrr', realServers: two }) });
  const old = [1, 2].map((port) => new Call(r, { to: WAN1, port }));
  for (const call of old) call.open();
  const on2 = old.find((call) => call.server === `${PC2}:8000`)!;
  r.router.setServerWeight(1, 0);
  for (let port = 10; port < 20; port++) assert.is(new Call(r, { to: WAN1, port }).open(), `${PC1}:80`);
  r.router.setServerWeight(1, 1);
  r.router.setServerDrained(0, true, false);
  for (let port = 20; port < 30; port++) assert.is(new Call(r, { to: WAN1, port }).open(), `${PC2}:8000`);
  on2.say('PA', 5);
  assert.is(on2.server, `${PC2}:8000`);
  r.router.setServerDrained(0, false, false);
  assert.equal(new Set([30, 31, 32, 33].map((port) => new Call(r, { to: WAN1, port }).open())).size, 2);
  assert.equal(r.notices.filter((notice) => notice.event === 'server').map(({ server, isUsable, reason }) => [server, isUsable, reason]),
    [[1, false, 'noWeight'], [1, true, null], [0, false, 'drained'], [0, true, null]]);
});

test('a SYN that uses the ports of a flow that is over again is scheduled again', () => {
  const r = rig({ plan: servers({ addresses: WAN1, realServers: two }) });
  const call = new Call(r, { to: WAN1 });
  const first = call.open();
  call.close();
  r.router.setServerDrained(first === `${PC1}:80` ? 0 : 1, true, false);
  const again = new Call(r, { to: WAN1 });
  const second = again.open();
  assert.is.not(second, first);
  assert.is(r.flowCount, 1);
  assert.equal([counts(r, PC1), counts(r, PC2)].map(({ active, inactive }) => active + inactive).sort(), [0, 1]);
});

test('slow start: sixteenths of its weight, one after the other', () => {
  const r = rig({ plan: servers({ addresses: WAN1, scheduler: 'wrr', slowStart: 16, realServers: [{ address: PC1, weight: 16 }, { address: PC2, weight: 16 }] }), limits: { flows: 4096 } });
  let port = 1;
  const share = (): number => Array.from({ length: 34 }, () => destinationOf(r, port++)).filter((to) => to === `${PC2}:80`).length;
  assert.is(share(), 17, 'nobody is slower at the start');
  r.router.setServerHealth(1, false);
  assert.is(share(), 0);
  r.router.setServerHealth(1, true);
  // 1 of 17, then 8 + 1 of 25, then all of it.
  assert.is(share(), 2);
  r.advance(8000, 1000);
  assert.is(Math.round(share() / 34 * 25), 9);
  r.advance(8000, 1000);
  assert.is(share(), 17);
});

// conforms: vs-one-packet
test('one packet at a time: each is scheduled, and every answer finds its way back', () => {
  const r = rig({ plan: servers({ addresses: WAN1, protocols: [UDP], ports: { first: 53, last: 53 }, onePacket: true, realServers: [{ address: PC1 }, { address: PC2, port: 5353 }] }) });
  const call = new Call(r, { to: WAN1, toPort: 53, protocol: 'udp' });
  const said = Array.from({ length: 6 }, (_, i) => call.say('', i + 1)[0]);
  assert.equal(said.map(towards), [0, 1, 2, 3, 4, 5].map((i) => (i % 2 === 0 ? towards(said[0]) : towards(said[1]))));
  assert.equal(new Set(said.map(towards)), new Set([`${PC1}:53`, `${PC2}:5353`]));
  assert.is(r.flowCount, 2, 'one for each server');
  // In any order.
  for (const sent of [said[3], said[0], said[5]]) {
    call.toServer = sent;
    const [back] = call.answer('', 4);
    expect(back.frame, ethernet({ destination: MAC.gateway1 }), ipv4({ source: WAN1, destination: CLIENT }), udp({ sourcePort: 53, destinationPort: 40_000 }));
  }
  const of = (index: number): number[] => [SERVER_NEW, SERVER_IN_PACKETS, SERVER_OUT_PACKETS].map((counter) => r.router.counters.server(index, counter));
  const first = towards(said[0]) === `${PC1}:53` ? 0 : 1;
  assert.equal([of(first), of(1 - first)], [[3, 3, 1], [3, 3, 2]]);
  assert.equal([counts(r, PC1), counts(r, PC2)], [{ active: 1, inactive: 0 }, { active: 1, inactive: 0 }]);
  later(r, 400);
  assert.equal([counts(r, PC1), counts(r, PC2), r.flowCount], [{ active: 0, inactive: 0 }, { active: 0, inactive: 0 }, 0]);
});

test('one packet at a time, and the table is full: who is known is served on, by whom it was', () => {
  const r = rig({ plan: servers({ addresses: WAN1, protocols: [UDP], onePacket: true, realServers: [{ address: PC1 }] }), limits: { flows: 4 } });
  const call = new Call(r, { to: WAN1, protocol: 'udp' });
  call.say();
  const { counters } = r.router;
  assert.is(counters.uplink(0, UPLINK_RX_PACKETS), 0, 'the first packet of a flow is not');
  call.say();
  call.say();
  assert.is(counters.uplink(0, UPLINK_RX_PACKETS), 2, 'packets come in by an uplink, whoever schedules them');
  for (let port = 1; port <= 3; port++) new Call(r, { to: WAN1, port, protocol: 'udp' }).say();
  assert.is(r.flowCount, 4);
  r.refused('TABLE_FULL', 'wan1', new Call(r, { to: WAN1, port: 4, protocol: 'udp' }).packet());
  for (let i = 0; i < 3; i++) assert.is(towards(call.say()[0]), `${PC1}:80`);
});

test('a client that uses one port towards two virtual servers of the same real one has both', () => {
  const r = rig({ plan: servers({ addresses: [WAN1, VIRTUAL], realServers: [{ address: PC1 }] }) });
  const calls = [WAN1, VIRTUAL].map((to) => new Call(r, { to }));
  for (const call of calls) call.open();
  assert.equal(calls.map(({ server }) => server), [`${PC1}:80`, `${PC1}:80`]);
  assert.is(origin(calls[0].toServer!), `${CLIENT}:40000`);
  assert.ok(origin(calls[1].toServer!).startsWith(`${CLIENT}:`) && origin(calls[1].toServer!) !== `${CLIENT}:40000`);
  assert.equal(calls.map((call) => [origin(call.toClient!), towards(call.toClient!)]), [WAN1, VIRTUAL].map((to) => [`${to}:80`, `${CLIENT}:40000`]));
});

test('TCP that no flow knows: never given to a server, answered as the plan says', () => {
  for (const [tcpMidstream, verdict] of [['reset', 'MIDSTREAM'], ['pickup', 'MIDSTREAM'], ['drop', 'MIDSTREAM_SILENT']] as const) {
    const r = rig({ plan: { ...servers({ addresses: WAN1, realServers: [{ address: PC1 }] }), tcpMidstream }, host: true });
    const sent = r.refused(verdict, 'wan1', new Call(r, { to: WAN1 }).packet('PA', 10));
    assert.is(sent.length, tcpMidstream === 'drop' ? 0 : 1);
    if (sent.length > 0) expect(sent[0].frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), tcp({ flags: 'R' }));
    assert.is(r.flowCount, 0);
  }
});

// conforms: vs-icmp
test('ICMP errors of both sides find their way, with the quote each knows', () => {
  const r = rig({ plan: servers({ addresses: WAN1, realServers: [{ address: PC2, port: 8000 }] }) });
  const call = new Call(r, { to: WAN1 });
  call.open();
  const quoted = call.toServer!.packet.subarray(0, 40);
  const [there] = r.from('lan', make.ipv4({ source: PC2, destination: CLIENT }, make.icmp({ type: 3, code: 4, word: 1400 }, quoted)));
  assert.is(there.link, 'wan1');
  expect(there.frame, ethernet(), ipv4({ source: WAN1, destination: CLIENT }), icmpError({ type: 3, code: 4, mtu: 1400 }), ipv4({ source: CLIENT, destination: WAN1 }), tcp({ sourcePort: 40_000, destinationPort: 80 }));
  const [back] = r.from('wan1', make.ipv4({ source: '198.51.100.1', destination: WAN1 }, make.icmp({ type: 11, code: 0 }, call.toClient!.packet.subarray(0, 40))));
  assert.is(back.link, 'lan');
  expect(back.frame, ethernet(), ipv4({ destination: PC2 }), icmpError({ type: 11, code: 0 }), ipv4({ source: PC2, destination: CLIENT }), tcp({ sourcePort: 8000, destinationPort: 40_000 }));
});

test('limits of inside addresses are not a real server’s', () => {
  const r = rig({ plan: servers({ addresses: WAN1, realServers: [{ address: PC1 }] }), limits: { flowsPerSource: 2 } });
  for (let port = 1; port <= 10; port++) assert.is(new Call(r, { to: WAN1, port }).open(), `${PC1}:80`);
});

test.run();

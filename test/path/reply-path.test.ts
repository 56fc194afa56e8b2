/**
 * The reply path (seed article): a client on the real server's own network is answered past the router, unless its source is translated; auto does that for
 * just those clients, always for all, never for none.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { VirtualServerPlan } from '../../src/base/plan.js';
import { ethernet, expect, icmpError, ipv4, tcp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { BOX, DMZ, DMZ_HOST, LAN, MAC, PC1, PC2, rig, WAN1 } from '../support/rig.js';
import type { Rig, Sent } from '../support/rig.js';
import { Call, origin, servers, towards } from '../support/servers.js';

const UDP = make.PROTOCOL.udp, TCP = make.PROTOCOL.tcp;

function lab(snat: VirtualServerPlan['snat'], limits = {}): Rig {
  return rig({ plan: servers({ addresses: WAN1, snat, protocols: [TCP, UDP], realServers: [{ address: PC1, port: 8080 }] }), dmz: true, host: true, limits });
}

/** Who the server sees, and what the client sees. */
function seen(r: Rig, want: Partial<ConstructorParameters<typeof Call>[1]>): string[] {
  const call = new Call(r, { to: WAN1, ...want });
  call.open();
  assert.is(call.toClient!.link, call.want.link);
  return [origin(call.toServer!), origin(call.toClient!), towards(call.toClient!)];
}

// conforms: vs-same-subnet
test('auto: who shares the server’s network is seen as the router, everybody else as themselves; all are answered by the virtual address', () => {
  const r = lab('auto');
  for (const protocol of ['tcp', 'udp'] as const) {
    assert.equal(seen(r, { link: 'lan', client: PC2, protocol }), [`${LAN}:40000`, `${WAN1}:80`, `${PC2}:40000`]);
    assert.equal(seen(r, { link: 'lan', client: PC1, protocol, port: 40_001 }), [`${LAN}:40001`, `${WAN1}:80`, `${PC1}:40001`], 'a server that calls its own virtual address');
    assert.equal(seen(r, { link: 'dmz', client: DMZ_HOST, protocol }), [`${DMZ_HOST}:40000`, `${WAN1}:80`, `${DMZ_HOST}:40000`]);
    assert.equal(seen(r, { link: 'wan1', client: '198.51.100.7', protocol }), ['198.51.100.7:40000', `${WAN1}:80`, '198.51.100.7:40000']);
    assert.equal(seen(r, { link: 'host', client: BOX, protocol }), [`${BOX}:40000`, `${WAN1}:80`, `${BOX}:40000`]);
  }
});

test('always: nobody is seen as themselves', () => {
  const r = lab('always');
  for (const [link, client, port] of [['lan', PC2, 1], ['dmz', DMZ_HOST, 2], ['wan1', '198.51.100.7', 3], ['host', BOX, 4]] as const) {
    assert.equal(seen(r, { link, client, port }), [`${LAN}:${port}`, `${WAN1}:80`, `${client}:${port}`]);
  }
});

test('never: everybody is, and a neighbour’s answer would not come by here', () => {
  const r = lab('never');
  for (const [link, client] of [['lan', PC2], ['dmz', DMZ_HOST], ['wan1', '198.51.100.7']] as const) {
    const call = new Call(r, { to: WAN1, link, client });
    call.say();
    assert.is(origin(call.toServer!), `${client}:40000`);
    if (link === 'lan') expect(call.toServer!.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4(), tcp());
  }
});

test('clients that chose the same port get different ones towards the same server, and keep theirs towards another', () => {
  const r = rig({ plan: servers({ addresses: WAN1, scheduler: 'sh', snat: 'always', realServers: [{ address: PC1 }] }, { addresses: WAN1, ports: { first: 81, last: 81 }, snat: 'always', realServers: [{ address: PC2 }] }), dmz: true });
  const clients = Array.from({ length: 20 }, (_, i) => `198.51.100.${i + 1}`);
  const ports = clients.map((client) => {
    const call = new Call(r, { to: WAN1, client });
    call.open();
    assert.is(towards(call.toClient!), `${client}:40000`);
    return origin(call.toServer!);
  });
  assert.is(new Set(ports).size, clients.length);
  assert.is(ports[0], `${LAN}:40000`);
  assert.is(seen(r, { client: clients[0], toPort: 81 })[0], `${LAN}:40000`);
});

test('with no port left towards a server a flow is refused, and leaves no trace', () => {
  const r = lab('always', { snatPortFirst: 50_000, snatPortLast: 50_003 });
  let opened = 0;
  for (let i = 0; i < 12; i++) {
    const call = new Call(r, { to: WAN1, client: `198.51.100.${i + 1}`, port: 50_000 });
    const [sent] = call.say();
    if (sent.link === 'lan') opened++;
    else expect(sent.frame, ethernet(), ipv4({ destination: `198.51.100.${i + 1}` }), icmpError({ type: 3, code: 13 }));
  }
  assert.is(opened, 4);
  assert.equal([r.flowCount, r.verdict('wan1', 'NO_PORT')], [4, 8]);
});

test('the article’s addresses: virtual server 10.0.0.1/8, real server 192.168.1.200, client 192.168.1.55', () => {
  const r = rig({
    link: { dmz: { addresses: [{ address: '10.0.0.1', prefixLength: 8 }] }, lan: { addresses: [{ address: '192.168.1.1', prefixLength: 24 }] } }, dmz: true, neighbours: false,
    plan: servers({ addresses: '10.0.0.1', realServers: [{ address: '192.168.1.200', port: 80 }] }),
  });
  for (const [address, mac] of [['192.168.1.200', MAC.pc1], ['192.168.1.55', MAC.pc2]] as const) for (let i = 0; i < 2; i++) r.put('lan', r.arpRequest(address, mac, '192.168.1.1'));
  r.run();
  assert.equal(seen(r, { link: 'lan', client: '192.168.1.55', to: '10.0.0.1' }), ['192.168.1.1:40000', '10.0.0.1:80', '192.168.1.55:40000']);
});

test('who comes through the gateway by which the server is reached is translated as well', () => {
  const far = '172.20.0.9';
  const r = rig({
    plan: servers({ addresses: WAN1, realServers: [{ address: far, port: 80 }] }), dmz: true,
    routes: [{ name: 'default', to: '0.0.0.0/0', group: 0 }, { name: 'far', to: '172.20.0.0/16', via: DMZ_HOST }, { name: 'farther', to: '172.21.0.0/16', via: DMZ_HOST }],
  });
  assert.is(seen(r, { link: 'dmz', client: '172.21.0.5' })[0], `${DMZ}:40000`);
  assert.is(seen(r, { link: 'dmz', client: '172.20.0.5', port: 2 })[0], `${DMZ}:2`);
  assert.is(seen(r, { link: 'dmz', client: DMZ_HOST, port: 3 })[0], `${DMZ}:3`, 'the gateway itself');
  assert.is(seen(r, { link: 'lan', client: PC1 })[0], `${PC1}:40000`);
});

test('a server out in the world answers the uplink’s address', () => {
  const r = rig({ plan: servers({ addresses: LAN, realServers: [{ address: '198.51.100.200', port: 80 }] }), weights: [1, 0], dmz: true });
  assert.is(seen(r, { link: 'lan', client: PC1, to: LAN })[0], `${WAN1}:40000`);
});

test('one wire for both: the outside’s client keeps its address, the server’s neighbour does not', () => {
  const r = rig({
    weights: [1, 0], untranslated: ['198.51.100.7', '192.168.201.55'], link: { wan1: { addresses: [{ address: WAN1, prefixLength: 24 }, { address: '10.1.1.254', prefixLength: 24 }] } },
    plan: servers({ addresses: '192.168.201.10', realServers: [{ address: '10.1.1.1', port: 80 }] }),
  });
  const mac = '02:00:00:00:77:01', other = '02:00:00:00:77:02';
  for (const [address, station] of [['10.1.1.1', mac], ['10.1.1.2', other], ['192.168.201.55', other]] as const) for (let i = 0; i < 2; i++) r.put('wan1', r.arpRequest(address, station, '10.1.1.254'));
  r.run();
  for (const [client, port, seenAs] of [['198.51.100.7', 1, '198.51.100.7'], ['192.168.201.55', 2, '192.168.201.55'], ['10.1.1.2', 3, '10.1.1.254'], ['10.1.1.1', 4, '10.1.1.254']] as const) {
    assert.equal(seen(r, { client, port, to: '192.168.201.10' }), [`${seenAs}:${port}`, '192.168.201.10:80', `${client}:${port}`], client);
  }
  // Lost servers’ flows are told with the addresses they know, though the wire is one where others are hidden.
  r.router.setServerHealth(0, false);
  const sent = r.run().filter(({ isArp }) => !isArp).map((one) => `${origin(one)} → ${towards(one)}`);
  assert.is(sent.length, 8);
  assert.ok(sent.includes('198.51.100.7:1 → 10.1.1.1:80') && sent.includes('192.168.201.10:80 → 198.51.100.7:1'), sent.join('\n'));
});

test('one wire for both, and the gateway has fallen silent: a neighbour outside is served on, told when its server is lost, and its late packets are answered', () => {
  const r = rig({
    weights: [1, 0], untranslated: ['192.168.201.55'], link: { wan1: { addresses: [{ address: WAN1, prefixLength: 24 }, { address: '10.1.1.254', prefixLength: 24 }] } },
    plan: servers({ addresses: '192.168.201.10', realServers: [{ address: '10.1.1.1', port: 80 }] }),
  });
  for (const [address, station] of [['10.1.1.1', '02:00:00:00:77:01'], ['192.168.201.55', '02:00:00:00:77:02']] as const) for (let i = 0; i < 2; i++) r.put('wan1', r.arpRequest(address, station, '10.1.1.254'));
  r.run();
  r.router.setUplinkHealth(0, false);
  r.run();
  const call = new Call(r, { link: 'wan1', client: '192.168.201.55', port: 7, to: '192.168.201.10' });
  assert.is(call.open(), '10.1.1.1:80');
  r.router.setServerHealth(0, false);
  const reset = (sent: Sent[]): string[] => sent.filter(({ isArp, packet }) => !isArp && (packet[33] & 4) !== 0).map((one) => `${origin(one)} → ${towards(one)}`);
  assert.equal(reset(r.run()).sort(), ['192.168.201.10:80 → 192.168.201.55:7', '192.168.201.55:7 → 10.1.1.1:80']);
  r.put('wan1', r.frame('wan1', call.packet('PA', 10)));
  assert.equal(reset(r.run()), ['192.168.201.10:80 → 192.168.201.55:7']);
});

test('the box’s checks of a real server take its route and bear the router’s address there, whatever policies say', () => {
  const pin = '169.254.119.3';
  const plan = servers({ addresses: WAN1, realServers: [{ address: PC1, port: 80, pin }] });
  const r = rig({ plan: { ...plan, policies: [{ index: 0, name: 'all', match: {}, group: 0, exclude: false }] }, host: true });
  const [there] = r.from('host', make.ipv4({ source: pin, destination: PC1 }, make.tcp({ sourcePort: 33_000, destinationPort: 80 })));
  assert.equal([there.link, origin(there), towards(there)], ['lan', `${LAN}:33000`, `${PC1}:80`]);
  const [back] = r.from('lan', make.ipv4({ source: PC1, destination: LAN }, make.tcp({ sourcePort: 80, destinationPort: 33_000, flags: 'SA', acknowledgement: 1001 })));
  assert.equal([back.link, origin(back), towards(back)], ['host', `${PC1}:80`, `${pin}:33000`]);
});

test.run();

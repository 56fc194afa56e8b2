/** Virtual routers on the path: whose frames are ours, who answers ARP with what, what leaves from which MAC address, as master and as backup. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { VrrpPlan } from '../../src/base/plan.js';
import { readVrrp } from '../../src/vrrp/status.js';
import { arp, ethernet, expect, ipv4, udp } from '../support/expect.js';
import * as make from '../support/frames.js';
import { GATEWAY, LAN, MAC, OUR_MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { LinkName, Rig, RigOptions, Sent } from '../support/rig.js';

const VIRTUAL = '192.168.0.254';
const VIRTUAL_MAC = '00:00:5e:00:01:07';
const OUTSIDE = '192.168.201.20';
const OUTSIDE_MAC = '00:00:5e:00:01:09';
/** The other router's own addresses: below and above ours on the LAN. */
const OTHER = '192.168.0.9';
const OTHER_MAC = '02:00:00:00:99:99';
const GROUP = '224.0.0.18';
const GROUP_MAC = '01:00:5e:00:00:12';
const INTERVAL = 100;
const UNTRANSLATED: RigOptions = { weights: [1, 0], snat: [] };

const one = (fields: Partial<VrrpPlan> = {}): VrrpPlan => ({
  index: 0, name: 'lan-gateway', link: 0, id: 7, version: 3, priority: 100, addresses: [{ address: VIRTUAL, prefixLength: 24 }], advertIntervalMs: INTERVAL, preempt: true,
  preemptDelayMs: 0, peers: [], checksum: 'plain', virtualMac: true, accept: true, track: [], announcements: { count: 2, againMs: 0, refreshMs: 0 }, ...fields,
});
const outside = (fields: Partial<VrrpPlan> = {}): VrrpPlan => one({ index: 1, name: 'outside', link: 1, id: 9, addresses: [{ address: OUTSIDE, prefixLength: 24 }], ...fields });

interface AdvertFields { priority?: number; id?: number; version?: number; interval?: number; addresses?: string[]; source?: string; destination?: string; ttl?: number; pseudo?: boolean; wrong?: boolean; count?: number; password?: string; authentication?: number; type?: number; cut?: number; sourceMac?: string; destinationMac?: string }

/** An advert of the other router, made without src/wire. */
function advert(fields: AdvertFields = {}): Buffer {
  const { priority = 200, id = 7, version = 3, interval = version === 2 ? 1 : INTERVAL / 10, addresses = [VIRTUAL], source = OTHER, destination = GROUP, ttl = 255, type = 1 } = fields;
  const message = Buffer.concat([
    Buffer.from([version << 4 | type, id, priority, fields.count ?? addresses.length, ...(version === 2 ? [fields.authentication ?? (fields.password === undefined ? 0 : 1), interval] : [interval >> 8, interval & 255]), 0, 0]),
    ...addresses.map(make.address), ...(version === 2 ? [Buffer.from((fields.password ?? '').padEnd(8, '\0'))] : []),
  ]);
  const pseudo = fields.pseudo === true ? [make.pseudoHeader(make.address(source), make.address(destination), 112, message.length)] : [];
  message.writeUInt16BE((~make.onesSum(message, ...pseudo) & 0xffff) ^ (fields.wrong === true ? 1 : 0), 6);
  const packet = make.ipv4({ source, destination, ttl, protocol: 112 }, message.subarray(0, message.length - (fields.cut ?? 0)));
  return make.ethernet({ source: fields.sourceMac ?? OTHER_MAC, destination: fields.destinationMac ?? GROUP_MAC }, packet);
}

function put(r: Rig, link: LinkName, frame: Buffer): Sent[] {
  r.put(link, frame);
  return r.run();
}

const arpOf = (sent: Sent[]): Sent[] => sent.filter(({ isArp }) => isArp);
const advertsOf = (sent: Sent[]): Sent[] => sent.filter(({ isArp, packet }) => !isArp && packet[9] === 112);
const status = (r: Rig, index = 0) => readVrrp(r.router.counters, r.router.plan.vrrp[index], r.router.nowMs);
const stateOf = (r: Rig, index = 0): string => status(r, index).state;

/** As it starts, three seconds later: master, nobody else being there. */
function master(options: RigOptions = {}, ...vrrp: VrrpPlan[]): Rig {
  const r = rig({ ...UNTRANSLATED, ...options, plan: { ...options.plan, vrrp: vrrp.length > 0 ? vrrp : [one()] } });
  // The rig's steps of a second are a standstill to who counts in tenths.
  r.advance(2 * INTERVAL, 10);
  for (const { index } of r.router.plan.vrrp) assert.is(stateOf(r, index), 'master');
  return r;
}

/** Until nothing is on its way here any more that was sent before another router took over. */
const LEFT = INTERVAL + 10;

/** The same with a better one on the LAN, some time ago. */
function backup(options: RigOptions = {}, ...vrrp: VrrpPlan[]): Rig {
  const r = master(options, ...vrrp);
  for (const { id, link, addresses } of r.router.plan.vrrp) {
    put(r, r.names[link], advert({ id, addresses: addresses.map(({ address }) => address), ...(link === 0 ? {} : { source: '192.168.201.250' }) }));
  }
  r.advance(LEFT, 10);
  for (const { index } of r.router.plan.vrrp) assert.is(stateOf(r, index), 'backup');
  return r;
}

/** No frame that shows a virtual address with the link's own MAC address, in whatever way. */
function neverLeaks(sent: Sent[], address: string, link: LinkName, own: string): void {
  for (const { link: on, frame, isArp, packet } of sent) {
    if (on !== link) continue;
    const isOf = isArp ? make.formatAddress(packet.subarray(14, 18)) === address : make.formatAddress(packet.subarray(12, 16)) === address;
    if (!isOf) continue;
    assert.not.equal(make.formatMac(frame.subarray(6, 12)), own, `frame of ${address} from the link's own MAC address`);
    if (isArp) assert.not.equal(make.formatMac(packet.subarray(8, 14)), own, `ARP of ${address} with the link's own MAC address`);
  }
}

const ask = (r: Rig, target = VIRTUAL): Buffer => r.arpRequest(PC1, MAC.pc1, target);
const datagram = (destination = '10.9.9.9') => make.ipv4({ source: PC1, destination }, make.udp({ sourcePort: 4000, destinationPort: 80 }));
const ping = (destination: string) => make.ipv4({ source: PC1, destination }, make.echoRequest({ id: 1, sequence: 1 }));

// conforms: vrrp-virtual-mac
test('becoming master: adverts from the virtual MAC address, and every address announced with it, in the frame and in the ARP', () => {
  const r = rig({ ...UNTRANSLATED, up: false, plan: { vrrp: [one()] } });
  r.setUp('lan', true);
  const early = r.advance(300, 10);
  assert.equal(advertsOf(early), []);
  neverLeaks(early, VIRTUAL, 'lan', MAC.lan);
  assert.equal(arpOf(early).filter(({ packet }) => make.formatAddress(packet.subarray(14, 18)) === VIRTUAL), [], 'nothing is announced that is not ours');
  const sent = r.advance(200, 10);
  assert.is(stateOf(r), 'master');
  const [first] = advertsOf(sent);
  expect(first.frame, ethernet({ source: VIRTUAL_MAC, destination: GROUP_MAC }), ipv4({ source: LAN, destination: GROUP, ttl: 255, protocol: 112 }), ({ bytes, at }) => {
    assert.equal([...bytes.subarray(at, at + 6)], [0x31, 7, 100, 1, 0, 10]);
    assert.is(make.onesSum(bytes.subarray(at)), 0xffff, 'summed without a pseudo-header');
    assert.equal([...bytes.subarray(at + 8)], [...make.address(VIRTUAL)]);
  });
  const announced = arpOf(sent).filter(({ packet }) => make.formatAddress(packet.subarray(14, 18)) === VIRTUAL);
  assert.is(announced.length, 2);
  for (const { frame } of announced) {
    expect(frame, ethernet({ source: VIRTUAL_MAC, destination: make.BROADCAST_MAC }), arp({ operation: 'request', senderMac: VIRTUAL_MAC, sender: VIRTUAL, target: VIRTUAL }));
  }
  neverLeaks(sent, VIRTUAL, 'lan', MAC.lan);
});

test('adverts with a pseudo-header, and of version 2 with a password, are what they are said to be', () => {
  const pseudo = advertsOf(master({}, one({ checksum: 'pseudo-header' })).advance(INTERVAL))[0];
  assert.is(make.onesSum(pseudo.packet.subarray(20), make.pseudoHeader(make.address(LAN), make.address(GROUP), 112, pseudo.packet.length - 20)), 0xffff);
  const second = rig({ ...UNTRANSLATED, plan: { vrrp: [one({ version: 2, advertIntervalMs: 1000, password: 'sesame', checksum: 'pseudo-header' })] } });
  const [sent] = advertsOf(second.advance(2000, 100));
  assert.equal([...sent.packet.subarray(20, 26)], [0x21, 7, 100, 1, 1, 1]);
  assert.is(sent.packet.subarray(32).toString(), 'sesame\0\0');
  assert.is(make.onesSum(sent.packet.subarray(20)), 0xffff, 'version 2 knows no pseudo-header');
});

// conforms: vrrp-virtual-mac
test('master: ARP for the virtual address is answered with the virtual MAC address, for the own address with the own one', () => {
  const r = master();
  const [reply] = arpOf(put(r, 'lan', ask(r)));
  expect(reply.frame, ethernet({ source: VIRTUAL_MAC, destination: MAC.pc1 }), arp({ operation: 'reply', senderMac: VIRTUAL_MAC, sender: VIRTUAL, targetMac: MAC.pc1, target: PC1 }));
  const [own] = arpOf(put(r, 'lan', ask(r, LAN)));
  expect(own.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), arp({ operation: 'reply', senderMac: MAC.lan, sender: LAN }));
});

// conforms: vrrp-backup-silent
test('backup: no ARP for the virtual address, frames to the virtual MAC address are not ours, the own address is served as ever', () => {
  const r = backup();
  assert.equal(r.counted('ARP_IGNORED', 'lan', () => put(r, 'lan', ask(r))), []);
  assert.equal(r.refused('NOT_FOR_US', 'lan', datagram(), { destination: VIRTUAL_MAC }), []);
  assert.is(arpOf(put(r, 'lan', ask(r, LAN))).length, 1);
  assert.is(r.from('lan', datagram()).length, 1);
  assert.is(r.from('lan', ping(LAN)).length, 1);
});

// conforms: vrrp-virtual-mac
test('master: what comes by the virtual MAC address is forwarded; what bears the virtual address leaves from it, all else from the own one', () => {
  const r = master();
  const [forwarded] = r.from('lan', datagram(), { destination: VIRTUAL_MAC });
  expect(forwarded.frame, ethernet({ source: MAC.wan1, destination: MAC.gateway1 }), ipv4({ source: PC1, ttl: 63 }), udp());
  const [echo] = r.from('lan', ping(VIRTUAL), { destination: VIRTUAL_MAC });
  expect(echo.frame, ethernet({ source: VIRTUAL_MAC, destination: MAC.pc1 }), ipv4({ source: VIRTUAL, destination: PC1 }));
  const [own] = r.from('lan', ping(LAN), { destination: MAC.lan });
  expect(own.frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: LAN }));
  assert.equal(r.refused('NOT_FOR_US', 'lan', datagram(), { destination: '00:00:5e:00:01:08' }), [], 'another virtual router’s frames are not ours');
});

test('virtualMac: false – the link’s own MAC address for everything', () => {
  const r = master({}, one({ virtualMac: false }));
  const [reply] = arpOf(put(r, 'lan', ask(r)));
  expect(reply.frame, ethernet({ source: MAC.lan }), arp({ senderMac: MAC.lan, sender: VIRTUAL }));
  expect(advertsOf(r.advance(INTERVAL))[0].frame, ethernet({ source: MAC.lan, destination: GROUP_MAC }), ipv4());
  assert.equal(r.refused('NOT_FOR_US', 'lan', datagram(), { destination: VIRTUAL_MAC }), []);
  put(r, 'lan', advert());
  assert.equal(arpOf(put(r, 'lan', ask(r))), [], 'and as backup it is silent all the same');
});

// conforms: vrrp-backup-silent
test('backup: what is for the virtual address goes on to the master, and is not taken for our own', () => {
  const r = backup();
  put(r, 'lan', r.arpReply('lan', VIRTUAL, VIRTUAL_MAC));
  const [asked] = arpOf(r.from('wan1', make.ipv4({ source: SERVER, destination: VIRTUAL }, make.udp({ sourcePort: 1, destinationPort: 9 }))));
  assert.is(asked, undefined);
  assert.is(r.router.isOwnAddress(-1062731522), false);
  const own = master();
  assert.is(own.router.isOwnAddress(-1062731522), true);
});

test('becoming backup after being master: flows to the virtual address are let go of, and come back with it', () => {
  const r = master();
  assert.is(r.from('lan', ping(VIRTUAL), { destination: VIRTUAL_MAC }).length, 1);
  put(r, 'lan', advert());
  r.advance(LEFT, 10);
  assert.is(stateOf(r), 'backup');
  assert.equal(r.refused('NOT_FOR_US', 'lan', ping(VIRTUAL), { destination: VIRTUAL_MAC }), []);
  r.advance(1000, 10);
  assert.is(stateOf(r), 'master');
  assert.is(r.from('lan', ping(VIRTUAL), { destination: VIRTUAL_MAC }).length, 1);
});

test('accept: false – not answered, but translated and forwarded by', () => {
  const r = master({ host: true }, one({ accept: false }));
  r.refused('NOT_ACCEPTED', 'lan', ping(VIRTUAL), { destination: VIRTUAL_MAC });
  assert.equal(r.refused('PORT_CLOSED', 'lan', make.ipv4({ source: PC1, destination: VIRTUAL }, make.udp({ sourcePort: 5, destinationPort: 22 })), { destination: VIRTUAL_MAC }).filter(({ link }) => link === 'host'), [],
    'the box hears nothing of it');
  assert.is(r.from('lan', datagram(), { destination: VIRTUAL_MAC }).length, 1);
  const accepting = master({ host: true });
  assert.is(accepting.from('lan', make.ipv4({ source: PC1, destination: VIRTUAL }, make.udp({ sourcePort: 5, destinationPort: 22 })), { destination: VIRTUAL_MAC })[0].link, 'host');
});

// conforms: vrrp-advert-checks
test('adverts that are refused: each for its own reason, and none moves anything', () => {
  const cases: [Parameters<Rig['counted']>[0], AdvertFields, Partial<VrrpPlan>?][] = [
    ['VRRP_HOPS', { ttl: 254 }], ['VRRP_VERSION', { version: 2 }], ['VRRP_VERSION', { version: 4 }], ['VRRP_UNKNOWN', { id: 8 }], ['VRRP_OWN', { source: LAN }],
    ['VRRP_CHECKSUM', { wrong: true }], ['VRRP_CHECKSUM', { wrong: true, pseudo: true }], ['VRRP_MALFORMED', { type: 2 }], ['VRRP_MALFORMED', { count: 0, addresses: [] }],
    ['VRRP_MALFORMED', { count: 2 }], ['VRRP_MALFORMED', { cut: 6 }], ['VRRP_MALFORMED', { interval: 0 }],
    ['VRRP_PEER', { destination: LAN, destinationMac: MAC.lan }], ['VRRP_PEER', {}, { peers: [OTHER] }],
    ['VRRP_PEER', { destination: LAN, destinationMac: MAC.lan, source: PC2 }, { peers: [OTHER] }],
    ['VRRP_VERSION', {}, { version: 2, advertIntervalMs: 1000 }], ['VRRP_INTERVAL', { version: 2, interval: 2 }, { version: 2, advertIntervalMs: 1000 }],
    ['VRRP_AUTHENTICATION', { version: 2 }, { version: 2, advertIntervalMs: 1000, password: 'sesame' }],
    ['VRRP_AUTHENTICATION', { version: 2, password: 'open' }, { version: 2, advertIntervalMs: 1000, password: 'sesame' }],
    ['VRRP_AUTHENTICATION', { version: 2, password: 'sesame' }, { version: 2, advertIntervalMs: 1000 }],
    ['VRRP_AUTHENTICATION', { version: 2, authentication: 2 }, { version: 2, advertIntervalMs: 1000, password: 'sesame' }],
  ];
  for (const [verdict, fields, plan] of cases) {
    const r = rig({ ...UNTRANSLATED, plan: { vrrp: [one(plan)] } });
    r.advance(5000, 100);
    assert.is(stateOf(r), 'master');
    const before = status(r);
    r.counted(verdict, 'lan', () => put(r, 'lan', advert(fields)));
    assert.is(stateOf(r), 'master', `${verdict} ${JSON.stringify(fields)}`);
    assert.is(status(r).received, before.received);
    if (verdict !== 'VRRP_UNKNOWN' && verdict !== 'VRRP_MALFORMED') assert.is(status(r).refused, before.refused + 1);
  }
});

// conforms: vrrp-advert-checks vrrp-checksum
test('adverts that are taken: summed either way, to a peer’s address from that peer, of version 2 with the password', () => {
  const cases: [AdvertFields, Partial<VrrpPlan>?][] = [
    [{}], [{ pseudo: true }], [{}, { checksum: 'pseudo-header' }], [{ destination: LAN, destinationMac: MAC.lan }, { peers: [OTHER] }],
    [{ destination: LAN, destinationMac: MAC.lan, pseudo: true }, { peers: [PC2, OTHER] }],
    [{ version: 2 }, { version: 2, advertIntervalMs: 1000 }], [{ version: 2, password: 'sesame' }, { version: 2, advertIntervalMs: 1000, password: 'sesame' }],
  ];
  for (const [fields, plan] of cases) {
    const r = rig({ ...UNTRANSLATED, plan: { vrrp: [one(plan)] } });
    r.advance(5000, 100);
    r.counted('TAKEN', 'lan', () => put(r, 'lan', advert(fields)));
    assert.is(stateOf(r), 'backup', JSON.stringify(fields));
    const { master: heard, masterPriority, received, refused } = status(r);
    assert.equal({ heard, masterPriority, received, refused }, { heard: OTHER, masterPriority: 200, received: 1, refused: 0 });
  }
});

test('an advert to somebody else is forwarded like any packet, one by multicast to a link without virtual routers stays what it was', () => {
  const r = master();
  const foreign = make.ipv4({ source: PC1, destination: '10.9.9.9', ttl: 255, protocol: 112 }, Buffer.alloc(12));
  assert.is(r.from('lan', foreign).length, 1);
  r.counted('BROADCAST', 'wan1', () => put(r, 'wan1', advert()));
});

test('a full flow table keeps nobody from being heard', () => {
  const r = master({ limits: { flows: 64 } });
  for (let i = 0; i < 80; i++) r.from('lan', make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: 5000 + i, destinationPort: 80 })));
  assert.ok(r.verdict('lan', 'TABLE_FULL') > 0);
  r.counted('TAKEN', 'lan', () => put(r, 'lan', advert()));
  assert.is(stateOf(r), 'backup');
});

test('unlike addresses are told of once in a while, and the advert counts', () => {
  const r = master();
  for (let i = 0; i < 5; i++) put(r, 'lan', advert({ addresses: ['192.168.0.253'] }));
  const told = r.notices.filter(({ event }) => event === 'vrrpTrouble');
  assert.equal(told, [{ event: 'vrrpTrouble', virtualRouter: 0, trouble: 'addresses', from: OTHER, detail: `the addresses 192.168.0.253 instead of ${VIRTUAL}` }]);
  assert.is(stateOf(r), 'backup');
});

// conforms: vrrp-resign
test('a drained master resigns, and forwards until its successor is heard', () => {
  const r = master();
  r.router.election?.setDrained(true);
  const sent = r.run();
  const adverts = advertsOf(sent);
  assert.equal(adverts.map(({ packet }) => packet[22]), [0], 'priority 0');
  assert.is(stateOf(r), 'init');
  assert.is(r.from('lan', datagram(), { destination: VIRTUAL_MAC }).length, 1, 'nothing is lost on the way over');
  assert.is(r.router.election?.isAtRest, false);
  put(r, 'lan', advert({ priority: 50 }));
  assert.is(r.from('lan', datagram(), { destination: VIRTUAL_MAC }).length, 1, 'nor is what was on its way when the other one took over');
  assert.equal(arpOf(put(r, 'lan', ask(r))), [], 'but nobody is told that the address is here');
  r.advance(260, 10);
  assert.is(r.router.election?.isAtRest, true);
  assert.equal(r.refused('NOT_FOR_US', 'lan', datagram(), { destination: VIRTUAL_MAC }), []);
  r.router.election?.setDrained(false);
  r.advance(1000, 10);
  assert.is(stateOf(r), 'master', 'and takes part again');
});

test('a drained master that nobody follows lets go after as long as a backup would take', () => {
  const r = master();
  r.router.election?.setDrained(true);
  r.run();
  r.advance(4 * INTERVAL - 10, 10);
  assert.is(r.from('lan', datagram(), { destination: VIRTUAL_MAC }).length, 1);
  r.advance(20, 10);
  assert.equal(r.refused('NOT_FOR_US', 'lan', datagram(), { destination: VIRTUAL_MAC }), []);
});

test('a drained group hands over all of its addresses, each until its own successor is heard', () => {
  const r = master({ snat: [OUTSIDE] }, one({ syncGroup: 'gateway' }), outside({ syncGroup: 'gateway' }));
  const [flow] = r.from('lan', datagram(), { destination: VIRTUAL_MAC });
  r.router.election?.setDrained(true);
  assert.equal(advertsOf(r.run()).map(({ link, packet }) => `${link} ${packet[22]}`).sort(), ['lan 0', 'wan1 0']);
  assert.equal([status(r, 0).reason, status(r, 1).reason], ['drained', 'drained']);
  expect(r.from('lan', datagram(), { destination: VIRTUAL_MAC })[0].frame, ethernet({ source: OUTSIDE_MAC }), ipv4({ source: OUTSIDE }), udp());
  put(r, 'lan', advert({ priority: 50 }));
  assert.is(r.router.election?.isAtRest, false);
  const back = make.ipv4({ source: '10.9.9.9', destination: OUTSIDE }, make.udp({ sourcePort: 80, destinationPort: flow.packet.readUInt16BE(20) }));
  assert.is(r.from('wan1', back, { destination: OUTSIDE_MAC }).length, 1, 'answers still come by the other one');
  put(r, 'wan1', advert({ id: 9, priority: 50, source: '192.168.201.250', addresses: [OUTSIDE] }));
  const [late] = r.from('lan', datagram(), { destination: VIRTUAL_MAC });
  // From the link's own: the wire is not to learn that the virtual one is here.
  expect(late.frame, ethernet({ source: OUR_MAC.wan1 }), ipv4({ source: OUTSIDE }), udp());
  r.advance(260, 10);
  assert.is(r.router.election?.isAtRest, true);
});

/** Master of both sides, with a flow by the virtual addresses. */
function pair(): { r: Rig; outward: Buffer; back: Buffer } {
  const r = master({ snat: [OUTSIDE] }, one({ syncGroup: 'gateway' }), outside({ syncGroup: 'gateway' }));
  const outward = datagram();
  const [flow] = r.from('lan', outward, { destination: VIRTUAL_MAC });
  return { r, outward, back: make.ipv4({ source: '10.9.9.9', destination: OUTSIDE }, make.udp({ sourcePort: 80, destinationPort: flow.packet.readUInt16BE(20) })) };
}

const outsideAdvert = (): Buffer => advert({ id: 9, source: '192.168.201.250', addresses: [OUTSIDE] });

test('a better master comes: what was on its way is forwarded a moment longer, on the side where it was heard and on that of its group', () => {
  const { r, outward, back } = pair();
  put(r, 'wan1', outsideAdvert());
  assert.equal([status(r, 0).reason, status(r, 1).reason], ['groupBackup', 'better']);
  for (const heard of [false, true]) {
    if (heard) put(r, 'lan', advert());
    const [late] = r.from('lan', outward, { destination: VIRTUAL_MAC });
    // From the link's own: the wire is not to learn that the virtual one is here.
    expect(late.frame, ethernet({ source: OUR_MAC.wan1 }), ipv4({ source: OUTSIDE }), udp());
    assert.is(r.from('wan1', back, { destination: OUTSIDE_MAC }).length, 1);
  }
  assert.equal(arpOf(put(r, 'lan', ask(r))), [], 'but nobody is told that the address is here');
  assert.equal(r.refused('NOT_MASTER', 'lan', make.ipv4({ source: PC2, destination: '10.9.9.7' }, make.udp({ sourcePort: 4001, destinationPort: 80 })), { destination: VIRTUAL_MAC }), [], 'and nothing new is promised by it');
  r.advance(LEFT, 10);
  assert.equal(r.refused('NOT_FOR_US', 'lan', outward, { destination: VIRTUAL_MAC }), []);
  assert.equal(r.refused('NOT_FOR_US', 'wan1', back, { destination: OUTSIDE_MAC }), []);
});

test('a better master comes after we have stood still: what we know of flows may be out of date, nothing more is forwarded', () => {
  for (const stillMs of [3 * INTERVAL + 10, 60_000]) {
    const { r, outward, back } = pair();
    r.clock.advance(stillMs);
    put(r, 'wan1', outsideAdvert());
    assert.equal([stateOf(r, 0), stateOf(r, 1)], ['backup', 'backup']);
    assert.equal(r.refused('NOT_FOR_US', 'lan', outward, { destination: VIRTUAL_MAC }), [], `after ${stillMs} ms`);
    assert.equal(r.refused('NOT_FOR_US', 'wan1', back, { destination: OUTSIDE_MAC }), []);
  }
});

test('who has forwarded for a better master takes over again at once, should that one resign', () => {
  const { r, outward } = pair();
  put(r, 'wan1', outsideAdvert());
  put(r, 'lan', advert({ priority: 0 }));
  put(r, 'wan1', advert({ id: 9, priority: 0, source: '192.168.201.250', addresses: [OUTSIDE] }));
  r.advance(LEFT, 10);
  assert.equal([stateOf(r, 0), stateOf(r, 1)], ['master', 'master']);
  r.advance(LEFT, 10);
  expect(r.from('lan', outward, { destination: VIRTUAL_MAC })[0].frame, ethernet({ source: OUTSIDE_MAC }), ipv4({ source: OUTSIDE }), udp());
});

test('a link that asks for its addresses before it uses them does not ask for a virtual router’s: somebody is meant to have those', () => {
  const r = rig({ ...UNTRANSLATED, up: false, link: { lan: { probeAddresses: true } }, plan: { vrrp: [one()] } });
  r.setUp('lan', true);
  const asked = arpOf(r.advance(12_000, 100)).filter(({ packet }) => make.formatAddress(packet.subarray(14, 18)) === '0.0.0.0').map(({ packet }) => make.formatAddress(packet.subarray(24, 28)));
  assert.equal([...new Set(asked)], [LAN]);
  assert.is(stateOf(r), 'master', 'and it takes part once the link is in use');
});

// conforms: ha-loaded-first
test('not before what is shared has been loaded', () => {
  const share = { store: 'redis', instance: 'one', require: false, flushMs: 5, holdMs: 0, leaseMs: 600_000, portBlock: 1024, aliveMs: 3000 } as const;
  const r = rig({ ...UNTRANSLATED, plan: { vrrp: [one()], share } });
  r.advance(10_000, 100);
  assert.equal([stateOf(r), status(r).reason], ['init', 'notReady']);
  r.router.election?.setReady();
  r.advance(1000, 10);
  assert.is(stateOf(r), 'master');
});

test('a lower master was seen: it is told, and so are its neighbours', () => {
  const r = master();
  const sent = put(r, 'lan', advert({ priority: 50 }));
  assert.is(advertsOf(sent).length, 1);
  assert.is(arpOf([...sent, ...r.advance(10)]).filter(({ packet }) => make.formatAddress(packet.subarray(14, 18)) === VIRTUAL).length, 1);
});

test('announcements: again after a while, and every so often', () => {
  const r = rig({ ...UNTRANSLATED, plan: { vrrp: [one({ announcements: { count: 3, againMs: 5000, refreshMs: 20_000 } })] }, up: false });
  r.setUp('lan', true);
  const times: number[] = [];
  for (let at = 0; at < 50_000; at += 50) {
    for (const { packet } of arpOf(r.advance(50))) if (make.formatAddress(packet.subarray(14, 18)) === VIRTUAL) times.push(Math.round(at / 1000));
  }
  assert.equal(times, [0, 0, 0, 5, 5, 5, 20, 40]);
});

const tracked = (kind: 'link' | 'uplink', index: number, weight: number) => ({ kind, index, weight });

test('tracking: what is down takes its weight off, and gives it back', () => {
  const r = master({}, one({ track: [tracked('link', 1, 30), tracked('uplink', 1, 90)] }));
  assert.is(status(r).effectivePriority, 100);
  r.setUp('wan1', false);
  assert.equal(advertsOf(r.run()).map(({ packet }) => packet[22]), [70], 'told at once');
  r.setUp('wan2', false);
  r.run();
  assert.is(status(r).effectivePriority, 1, 'no less than 1');
  r.setUp('wan1', true);
  r.setUp('wan2', true);
  r.advance(2000, 100);
  r.teachAll('wan1', 'wan2');
  r.advance(2000, 100);
  assert.is(status(r).effectivePriority, 100);
});

test('tracking: with weight 0 it stands aside altogether', () => {
  const r = master({}, one({ track: [tracked('link', 1, 0)] }));
  r.setUp('wan1', false);
  assert.equal(advertsOf(r.run()).map(({ packet }) => packet[22]), [0]);
  assert.equal([stateOf(r), status(r).reason, status(r).effectivePriority], ['init', 'tracked', 0]);
  assert.equal(r.refused('NOT_FOR_US', 'lan', datagram(), { destination: VIRTUAL_MAC }), [], 'and holds nothing for its successor: it can do nothing with it');
  r.setUp('wan1', true);
  r.advance(1000, 10);
  assert.is(stateOf(r), 'master');
});

test('sync group: the LAN goes with the uplink’s link', () => {
  const r = master({ snat: [OUTSIDE] }, one({ syncGroup: 'gateway' }), outside({ syncGroup: 'gateway' }));
  put(r, 'wan1', advert({ id: 9, source: '192.168.201.250', addresses: [OUTSIDE] }));
  assert.equal([stateOf(r, 0), stateOf(r, 1)], ['backup', 'backup']);
  const told = r.notices.flatMap((notice) => (notice.event === 'vrrp' ? [`${notice.virtualRouter} ${notice.before} ${notice.state} ${notice.reason}`] : []));
  assert.equal(told.slice(-2), ['0 master backup groupBackup', '1 master backup better']);
});

// conforms: vrrp-virtual-mac vrrp-backup-silent
test('a translation address that is elected: from the virtual MAC address while it is ours, and no new translation while it is not', () => {
  const r = master({ snat: [OUTSIDE] }, outside({ index: 0 }));
  const [sent] = r.from('lan', datagram());
  expect(sent.frame, ethernet({ source: OUTSIDE_MAC, destination: MAC.gateway1 }), ipv4({ source: OUTSIDE }), udp());
  const [reply] = arpOf(put(r, 'wan1', r.arpRequest(GATEWAY, MAC.gateway1, OUTSIDE)));
  expect(reply.frame, ethernet({ source: OUTSIDE_MAC }), arp({ senderMac: OUTSIDE_MAC, sender: OUTSIDE }));
  put(r, 'wan1', advert({ id: 9, source: '192.168.201.250', addresses: [OUTSIDE] }));
  assert.equal(arpOf(put(r, 'wan1', r.arpRequest(GATEWAY, MAC.gateway1, OUTSIDE))), []);
  r.advance(LEFT, 10);
  assert.equal(r.refused('NOT_MASTER', 'lan', datagram()), [], 'the flow it has');
  assert.equal(r.refused('NOT_MASTER', 'lan', datagram('10.9.9.8')), [], 'and a new one');
});

test('while it hands over, what is under way goes on and no new translation is begun', () => {
  const r = master({ snat: [OUTSIDE] }, outside({ index: 0 }));
  assert.is(r.from('lan', datagram()).length, 1);
  r.router.election?.setDrained(true);
  r.run();
  assert.is(r.from('lan', datagram()).length, 1);
  assert.equal(r.refused('NOT_MASTER', 'lan', make.ipv4({ source: PC2, destination: '10.9.9.7' }, make.udp({ sourcePort: 4001, destinationPort: 80 }))), []);
});

test('one of several translation addresses is elected: the others serve while it is elsewhere', () => {
  const r = backup({ snat: [OUTSIDE, WAN1] }, outside({ index: 0 }));
  for (let i = 0; i < 8; i++) {
    const [sent] = r.from('lan', make.ipv4({ source: i % 2 === 0 ? PC1 : PC2, destination: SERVER }, make.udp({ sourcePort: 5000 + i, destinationPort: 80 })));
    expect(sent.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1 }), udp());
  }
});

test('probes of an uplink whose flows bear an elected address ask by the link’s own, as master and as backup', () => {
  for (const make1 of [master, backup]) {
    const r = make1({ snat: [OUTSIDE] }, outside({ index: 0 }));
    r.router.probes.ask(1, { kind: 'icmp', uplink: 0, target: make.address('8.8.8.8').readInt32BE(), port: 0, ttl: 64, timeoutMs: 500 });
    const [sent] = r.run().filter(({ link, packet }) => link === 'wan1' && packet[9] === 1);
    expect(sent.frame, ethernet({ source: MAC.wan1 }), ipv4({ source: WAN1, destination: '8.8.8.8' }));
  }
});

test('the owner of an address: its own, and not its own while another has it', () => {
  const r = master({}, one({ priority: 255, addresses: [{ address: LAN, prefixLength: 24 }] }));
  const [reply] = arpOf(put(r, 'lan', ask(r, LAN)));
  expect(reply.frame, ethernet({ source: VIRTUAL_MAC }), arp({ senderMac: VIRTUAL_MAC, sender: LAN }));
  assert.is(r.from('lan', ping(LAN), { destination: VIRTUAL_MAC }).length, 1);
  r.router.election?.setDrained(true);
  r.run();
  put(r, 'lan', advert({ priority: 100, addresses: [LAN] }));
  assert.equal(arpOf(put(r, 'lan', ask(r, LAN))), []);
  neverLeaks(r.advance(5000, 100), LAN, 'lan', MAC.lan);
});

test('peers: adverts go to each, by its neighbour, and to nobody else', () => {
  const r = rig({ ...UNTRANSLATED, plan: { vrrp: [one({ peers: [PC1, PC2] })] } });
  const sent = advertsOf(r.advance(INTERVAL));
  assert.equal(sent.map(({ packet }) => make.formatAddress(packet.subarray(16, 20))), [PC1, PC2]);
  expect(sent[0].frame, ethernet({ source: MAC.lan, destination: MAC.pc1 }), ipv4({ source: LAN, destination: PC1, ttl: 255, protocol: 112 }));
});

test('a link that goes down takes its virtual routers along, in silence, and they begin anew', () => {
  const r = master();
  r.setUp('lan', false);
  assert.equal(advertsOf(r.run()), []);
  assert.equal([stateOf(r), status(r).reason], ['init', 'linkDown']);
  r.setUp('lan', true);
  assert.equal(advertsOf(r.advance(300, 10)), []);
  r.advance(300, 10);
  assert.is(stateOf(r), 'master');
  assert.is(status(r).transitions, 3);
});

test('a router that stood still listens before it speaks, and yields to who has taken over', () => {
  const r = master();
  r.clock.advance(60_000);
  r.put('lan', advert({ priority: 50 }));
  const sent = r.run();
  assert.equal(advertsOf(sent), []);
  assert.equal([stateOf(r), status(r).reason], ['backup', 'stalled']);
});

test('another router’s ARP for the address with the virtual MAC address is no conflict, one with any other is defended with the virtual one', () => {
  const r = master();
  r.counted('ARP_IGNORED', 'lan', () => put(r, 'lan', r.arpRequest(VIRTUAL, VIRTUAL_MAC, VIRTUAL)));
  const sent = r.counted('ARP_CONFLICT', 'lan', () => put(r, 'lan', r.arpRequest(VIRTUAL, OTHER_MAC, VIRTUAL)));
  expect(arpOf(sent)[0].frame, ethernet({ source: VIRTUAL_MAC }), arp({ senderMac: VIRTUAL_MAC, sender: VIRTUAL, target: VIRTUAL }));
});

test.run();

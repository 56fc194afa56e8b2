/**
 * The fuzz: random and mutated frames of every protocol through a whole router with NAT rules, virtual servers, filters and ALGs on, and what must hold
 * whatever comes in:
 *
 *   - nothing throws, and the router comes to rest;
 *   - nothing outside a record is touched or copied out: records lie between guards, unused scratch room is all guard;
 *   - counters add up: every frame received under one verdict, every frame sent counted on its link;
 *   - what leaves is an IP packet with a right header and hops left, from our MAC address to one station;
 *   - what leaves has right checksums if what came had, and wrong ones stay wrong (frames.ts, Sums);
 *   - nothing inside is seen outside: neither as a source nor in a quote;
 *   - when all is over, everything that was taken has been given back.
 *
 *     fuzz [--packets N] [--seed S] [--per-seed N] [--processes P]
 *
 * A failure names its seed and packet; `--seed S --packets N` with that seed and number plays it again, alone.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Plan } from '../../src/base/plan.js';
import { V, VERDICTS } from '../../src/base/verdict.js';
import { BATCH_MAX, HEADROOM, OFFLOAD_CSUM, OFFLOAD_TSO4, RX_FRAME_AT, RX_LENGTH_BYTES, RX_LINK, RX_VLAN_TCI, RX_WORDS, SCRATCH_AT, SCRATCH_LENGTH, TX_ERRNO, TX_FRAME_AT, TX_LENGTH_BYTES, TX_LINK, TX_WORDS } from '../../src/link/batch.js';
import type { BatchDevice } from '../../src/link/exchange.js';
import { turn } from '../../src/pipeline.js';
import { RX_PACKETS, TX_PACKETS, UPLINK_FLOWS, UPLINK_PORTS_USED } from '../../src/table/counters.js';
import { rig } from '../support/rig.js';
import type { Rig, RigOptions } from '../support/rig.js';
import { servers } from '../support/servers.js';
import { Dice, FrameMaker, fold, HOST, ICMP, ip, isInside, LAN, OUR_MAC, sumOf, TCP, UDP, WAN1, WAN2 } from './frames.js';
import type { Sums } from './frames.js';

/** Packets of one seed. */
const PER_SEED = 250_000;
/** Bytes between two records that nobody may touch. */
const GUARD_BYTES = 64;
/** What guards are made of; long enough never to come up by chance. */
const MAGIC = Buffer.from('c3a55ac396693cf0', 'hex');
const MAGIC_HIGH = MAGIC.readUInt32BE(0), MAGIC_LOW = MAGIC.readUInt32BE(4);
/** Frames of a batch at most: frames.ts makes none above 31,500 bytes, and so many of them fit the receive region. */
const BATCH_FRAMES = 60;
/** Before an IP header a link may write its Ethernet and virtio-net headers. */
const WRITABLE_HEADROOM = 24;
const LINKS_MAX = 5;

/** A broken promise. */
export class FuzzError extends Error {
  readonly seed: number;
  readonly packet: number;
  constructor(seed: number, packet: number, reason: string, options?: ErrorOptions) {
    super(`seed ${seed}, packet ${packet}: ${reason}\nreplay: npm run fuzz -- --seed ${seed} --packets ${packet}`, options);
    this.name = 'FuzzError';
    this.seed = seed;
    this.packet = packet;
  }
}

/** `verdicts`: how packets ended, by name. */
export interface FuzzResult { seed: number; packets: number; sent: number; durationMs: number; verdicts: Record<string, number> }

const hex = (u8: Uint8Array, at: number, length: number): string => Buffer.from(u8.buffer, u8.byteOffset + at, Math.min(length, 200)).toString('hex');

/** What a seed stands for: the router's configuration and how checksums come out. */
function setUp(seed: number): { options: RigOptions; sums: Sums; isStrict: boolean; allowed: ReadonlySet<number>[] } {
  const d = new Dice(seed ^ 0x5eed);
  const separate = d.chance(50);
  const secondWan = separate ? '203.0.113.2' : '192.168.201.13';
  const pool = d.chance(30);
  const noNat = d.below(5) === 0;
  const untranslated = noNat ? ['192.168.0.5'] : [];
  const options: RigOptions = {
    seed, dmz: true, host: d.chance(60), separate, weights: d.of([[3, 1], [1, 1], [1, 0]]), untranslated,
    mtu: { wan1: d.of([1500, 1400, 576]), dmz: d.of([1500, 600]), wan2: d.of([1500, 1280]) },
    offloads: d.chance(50) ? { wan1: OFFLOAD_CSUM | OFFLOAD_TSO4, lan: OFFLOAD_CSUM } : {},
    ...(pool ? { snat: ['192.168.201.11', '192.168.201.13'] } : {}),
    uplink: {
      mapping: d.chance(70) ? 'endpoint-independent' : 'address-and-port-dependent', filtering: d.of(['endpoint-independent', 'address-dependent', 'address-and-port-dependent']),
      whenExhausted: d.chance(60) ? 'share' : 'refuse', refreshInbound: d.chance(50),
    },
    limits: {
      flows: d.of([512, 4096]), neighbours: 24, heldPackets: 32, fragments: 16, fragmentBytes: 65_535, flowsPerSource: d.chance(40) ? 100 : 0, portsPerSource: d.chance(40) ? 60 : 0,
      ...(d.chance(40) ? { snatPortFirst: 4000, snatPortLast: 4063 } : {}),
    },
    plan: {
      tcpMidstream: d.of(['drop', 'reset', 'pickup']),
      algs: [{ name: 'ftp', ports: [21] }, { name: 'tftp', ports: [69] }],
      filters: d.chance(60) ? [
        { index: 0, name: 'no53', match: { in: [LAN], protocols: [UDP], destinationPorts: [{ first: 53, last: 53 }], from: ['192.168.0.5/32'] }, action: 'reject' },
        { index: 1, name: 'rate', match: { in: [WAN1], protocols: [TCP] }, action: 'drop', over: { perSecond: 200, burst: 50, by: 'source' } },
        { index: 2, name: 'late', match: { to: ['198.51.100.200/32'] }, states: ['established', 'related'], action: 'drop' },
      ] : [],
      portForwards: d.chance(70) ? [
        { index: 0, name: 'web', uplink: 0, addresses: ['192.168.201.11'], protocols: [TCP, UDP], ports: { first: 80, last: 80 }, to: '192.168.0.4', toPort: 8080 },
        { index: 1, name: 'range', uplink: 1, addresses: [secondWan], protocols: [UDP], ports: { first: 4000, last: 4002 }, to: '192.168.0.5', toPort: 5000 },
      ] : [],
      oneToOne: d.chance(50) ? [{ index: 0, name: 'whole', uplink: 0, external: '192.168.201.50', internal: '10.9.0.9' }] : [],
      noNat: noNat ? [{ index: 0, name: 'plain', match: { from: ['192.168.0.5/32'], to: ['198.51.100.8/32'] } }] : [],
    },
  };
  // Asked last, so that the rest of what a seed stands for is as it was without them.
  const hasServers = d.chance(70);
  if (hasServers) Object.assign(options.plan!, virtualServers(d));
  const virtual = hasServers ? VIRTUAL : [];
  const own = (...texts: string[]): Set<number> => new Set([...texts, ...untranslated, ...(pool ? ['192.168.201.11', '192.168.201.13'] : [])].map(ip));
  const allowed: ReadonlySet<number>[] = [];
  allowed[WAN1] = own('192.168.201.11', '192.168.201.50', ...virtual);
  allowed[WAN2] = own(secondWan, ...virtual);
  return { options, sums: (['right', 'wrong', 'any', 'any'] as const)[seed & 3], isStrict: !noNat && d.chance(60), allowed };
}

/** An address of a link's own, one that is claimed on a link, one that is routed to us: what is asked of them by any link is answered by it. */
const VIRTUAL = ['192.168.201.11', '192.168.201.77', '198.51.100.200'];

function virtualServers(d: Dice): Pick<Plan, 'virtualServers' | 'realServers'> {
  const [own, claimed, routed] = VIRTUAL;
  const common = { onServerDown: d.of(['reset', 'keep', 'move'] as const), snat: d.of(['auto', 'always'] as const) };
  return servers(
    { ...common, addresses: own, ports: { first: 21, last: 21 }, scheduler: 'wlc', realServers: [{ address: '192.168.0.5', port: 21, upper: 20, lower: 15 }, { address: '10.9.0.9', port: 21 }] },
    {
      ...common, addresses: claimed, protocols: [TCP, UDP], ports: { first: 0, last: 65_535 }, scheduler: d.of(['rr', 'wrr', 'mh', 'lblc'] as const), slowStart: d.of([0, 20]),
      persistence: { timeout: 30, mask: d.of([24, 32]) }, realServers: [{ address: '192.168.0.4' }, { address: '192.168.0.5' }, { address: '10.9.0.9', weight: 3 }], sorry: { address: '192.168.0.9' },
    },
    { ...common, addresses: routed, protocols: [UDP], ports: { first: 0, last: 65_535 }, onePacket: d.chance(70), realServers: [{ address: '192.168.0.4', port: 7 }, { address: '192.168.0.5', port: 7 }] },
  );
}

/** The device side: puts frames into the arena between guards, judges what leaves. */
class FuzzIo implements BatchDevice {
  /** Packets put in so far. */
  packets = 0;
  sent = 0;
  /** Frames to put into the next batch. */
  wanted = 0;
  readonly maker: FrameMaker;
  readonly sentByLink = new Float64Array(LINKS_MAX);
  private readonly rig: Rig;
  private readonly u8: Uint8Array;
  private readonly bytes: Buffer;
  private readonly view: DataView;
  private readonly sums: Sums;
  private readonly allowed: readonly ReadonlySet<number>[];
  /** Ends of the records of this batch, and where the next record's headroom begins that may be written. */
  private readonly guardFrom = new Int32Array(BATCH_MAX);
  private readonly guardTo = new Int32Array(BATCH_MAX);
  private batch = 0;
  private readonly guards = Buffer.alloc(64 * 1024, MAGIC);
  private readonly isUntranslated: boolean;
  private readonly hasHost: boolean;
  /** The datagram whose fragments are leaving: its place in line, its sum so far. */
  private partSource = 0;
  private partTarget = 0;
  private partId = -1;
  private partNext = 0;
  private partSum = 0;

  constructor(r: Rig, maker: FrameMaker, allowed: readonly ReadonlySet<number>[]) {
    this.rig = r;
    this.maker = maker;
    this.u8 = r.exchange.u8;
    this.bytes = Buffer.from(r.exchange.arena);
    this.view = r.exchange.view;
    this.sums = maker.sums;
    this.allowed = allowed;
    this.hasHost = r.options.host === true;
    this.isUntranslated = (r.options.untranslated ?? []).length > 0;
    this.guard(SCRATCH_AT, SCRATCH_AT + SCRATCH_LENGTH);
  }

  turn(txCount: number): number {
    this.flush(txCount);
    this.checkGuards();
    return this.receive();
  }

  flush(txCount: number): number {
    const { tx } = this.rig.exchange;
    for (let i = 0; i < txCount; i++) {
      const at = i * TX_WORDS;
      tx[at + TX_ERRNO] = 0;
      this.judge(tx[at + TX_LINK], tx[at + TX_FRAME_AT], tx[at + TX_LENGTH_BYTES]);
    }
    return 0;
  }

  private guard(from: number, to: number): void {
    for (let at = from; at < to; at += this.guards.length) this.u8.set(to - at >= this.guards.length ? this.guards : this.guards.subarray(0, to - at), at);
  }

  private isGuard(from: number, to: number): boolean {
    for (let at = from; at < to; at++) if (this.u8[at] !== MAGIC[(at - from) & 7]) return false;
    return true;
  }

  /** Nothing between the records has been written, nor behind the scratch room that was given out; that one is made guard again. */
  private checkGuards(): void {
    for (let i = 0; i < this.batch; i++) {
      if (!this.isGuard(this.guardFrom[i], this.guardTo[i])) throw new Error(`the room behind record ${i} of the batch was written: ${hex(this.u8, this.guardFrom[i], GUARD_BYTES)}`);
    }
    const { scratchAt } = this.rig.exchange as unknown as { scratchAt: number };
    const end = Math.min(scratchAt + GUARD_BYTES, SCRATCH_AT + SCRATCH_LENGTH);
    // The room given out is a multiple of 4 from a multiple of 4: the guard's phase behind it is known.
    for (let at = scratchAt; at < end; at++) if (this.u8[at] !== MAGIC[(at - SCRATCH_AT) & 7]) throw new Error(`the room behind what was made in this turn was written at ${at - scratchAt}`);
    for (let at = SCRATCH_AT; at < scratchAt; at += this.guards.length) this.u8.set(scratchAt - at >= this.guards.length ? this.guards : this.guards.subarray(0, scratchAt - at), at);
    this.batch = 0;
  }

  private receive(): number {
    const { rx } = this.rig.exchange;
    const { maker, u8 } = this;
    const count = Math.min(this.wanted, BATCH_MAX);
    let at = 0;
    for (let i = 0; i < count; i++) {
      const ipAt = at + HEADROOM;
      maker.make(ipAt);
      const frameAt = maker.link === HOST ? ipAt : ipAt - 14;
      u8.set(maker.vnet, frameAt - 10);
      const row = i * RX_WORDS;
      rx[row + RX_LINK] = maker.link;
      rx[row + RX_FRAME_AT] = frameAt;
      rx[row + RX_LENGTH_BYTES] = maker.end - frameAt;
      rx[row + RX_VLAN_TCI] = maker.vlanTci;
      at = (maker.end + GUARD_BYTES + 3) & ~3;
      this.guardFrom[i] = maker.end;
      this.guardTo[i] = at + HEADROOM - WRITABLE_HEADROOM;
      u8.set(this.guards.subarray(0, this.guardTo[i] - maker.end), maker.end);
    }
    this.batch = count;
    this.packets += count;
    this.wanted = 0;
    return count;
  }

  private judge(link: number, frameAt: number, length: number): void {
    this.sent++;
    this.sentByLink[link]++;
    const { view } = this;
    let at = frameAt;
    if (link !== HOST) {
      if (view.getUint16(at + 6) !== OUR_MAC[link][0] || view.getUint32(at + 8) !== OUR_MAC[link][1]) this.fail(link, frameAt, length, 'left with a strange MAC address');
      const type = view.getUint16(at + 12);
      if (type === 0x0806) {
        if (length !== 60 && length !== 42) this.fail(link, frameAt, length, 'ARP of a strange length');
        return;
      }
      if (type !== 0x0800) this.fail(link, frameAt, length, 'neither IPv4 nor ARP left');
      if ((view.getUint8(at) & 1) !== 0) this.fail(link, frameAt, length, 'an IP packet to more than one station');
      at += 14;
    }
    const reason = this.judgePacket(link, at, length - (at - frameAt), frameAt);
    if (reason !== null) this.fail(link, frameAt, length, reason);
    this.maker.sent(link, at, length - (at - frameAt));
  }

  private judgePacket(link: number, at: number, length: number, frameAt: number): string | null {
    const { view, u8 } = this;
    if (length < 20 || u8[at] >> 4 !== 4) return 'left without an IP header';
    const header = (u8[at] & 15) * 4;
    if (header < 20 || header > length || fold(sumOf(u8, at, at + header, 0)) !== 0xffff) return 'IP header wrong';
    if (view.getUint16(at + 2) !== length) return 'IP total length is not the length of what left';
    if (link !== HOST && u8[at + 8] === 0) return 'no hops left';
    if (length >= 8 && view.getUint32(at + length - 8) === MAGIC_HIGH && view.getUint32(at + length - 4) === MAGIC_LOW) return 'bytes behind a record were copied out';
    if (this.bytes.subarray(at, at + length).indexOf(MAGIC) >= 0) return 'bytes outside of a record were copied out';
    const allowed = this.allowed[link];
    if (allowed !== undefined && !allowed.has(view.getInt32(at + 12))) return 'left an uplink with a source that is not its address';
    const word = view.getUint16(at + 6);
    if (allowed !== undefined && u8[at + 9] === ICMP && (word & 0x1fff) === 0 && !this.isUntranslated) {
      const l4 = at + header;
      const type = u8[l4];
      // Nothing leaves with a quote whose header's checksum is wrong, but for one thing: a link's offload metadata may ask for a checksum to be finished in the
      // middle of it (as for a tunnel's inner packet), and what comes out may look like any address.
      const quote = l4 + 8;
      const isQuote = length - header >= 28 && fold(sumOf(u8, quote, Math.min(at + length, quote + (u8[quote] & 15) * 4), 0)) === 0xffff;
      if (isQuote && (type === 3 || type === 11 || type === 12 || type === 4 || type === 5)) {
        if (isInside(view.getInt32(l4 + 20), this.hasHost)) return 'an ICMP error quotes an inside source outside';
        if (this.maker.isStrict && isInside(view.getInt32(l4 + 24), this.hasHost)) return 'an ICMP error quotes an inside destination outside';
      }
    }
    return this.sums === 'any' ? null : this.judgeSums(at, header, length, frameAt);
  }

  /** Transport checksums, of whole packets and of datagrams whose fragments leave one behind the other. */
  private judgeSums(at: number, header: number, length: number, frameAt: number): string | null {
    const { view, u8 } = this;
    const protocol = u8[at + 9];
    const word = view.getUint16(at + 6);
    const l4 = at + header, end = at + length;
    if ((word & 0x3fff) !== 0) return this.judgePart(at, l4, end, word);
    if (protocol === TCP) {
      if (length - header < 20) return 'TCP header cut short';
      const isPartial = (u8[frameAt - 10] & 1) !== 0;
      const pseudo = sumOf(u8, at + 12, at + 20, protocol + length - header);
      if (isPartial) return view.getUint16(l4 + 16) === fold(pseudo) ? null : 'partial TCP checksum wrong';
      const isRight = fold(sumOf(u8, l4, end, pseudo)) === 0xffff;
      if (this.sums === 'right') return isRight ? null : 'TCP checksum wrong';
      // Without a payload it may be a reset of the router's own.
      return isRight && length - header > (u8[l4 + 12] >> 4) * 4 ? 'a wrong TCP checksum was made right' : null;
    }
    if (protocol === UDP) {
      if (length - header < 8) return 'UDP header cut short';
      if (view.getUint16(l4 + 6) === 0) return null;
      const udpLength = view.getUint16(l4 + 4);
      const isRight = fold(sumOf(u8, l4, l4 + udpLength, sumOf(u8, at + 12, at + 20, protocol + udpLength))) === 0xffff;
      return isRight === (this.sums === 'right') ? null : isRight ? 'a wrong UDP checksum was made right' : 'UDP checksum wrong';
    }
    if (protocol === ICMP && fold(sumOf(u8, l4, end, 0)) !== 0xffff) return 'ICMP checksum wrong';
    return null;
  }

  private judgePart(at: number, l4: number, end: number, word: number): string | null {
    const { view, u8 } = this;
    const offset = (word & 0x1fff) * 8;
    const id = view.getUint16(at + 4), source = view.getInt32(at + 12), target = view.getInt32(at + 16);
    if (offset === 0) {
      this.partId = id; this.partSource = source; this.partTarget = target;
      this.partSum = 0;
      this.partNext = 0;
      if (u8[at + 9] === UDP && view.getUint16(l4 + 6) === 0) this.partId = -1;
    }
    if (id !== this.partId || source !== this.partSource || target !== this.partTarget || offset !== this.partNext) return null;
    this.partSum = fold(sumOf(u8, l4, end, this.partSum));
    this.partNext = offset + end - l4;
    if ((word & 0x2000) !== 0) return null;
    this.partId = -1;
    const protocol = u8[at + 9];
    // A datagram with more behind its UDP length is not judged as a whole.
    if (protocol !== TCP && protocol !== ICMP) return null;
    const isRight = fold(protocol === ICMP ? this.partSum : sumOf(u8, at + 12, at + 20, protocol + this.partNext + this.partSum)) === 0xffff;
    if (protocol === ICMP || this.sums === 'right') return isRight ? null : 'checksum of a fragmented datagram wrong';
    return isRight ? 'a wrong checksum of a fragmented datagram was made right' : null;
  }

  private fail(link: number, frameAt: number, length: number, reason: string): never {
    throw new Error(`${reason}; link ${this.rig.names[link]}: ${hex(this.u8, frameAt, length)}`);
  }
}

/** A real server goes, comes, or is no longer wanted. */
function upset({ router }: Rig, d: Dice): void {
  const server = d.below(router.plan.realServers.length);
  const isGood = d.chance(60);
  const what = d.below(3);
  if (what === 0) router.setServerHealth(server, isGood);
  else if (what === 1) router.setServerDrained(server, !isGood, d.chance(50));
  else router.setServerWeight(server, isGood ? 1 + d.below(4) : 0);
}

/** So many packets of one seed; throws a FuzzError when a promise is broken. */
export function fuzz(seed: number, packets: number): FuzzResult {
  const startMs = performance.now();
  const { options, sums, isStrict, allowed } = setUp(seed);
  const r = rig(options);
  const { counters } = r.router;
  const startTx = r.names.map((_, link) => counters.link(link, TX_PACKETS));
  const d = new Dice(~seed);
  const io = new FuzzIo(r, new FrameMaker(seed, sums, isStrict, r.names.length, r.exchange.u8), allowed);
  r.exchange.connect(io);
  const drive = (): void => {
    let turns = 0;
    do {
      turn(r.router, 0);
      if (++turns > 10_000) throw new Error('the router does not come to rest');
    } while (r.exchange.txCount > 0);
  };
  const check = (): void => {
    for (let link = 0; link < r.names.length; link++) {
      let sum = 0;
      for (const row of VERDICTS) sum += counters.verdict(link, row.number);
      if (sum !== counters.link(link, RX_PACKETS)) throw new Error(`${r.names[link]}: verdicts add up to ${sum}, received were ${counters.link(link, RX_PACKETS)}`);
      if (counters.link(link, TX_PACKETS) - startTx[link] !== io.sentByLink[link]) throw new Error(`${r.names[link]}: counted as sent ${counters.link(link, TX_PACKETS) - startTx[link]}, seen were ${io.sentByLink[link]}`);
    }
  };
  try {
    // The steps do not depend on how many packets there are to be, so a run cut short is the beginning of the long one.
    for (let batch = 0; io.packets < packets; batch++) {
      io.wanted = Math.min(1 + d.below(BATCH_FRAMES), packets - io.packets);
      drive();
      const event = d.below(1000);
      if (event < 150) r.clock.advance(d.below(event < 20 ? 400_000 : 3000));
      if (event >= 980 && event < 990) {
        const link = d.below(r.names.length);
        r.router.setLinkUp(link, false);
        if (d.chance(70)) {
          io.wanted = Math.min(1 + d.below(BATCH_FRAMES), packets - io.packets);
          drive();
        }
        r.router.setLinkUp(link, true);
      }
      if (event >= 990 && r.router.plan.realServers.length > 0) upset(r, d);
      if (batch % 64 === 0) check();
    }
    drive();
    check();
    // Everything that waits comes to an end, and everything that was taken is given back.
    for (let i = 0; i < 100; i++) {
      r.clock.advance(100_000);
      for (let j = 0; j < 10; j++) drive();
    }
    check();
    released(r);
  } catch (error) {
    throw new FuzzError(seed, io.packets, error instanceof Error ? error.stack ?? error.message : String(error), { cause: error });
  }
  const verdicts: Record<string, number> = {};
  for (const row of VERDICTS) {
    const count = r.names.reduce((sum, _, link) => sum + counters.verdict(link, row.number), 0);
    if (count > 0) verdicts[row.name] = count;
  }
  return { seed, packets: io.packets, sent: io.sent, durationMs: performance.now() - startMs, verdicts };
}

/** Nothing is held any more. */
function released(r: Rig): void {
  const { router } = r;
  const { mappings } = router;
  const left: Record<string, number> = {
    flows: router.flows.count, 'packets waiting for neighbours': router.heldCount, 'datagrams in pieces': router.fragments.count, 'bytes of fragments': router.fragments.bytes,
    expectations: router.expectations.count, permissions: mappings.permissions.size, 'sources with flows': mappings.sourceFlows.size, 'sources with ports': mappings.sourcePorts.size,
    'pairings': mappings.pairings.size,
    'control flows': router.watch.counts.reduce((sum, { watched }) => sum + watched, 0),
  };
  for (const { index, name } of router.plan.uplinks) {
    left[`flows of uplink ${name}`] = router.counters.uplink(index, UPLINK_FLOWS);
    left[`ports of uplink ${name}`] = router.counters.uplink(index, UPLINK_PORTS_USED);
  }
  for (const server of router.virtualServers.servers) {
    left[`active flows of server ${server.index}`] = server.active;
    left[`inactive flows of server ${server.index}`] = server.inactive;
  }
  left['clients remembered'] = router.virtualServers.persistence.count;
  for (const name of r.names) left[`frames held on ${name}`] = router.counters.verdict(r.index(name), V.HELD);
  const kept = Object.entries(left).filter(([, count]) => count !== 0);
  if (kept.length > 0) throw new Error(`not given back: ${kept.map(([what, count]) => `${count} ${what}`).join(', ')}`);
}

interface Job { seed: number; packets: number }
type Outcome = FuzzResult | { seed: number; failure: string };

function runJob({ seed, packets }: Job): Outcome {
  try {
    return fuzz(seed, packets);
  } catch (error) {
    return { seed, failure: (error as Error).message };
  }
}

/** Works jobs off in so many processes, telling each outcome as it comes. */
async function inProcesses(jobs: readonly Job[], processes: number, tell: (outcome: Outcome) => void): Promise<void> {
  const queue = [...jobs];
  await Promise.all(Array.from({ length: Math.min(processes, jobs.length) }, () => new Promise<void>((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), ['--worker'], { execArgv: process.execArgv });
    const next = (): void => {
      const job = queue.shift();
      if (job === undefined) child.disconnect();
      else child.send(job);
    };
    child.on('message', (outcome: Outcome) => {
      tell(outcome);
      next();
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => { if (code === 0) resolve(); else reject(new Error(`a process ended with ${signal ?? `exit code ${code}`}`)); });
    next();
  })));
}

async function main(args: string[]): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({ args, options: { packets: { type: 'string', default: '1000000' }, seed: { type: 'string', default: '1' }, 'per-seed': { type: 'string', default: String(PER_SEED) }, processes: { type: 'string', default: '2' } } }));
  } catch (error) {
    console.error(`fuzz: ${(error as Error).message}\nusage: fuzz [--packets N] [--seed S] [--per-seed N] [--processes P]`);
    return 2;
  }
  const [packets, seed, perSeed, processes] = [values.packets, values.seed, values['per-seed'], values.processes].map(Number);
  if (![packets, perSeed, processes].every((n) => Number.isSafeInteger(n) && n > 0) || !Number.isSafeInteger(seed) || seed < 0) {
    console.error('fuzz: every option is a whole number above 0');
    return 2;
  }
  const jobs: Job[] = [];
  for (let left = packets; left > 0; left -= perSeed) jobs.push({ seed: seed + jobs.length, packets: Math.min(left, perSeed) });
  console.log(`${packets} packets, seeds ${seed} to ${seed + jobs.length - 1}`);
  const startMs = performance.now();
  let failures = 0, done = 0, sent = 0;
  const totals = new Map<string, number>();
  const tell = (outcome: Outcome): void => {
    if ('failure' in outcome) {
      failures++;
      console.log(`FAILED ${outcome.failure}`);
      return;
    }
    done += outcome.packets;
    sent += outcome.sent;
    for (const [name, count] of Object.entries(outcome.verdicts)) totals.set(name, (totals.get(name) ?? 0) + count);
    console.log(`ok     seed ${outcome.seed}: ${outcome.packets} packets, ${outcome.sent} left, ${Math.round(outcome.packets / outcome.durationMs * 1000)} packets/s`);
  };
  if (jobs.length === 1) tell(runJob(jobs[0]));
  else await inProcesses(jobs, processes, tell);
  const seconds = (performance.now() - startMs) / 1000;
  for (const [name, count] of [...totals].sort((a, b) => b[1] - a[1])) console.log(`  ${name.padEnd(20)} ${count}`);
  const never = VERDICTS.filter((row) => !totals.has(row.name)).map((row) => row.name);
  if (failures === 0 && never.length > 0) console.log(`never: ${never.join(' ')}`);
  console.log(`${done} packets held every promise, ${sent} left, ${failures} seeds failed, ${seconds.toFixed(0)} s, ${Math.round(done / seconds)} packets/s`);
  return failures === 0 ? 0 : 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--worker')) process.on('message', (job: Job) => { process.send!(runJob(job)); });
  else process.exitCode = await main(process.argv.slice(2));
}

/**
 * Links and uplinks come and go under thousands of live flows of every kind, at random: whatever happens,
 *
 *   - nothing leaves by a link without carrier, nor by an uplink that is down (with onDown: drain, by its link while that has carrier);
 *   - what leaves by an uplink bears an address of that uplink, and each flow the one it has always had;
 *   - a flow whose uplink stays up, or that has nowhere better to go, stands as it stood: same entry, same uplink, same mapping;
 *   - a flow that is ended, moved or made to wait is told of, exactly once, with the right reason; no other is;
 *   - the counters add up.
 *
 * Flows live on PC1 and PC2 (whose flows leave untranslated) and on clients outside, to whom ports of PC1 are forwarded.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { GroupPlan, PortForwardPlan } from '../../src/base/plan.js';
import { Random } from '../../src/base/random.js';
import { readFates } from '../../src/stage/fate.js';
import { UPLINK_FLOWS } from '../../src/table/counters.js';
import { HEADER_ENDED, HEADER_EXPIRED, HEADER_HIGH, HEADER_OPENED, SERIAL, UPLINK } from '../../src/table/flow.js';
import { formatIpv4 } from '../../src/wire/address.js';
import { Tuple } from '../../src/wire/tuple.js';
import * as make from '../support/frames.js';
import { anySeed, check } from '../support/oracle/property.js';
import { MAC, PC1, PC2, rig, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, Sent } from '../support/rig.js';

const EVENTS = 100;
const SAMPLE = 60;
const WANS = ['wan1', 'wan2'] as const;
const OWN = [WAN1, '203.0.113.2'] as const;
const GATEWAYS = [['192.168.201.1', MAC.gateway1], ['203.0.113.1', MAC.gateway2]] as const;
const TCP = make.PROTOCOL.tcp, UDP = make.PROTOCOL.udp;
/** Longer than any run takes, on its own clock. */
const LONG = 7200;

type Kind = 'tcp' | 'udp' | 'untranslated' | 'forwarded';
const KINDS: readonly Kind[] = ['tcp', 'udp', 'tcp', 'udp', 'untranslated', 'forwarded'];

interface Live {
  entry: number;
  serial: number;
  uplink: number;
  external: string;
  /** Told that it waits or drains, for as long as that lasts. */
  isTold: boolean;
}

const FORWARDS: PortForwardPlan[] = OWN.flatMap((address, uplink) => [{
  index: uplink, name: `web${uplink}`, uplink, addresses: [address], protocols: [TCP], ports: { first: 80, last: 80 }, to: PC1, toPort: 8080,
}]);

class World {
  readonly r: Rig;
  readonly flows: number;
  readonly group: Pick<GroupPlan, 'onDown' | 'onRecover' | 'tiers' | 'drainTimeout'>;
  readonly chance: Random;
  readonly live: (Live | null)[] = [];
  private readonly isSilent = [false, false];
  private readonly tuple = new Tuple();
  private readonly byName = new Map<string, number>();
  private seen = 0;
  touched = 0;

  constructor(seed: number, flows: number) {
    this.flows = flows;
    this.chance = new Random(seed);
    const any = <T>(values: readonly T[]): T => values[this.chance.below(values.length)];
    this.group = {
      onDown: any(['reset', 'move', 'keep', 'drain'] as const), onRecover: any(['keep', 'reset', 'drain'] as const), tiers: any([[1, 1], [1, 2], [2, 1]]), drainTimeout: 40,
    };
    this.r = rig({
      seed, separate: true, weights: [2, 1], untranslated: [PC2], group: this.group,
      plan: { portForwards: FORWARDS, noNat: [{ index: 0, name: 'pc2', match: { from: [`${PC2}/32`] } }] },
      limits: { flows: 2 * flows, icmpErrorsPerSecond: 1_000_000, icmpErrorsPerDestination: 1_000_000 },
      timeouts: { tcpOpening: LONG, udp: LONG, udpReplied: LONG },
    });
    for (let i = 0; i < flows; i++) {
      this.live.push(null);
      this.byName.set(this.name(i), i);
    }
  }

  kind(i: number): Kind { return KINDS[i % KINDS.length]; }
  port(i: number): number { return 2000 + i; }
  /** Clients outside are of one uplink each. */
  side(i: number): number { return Math.floor(i / KINDS.length) % 2; }
  client(i: number): string { return `198.51.${100 + this.side(i)}.${1 + (i % 200)}`; }

  /** First packet of a flow, and the same again: where it comes in, and what it is. */
  there(i: number): { link: 'lan' | 'wan1' | 'wan2'; packet: Buffer } {
    const port = this.port(i);
    switch (this.kind(i)) {
      case 'tcp': return { link: 'lan', packet: make.ipv4({ source: PC1, destination: SERVER }, make.tcp({ sourcePort: port, destinationPort: 80, sequence: i })) };
      case 'udp': return { link: 'lan', packet: make.ipv4({ source: PC1, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 53 })) };
      case 'untranslated': return { link: 'lan', packet: make.ipv4({ source: PC2, destination: SERVER }, make.udp({ sourcePort: port, destinationPort: 53 })) };
      case 'forwarded': return { link: WANS[this.side(i)], packet: make.ipv4({ source: this.client(i), destination: OWN[this.side(i)] }, make.tcp({ sourcePort: port, destinationPort: 80, sequence: i })) };
    }
  }

  /** What leaves by the uplink: the question of a host inside, or a server's answer to a client outside. */
  out(i: number): Buffer {
    if (this.kind(i) !== 'forwarded') return this.there(i).packet;
    return make.ipv4({ source: PC1, destination: this.client(i) }, make.tcp({ sourcePort: 8080, destinationPort: this.port(i), sequence: 9, acknowledgement: i + 1, flags: 'SA' }));
  }

  name(i: number): string {
    const { packet } = this.there(i);
    return `${packet[9]} ${make.formatAddress(packet.subarray(12, 16))}:${this.port(i)} ${make.formatAddress(packet.subarray(16, 20))}`;
  }

  isUp(uplink: number): boolean { return this.r.router.uplinks[uplink].isUp; }
  hasCarrier(uplink: number): boolean { return this.r.router.links[uplink + 1].isUp; }
  isUsable(uplink: number): boolean { return this.r.router.uplinks[uplink].isUsable && this.r.router.uplinks[uplink].weight > 0; }
  hasBetter(uplink: number): boolean { return this.isUsable(1 - uplink); }
  /** A better tier is in use than this uplink's. */
  isWorse(uplink: number): boolean { return this.isUsable(1 - uplink) && this.group.tiers[1 - uplink] < this.group.tiers[uplink]; }

  /** Every flow there is not, if it can be had now. */
  open(): void {
    const missing = this.live.flatMap((live, i) => (live === null ? [i] : []));
    for (const i of missing) {
      const { link, packet } = this.there(i);
      this.r.put(link, this.r.frame(link, packet));
    }
    this.judge(this.r.run());
    this.adopt();
  }

  /** Know the flows that are there and were not. */
  adopt(): void {
    const { flows } = this.r.router;
    for (let i = 0; i < this.flows; i++) {
      if (this.live[i] !== null) continue;
      const { packet } = this.there(i);
      this.tuple.setV4(packet.readInt32BE(12), packet.readInt32BE(16), packet.readInt32BE(20), packet[9]);
      const reference = flows.find(this.tuple);
      if (reference < 0) continue;
      const at = flows.at(reference >> 1);
      const isForwarded = this.kind(i) === 'forwarded';
      this.live[i] = {
        entry: reference >> 1, serial: flows.words[at + SERIAL], uplink: flows.words[at + UPLINK],
        external: isForwarded ? `${OWN[this.side(i)]}:80` : `${formatIpv4(flows.words[at + 17])}:${flows.words[at + 18] & 0xffff}`,
        isTold: isForwarded && !this.isUp(this.side(i)),
      };
      assert.ok(isForwarded ? this.isUp(this.side(i)) || this.group.onDown === 'drain' : this.isUsable(flows.words[at + UPLINK]), `flow ${i} opened where it may`);
    }
  }

  /** Something happens to an uplink; nothing has moved yet. */
  event(): string {
    const { r, chance } = this;
    const uplink = chance.below(2);
    const link = WANS[uplink];
    switch (chance.below(6)) {
      case 0: {
        const isUp = !this.hasCarrier(uplink);
        r.setUp(link, isUp);
        return `${link} carrier ${isUp}`;
      }
      case 1: {
        const isHealthy = chance.below(2) === 0;
        r.router.setUplinkHealth(uplink, isHealthy);
        return `${link} healthy ${isHealthy}`;
      }
      case 2: {
        const isDrained = chance.below(3) === 0;
        r.router.setUplinkDrained(uplink, isDrained);
        return `${link} drained ${isDrained}`;
      }
      case 3: {
        const weight = chance.below(4);
        r.router.setUplinkWeight(uplink, weight);
        return `${link} weight ${weight}`;
      }
      case 4: {
        // Its ARP entry goes stale, is used, and nobody answers.
        this.isSilent[uplink] = true;
        r.clock.advance(31_000);
        this.answer();
        for (let i = 0; i < this.flows; i++) if (this.live[i]?.uplink === uplink && this.kind(i) !== 'forwarded') { this.say(i); break; }
        for (let step = 0; step < 4; step++) {
          r.clock.advance(1000);
          this.answer();
        }
        return `${link} gateway silent`;
      }
      default:
        this.isSilent[uplink] = false;
        this.answer();
        return `${link} gateway answers`;
    }
  }

  /** The hosts inside, and gateways that are not silent, answer whatever they are asked. */
  answer(): void {
    const { r } = this;
    this.judge(r.run());
    r.put('lan', r.arpReply('lan', PC1, MAC.pc1));
    r.put('lan', r.arpReply('lan', PC2, MAC.pc2));
    GATEWAYS.forEach(([address, mac], i) => { if (!this.isSilent[i] && this.hasCarrier(i)) r.put(WANS[i], r.arpReply(WANS[i], address, mac)); });
    this.judge(r.run());
  }

  /** A packet of a flow on its way out. */
  say(i: number): void {
    this.r.put('lan', this.r.frame('lan', this.out(i)));
    const sent = this.r.run();
    this.judge(sent);
    const live = this.live[i];
    for (const one of sent) {
      if (one.isArp || one.link === 'lan' || live === null) continue;
      const source = `${make.formatAddress(one.packet.subarray(12, 16))}:${one.packet.readUInt16BE(20)}`;
      if (one.packet[9] !== make.PROTOCOL.icmp && (one.packet[9] === UDP || (one.packet[33] & make.FLAG.R) === 0)) assert.is(source, live.external, `flow ${i} bears what it has always borne`);
    }
  }

  /** What may never leave. */
  judge(sent: readonly Sent[]): void {
    for (const { link, isArp } of sent) {
      const uplink = WANS.indexOf(link as 'wan1');
      if (isArp || uplink < 0) continue;
      assert.ok(this.hasCarrier(uplink), `${link} has carrier`);
      assert.ok(this.isUp(uplink) || this.group.onDown === 'drain', `${link} is up`);
    }
    this.hear();
  }

  /** Notices since the last time: each flow they tell of was to be told of. */
  hear(): void {
    const { notices } = this.r;
    for (; this.seen < notices.length; this.seen++) {
      const notice = notices[this.seen];
      if (notice.event !== 'fate') continue;
      for (const { protocol, source, sourcePort, destination, to } of readFates(notice.flows)) {
        const name = `${protocol} ${source}:${sourcePort} ${destination}`;
        const i = this.byName.get(name);
        const live = i === undefined ? null : this.live[i];
        assert.ok(i !== undefined && live !== null, `${name} was told of, ${notice.fate}, and lived`);
        assert.is(notice.uplink, live.uplink);
        this.touched++;
        this.isRight(notice.fate, notice.reason, live, this.kind(i));
        if (notice.fate === 'reset') {
          this.live[i] = null;
        } else if (notice.fate === 'moved') {
          assert.is(this.kind(i), 'untranslated');
          assert.is(to, 1 - live.uplink);
          live.uplink = 1 - live.uplink;
        } else {
          assert.not(live.isTold, `${name} is told of once`);
          live.isTold = true;
        }
      }
    }
  }

  /** The fate is the group's for what has happened. */
  private isRight(fate: string, reason: string, live: Live, kind: Kind): void {
    const { onDown, onRecover } = this.group;
    const { uplink } = live;
    if (reason === 'uplinkDown') {
      assert.not(this.isUp(uplink));
      assert.ok(this.hasBetter(uplink), 'nothing is touched that has nowhere to go');
      const wanted = { reset: 'reset', keep: 'kept', drain: this.hasCarrier(uplink) ? 'draining' : 'reset', move: kind === 'untranslated' ? 'moved' : 'reset' }[onDown];
      assert.is(fate, wanted);
      return;
    }
    assert.ok(this.isWorse(uplink), 'a better tier is back');
    assert.is.not(kind, 'forwarded', 'what came in by an uplink chose it');
    assert.is(onRecover, reason === 'betterUplink' && fate === 'reset' ? 'reset' : 'drain');
    assert.is(fate, reason === 'drainTimeout' || onRecover === 'reset' ? 'reset' : 'draining');
  }

  /** On a worse tier than the one in use, and not because it came in there. */
  isRefugee(i: number, uplink: number): boolean { return this.isWorse(uplink) && this.kind(i) !== 'forwarded'; }

  /** What is not as it should be with a flow, or null. */
  private wrongWith(i: number, live: Live): string | null {
    const { flows } = this.r.router;
    const { words } = flows;
    const at = flows.at(live.entry);
    const { uplink } = live;
    const { onDown, onRecover } = this.group;
    if (words[at + SERIAL] !== live.serial) return 'is gone';
    if (words[at + UPLINK] !== uplink) return 'has changed its uplink';
    if (this.kind(i) !== 'forwarded' && `${formatIpv4(words[at + 17])}:${words[at + 18] & 0xffff}` !== live.external) return 'has changed its mapping';
    if (!this.isUp(uplink)) {
      if (!this.hasBetter(uplink)) return null;
      if (onDown !== 'keep' && !(onDown === 'drain' && this.hasCarrier(uplink))) return 'has escaped its fate';
      return live.isTold ? null : 'was not told of';
    }
    if (!this.isRefugee(i, uplink) || onRecover === 'keep') return null;
    if (onRecover === 'reset') return 'has not given way';
    return live.isTold ? null : 'does not know that it drains';
  }

  /** Every flow stands as it is known to, and none that should have met its fate is left. */
  verify(): void {
    const { flows, counters } = this.r.router;
    const { words } = flows;
    const { onRecover } = this.group;
    for (let i = 0; i < this.flows; i++) {
      const live = this.live[i];
      if (live === null) continue;
      const wrong = this.wrongWith(i, live);
      if (wrong !== null) assert.unreachable(`flow ${i} (${this.name(i)} by uplink ${live.uplink}) ${wrong}`);
      const { uplink } = live;
      if (this.isUp(uplink) && !(onRecover === 'drain' && this.isRefugee(i, uplink))) live.isTold = false;
    }
    assert.is(flows.count, this.live.filter((live) => live !== null).length);
    assert.is(words[HEADER_OPENED], flows.count + words[HEADER_EXPIRED] + words[HEADER_ENDED], 'opened = living + expired + ended');
    const byUplink = [0, 0];
    for (let entry = 0; entry < words[HEADER_HIGH]; entry++) {
      const at = flows.at(entry);
      if ((words[at + SERIAL] & 1) !== 0 && words[at + UPLINK] >= 0) byUplink[words[at + UPLINK]]++;
    }
    assert.equal([0, 1].map((uplink) => counters.uplink(uplink, UPLINK_FLOWS)), byUplink);
  }
}

/** Returns how many flows were told of, in all. */
function run(flows: number, runs: number): number {
  let touched = 0;
  check(fc.property(fc.noShrink(anySeed), (seed) => {
    const world = new World(seed, flows);
    const { chance } = world;
    world.open();
    world.verify();
    assert.is(world.live.filter((live) => live !== null).length, flows);
    const history: string[] = [];
    try {
      for (let i = 0; i < EVENTS; i++) {
        history.push(world.event());
        // Some packets come before the sweep has come to their flows, from either side; the rest after it.
        for (let n = 0; n < SAMPLE; n++) {
          const flow = chance.below(flows);
          const { link, packet } = world.there(flow);
          if (world.live[flow] !== null && (link === 'lan' || world.hasCarrier(world.side(flow)))) world.r.put(link, world.r.frame(link, packet));
        }
        world.judge(world.r.run());
        world.answer();
        // A flow that was ended may have been opened anew by its own packet: it is known from here on.
        world.adopt();
        world.verify();
        for (let n = 0; n < SAMPLE; n++) {
          const flow = chance.below(flows);
          if (world.live[flow] !== null) world.say(flow);
        }
        world.verify();
        world.open();
        world.verify();
      }
    } catch (error) {
      throw new Error(`seed ${seed}, ${JSON.stringify(world.group)}, after ${history.slice(-8).join(', ')}: ${(error as Error).message}`, { cause: error });
    }
    touched += world.touched;
  }), runs);
  return touched;
}

test(`${EVENTS} events under 600 flows, many times over`, () => assert.ok(run(600, 12) > 0));

test(`${EVENTS} events under 10 000 flows`, () => { run(10_000, 1); });

test.run();

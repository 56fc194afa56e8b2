/**
 * Random flows over two instances, with packets of either direction at either one, news that is told early, late or not at all before a packet comes, and time
 * that passes. Whatever happens, no packet of a flow ever leaves with another address, port or server than its first one had; and when everything has ended
 * nothing is held by anybody.
 */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Conversation } from '../support/conversation.js';
import * as make from '../support/frames.js';
import { check } from '../support/oracle/property.js';
import { PC1, PC2, SERVER, WAN1 } from '../support/rig.js';
import type { Rig, Sent } from '../support/rig.js';
import { Call, origin, realServer, servers, towards } from '../support/servers.js';
import { allWell, atRest, flowsOf, pair } from '../support/shared.js';
import type { Pair } from '../support/shared.js';

const VIP = '192.168.201.80';
const KINDS = ['tcp', 'udp', 'icmp', 'served', 'servedUdp'] as const;
type Kind = (typeof KINDS)[number];

/** A flow of the test, spoken by both its ends. */
interface Talk {
  kind: Kind;
  /** Send in a direction at an instance; what left. */
  say(at: Rig, direction: 0 | 1): Sent[];
  close(at: Rig): void;
  /** What may not change: as whom the far side knows it, and who answers. */
  identity: string | null;
}

function tcpTalk(at: Rig, port: number): Talk {
  const talk = new Conversation(at, { ports: [port, 80], first: [port * 1000, port * 2000] }).open();
  return {
    kind: 'tcp', identity: null,
    say: (to, direction) => {
      talk.rig = to;
      return talk.say(direction, 'PA', { length: 100 });
    },
    close: (to) => {
      talk.rig = to;
      talk.close();
    },
  };
}

function datagramTalk(at: Rig, port: number, isEcho: boolean): Talk {
  const out = make.ipv4({ source: PC1, destination: SERVER }, isEcho ? make.echoRequest({ id: port }) : make.udp({ sourcePort: port, destinationPort: 53 }));
  const [first] = at.from('lan', out);
  const external = first.packet.readUInt16BE(isEcho ? 24 : 20);
  const back = make.ipv4({ source: SERVER, destination: WAN1 }, isEcho ? make.echoReply({ id: external }) : make.udp({ sourcePort: 53, destinationPort: external }));
  return { kind: isEcho ? 'icmp' : 'udp', identity: null, say: (to, direction) => (direction === 0 ? to.from('lan', out) : to.from('wan1', back)), close: () => undefined };
}

function servedTalk(at: Rig, port: number, isUdp: boolean): Talk {
  const call = new Call(at, { to: VIP, port, client: `198.51.100.${10 + (port % 7)}`, protocol: isUdp ? 'udp' : 'tcp' });
  call.open();
  return {
    kind: isUdp ? 'servedUdp' : 'served', identity: null,
    say: (to, direction) => {
      call.rig = to;
      return direction === 0 ? call.say('PA', 10) : call.answer('PA', 10);
    },
    close: (to) => {
      call.rig = to;
      if (!isUdp) call.close();
    },
  };
}

const open = (kind: Kind, at: Rig, port: number): Talk =>
  (kind === 'tcp' ? tcpTalk(at, port) : kind === 'udp' || kind === 'icmp' ? datagramTalk(at, port, kind === 'icmp') : servedTalk(at, port, kind === 'servedUdp'));

/** What a packet that left says of its flow, in words that are the same for all of its packets of that direction. */
const shown = (sent: Sent): string => {
  if (sent.packet[9] === 1) return `${sent.link} echo ${sent.packet.readUInt16BE(24)} ${make.formatAddress(sent.packet.subarray(12, 16))} ${make.formatAddress(sent.packet.subarray(16, 20))}`;
  return `${sent.link} ${origin(sent)} ${towards(sent)}`;
};

const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('open' as const), kind: fc.constantFrom(...KINDS), isB: fc.boolean() }) },
  { weight: 10, arbitrary: fc.record({ do: fc.constant('say' as const), pick: fc.nat(), isB: fc.boolean(), direction: fc.constantFrom(0 as const, 1 as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), pick: fc.nat(), isB: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('tell' as const), isB: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), seconds: fc.constantFrom(1, 30, 130) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('yield' as const), isB: fc.boolean() }) });

class World {
  readonly made: Pair;
  readonly talks: Talk[] = [];
  private readonly shownOf = new Map<string, string>();
  private readonly closed = new Set<number>();
  private port = 2000;

  constructor(made: Pair) { this.made = made; }

  at(isB: boolean): Rig { return isB ? this.made.b : this.made.a; }

  open(kind: Kind, isB: boolean): void { this.talks.push(open(kind, this.at(isB), this.port++)); }

  say(pick: number, isB: boolean, direction: 0 | 1): void {
    if (this.talks.length === 0) return;
    const number = pick % this.talks.length;
    if (this.closed.has(number)) return;
    const talk = this.talks[number];
    const at = this.at(isB);
    // Nothing tells a datagram of a flow that is known elsewhere from one that opens a flow.
    if (talk.kind !== 'tcp' && talk.kind !== 'served') this.made.pump.flow();
    let sent = talk.say(at, direction);
    if (sent.length === 0 && this.made.pump.answer(at) > 0) sent = at.run().filter(({ isArp }) => !isArp);
    for (const one of sent) {
      // Refused: its ends are told, and the flow has ended.
      if ((one.packet[9] === 6 && (one.packet[33] & 4) !== 0) || (one.packet[9] === 1 && ![0, 8].includes(one.packet[20]))) continue;
      const key = `${number} ${direction}`;
      const now = shown(one);
      assert.is(now, this.shownOf.get(key) ?? now, `${talk.kind} ${number}, direction ${direction}`);
      this.shownOf.set(key, now);
    }
  }

  close(pick: number, isB: boolean): void {
    if (this.talks.length === 0) return;
    const number = pick % this.talks.length;
    if (this.closed.has(number)) return;
    this.closed.add(number);
    this.made.pump.flow();
    this.talks[number].close(this.at(isB));
  }

  tell(isB: boolean): void {
    this.made.pump.collect(this.at(isB));
    this.made.pump.deliver(this.at(!isB));
  }

  wait(seconds: number): void {
    for (const one of [this.made.a, this.made.b]) {
      one.advance(seconds * 1000);
      one.teach();
    }
    // What a flow that has ended was is nothing to one that begins.
    if (seconds > 100) this.made.pump.flow();
  }
}

const farm = servers(
  { addresses: VIP, realServers: [{ address: PC1 }, { address: PC2 }], persistence: { timeout: 100, mask: 32 } },
  { addresses: VIP, protocols: [17], realServers: [{ address: PC1 }, { address: PC2 }] });

test('no flow ever changes what it looks like, and everything adds up in the end', () => {
  check(fc.property(fc.array(step, { minLength: 5, maxLength: 60 }), (steps) => {
    const made = pair({ plan: farm, limits: { flowsPerSource: 1000, portsPerSource: 1000 }, timeouts: { udp: 3000, udpReplied: 3000, icmp: 3000, tcpEstablished: 7440, tcpTimeWait: 120 } });
    const { a, b, pump } = made;
    const world = new World(made);
    for (const one of steps) {
      switch (one.do) {
        case 'open': world.open(one.kind, one.isB); break;
        case 'say': world.say(one.pick, one.isB, one.direction); break;
        case 'close': world.close(one.pick, one.isB); break;
        case 'tell': world.tell(one.isB); break;
        case 'wait': world.wait(one.seconds); break;
        case 'yield':
          // What nobody has been told of is the share worker's to tell then.
          pump.flow();
          pump.yield(world.at(one.isB));
          break;
      }
    }
    pump.flow();
    // By now both know the same flows, and count the same.
    assert.equal(flowsOf(a).map(({ from, to, external, server }) => [from, to, external, server].join()).sort(), flowsOf(b).map(({ from, to, external, server }) => [from, to, external, server].join()).sort());
    for (const address of [PC1, PC2]) {
      const of = (at: Rig): number => at.router.virtualServers.servers.filter((server) => server.address === realServer(at, address).address).reduce((sum, { flows }) => sum + flows, 0);
      assert.is(of(a), of(b), `flows of ${address}`);
      assert.is(of(a), flowsOf(a).filter(({ to, server }) => to.startsWith(`${VIP}:`) && server.startsWith(`${address}:`)).length);
    }
    allWell(a, b);
    atRest(a, b);
    pump.flow();
    pump.flow();
    assert.is(a.flowCount + b.flowCount, 0);
  }), 60);
});

test.run();

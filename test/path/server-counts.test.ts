/** What real servers are counted to have is what the table holds, whatever happens to flows and servers in whatever order; in the end it is nothing. */
import fc from 'fast-check';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { PERSISTENCE_ENTRIES, SERVER_ACTIVE, SERVER_INACTIVE } from '../../src/table/counters.js';
import { HEADER_HIGH, INWARD, SERIAL, servedBy, STATE } from '../../src/table/flow.js';
import { STATE_MASK, TCP_CHALLENGED, TCP_ESTABLISHED } from '../../src/table/tcp-state.js';
import * as make from '../support/frames.js';
import { DMZ_HOST, PC1, PC2, rig, WAN1 } from '../support/rig.js';
import type { Rig } from '../support/rig.js';
import { check } from '../support/oracle/property.js';
import { Call, servers } from '../support/servers.js';

const TCP = make.PROTOCOL.tcp, UDP = make.PROTOCOL.udp;
const CALLS = 8;
/** Word of a flow’s tuple. */
const PROTOCOL = 9;

type Step =
  | { what: 'say' | 'answer'; call: number; flags: string } | { what: 'open' | 'close'; call: number } | { what: 'health' | 'drain' | 'flush'; server: number; isGood: boolean }
  | { what: 'weight'; server: number; weight: number } | { what: 'wait'; seconds: number } | { what: 'erase' };

const call = fc.nat({ max: CALLS - 1 }), server = fc.nat({ max: 5 }), isGood = fc.boolean();
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 12, arbitrary: fc.record({ what: fc.constantFrom('say' as const, 'answer' as const), call, flags: fc.constantFrom('S', 'SA', 'A', 'PA', 'FA', 'R', 'RA') }) },
  { weight: 6, arbitrary: fc.record({ what: fc.constantFrom('open' as const, 'open' as const, 'close' as const), call }) },
  { weight: 4, arbitrary: fc.record({ what: fc.constantFrom('health' as const, 'drain' as const, 'flush' as const), server, isGood }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('weight' as const), server, weight: fc.nat({ max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('wait' as const), seconds: fc.constantFrom(1, 60, 300) }) },
  { weight: 1, arbitrary: fc.constant({ what: 'erase' as const }) },
);

/** Active and inactive flows of each real server, as the table has them. */
function held(r: Rig): number[][] {
  const { flows, plan } = r.router;
  const { words } = flows;
  const counts = plan.realServers.map(() => [0, 0]);
  for (let flow = 0; flow < words[HEADER_HIGH]; flow++) {
    const at = flows.at(flow);
    const server = servedBy(words[at + INWARD]);
    if ((words[at + SERIAL] & 1) === 0 || server < 0) continue;
    const state = words[at + STATE] & STATE_MASK;
    counts[server][words[at + PROTOCOL] !== TCP || state === TCP_ESTABLISHED || state === TCP_CHALLENGED ? 0 : 1]++;
  }
  return counts;
}

function agree(r: Rig): void {
  const { counters, virtualServers, plan } = r.router;
  const counts = plan.realServers.map(({ index }) => [counters.server(index, SERVER_ACTIVE), counters.server(index, SERVER_INACTIVE)]);
  assert.equal(counts, held(r), 'what the view reads');
  assert.equal(virtualServers.servers.map(({ active, inactive }) => [active, inactive]), counts, 'what schedulers go by');
}

function later(r: Rig, seconds: number): void {
  for (let left = seconds; left > 0; left -= 20) {
    r.advance(Math.min(left, 20) * 1000, 5000);
    r.teach();
  }
}

for (const onServerDown of ['reset', 'keep', 'move'] as const) {
  test(`on server down: ${onServerDown}`, () => {
    check(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const realServers = [{ address: PC1, upper: 3, lower: 1 }, { address: PC2 }];
      const r = rig({
        dmz: true,
        plan: servers(
          { addresses: WAN1, onServerDown, persistence: { timeout: 60, mask: 30 }, protocols: [TCP, UDP], realServers, sorry: { address: DMZ_HOST } },
          { addresses: WAN1, onServerDown, protocols: [UDP], ports: { first: 81, last: 81 }, onePacket: true, realServers, sorry: { address: DMZ_HOST } }),
      });
      const calls = Array.from({ length: CALLS }, (_, i) => new Call(r, {
        to: WAN1, client: `198.51.100.${i + 1}`, protocol: i < 5 ? 'tcp' : 'udp', toPort: i < 7 ? 80 : 81,
      }));
      for (const one of steps) {
        switch (one.what) {
          case 'say': calls[one.call].say(one.flags, 1); break;
          case 'answer': if (calls[one.call].toServer !== null) calls[one.call].answer(one.flags, 1); break;
          case 'open': calls[one.call].open(); break;
          case 'close': if (calls[one.call].toServer !== null) calls[one.call].close(); break;
          case 'health': r.router.setServerHealth(one.server, one.isGood); break;
          case 'drain': r.router.setServerDrained(one.server, !one.isGood, false); break;
          case 'flush': r.router.setServerDrained(one.server, !one.isGood, true); break;
          case 'weight': r.router.setServerWeight(one.server, one.weight); break;
          case 'wait': later(r, one.seconds); break;
          case 'erase': r.router.virtualServers.persistence.erase(null); break;
        }
        // Packets come in before the walk has seen every flow, and after.
        if (one.what === 'say' || one.what === 'answer') r.run();
        agree(r);
      }
      r.run();
      agree(r);
      r.advance(3 * 60 * 60 * 1000, 60_000);
      r.advance(120_000, 5000);
      assert.equal([r.flowCount, r.router.counters.getRouter(PERSISTENCE_ENTRIES)], [0, 0]);
      agree(r);
    }), 25);
  });
}

test.run();

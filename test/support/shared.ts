/** Two instances of one router with a pump between them, and what must hold of both. */
import * as assert from 'uvu/assert';
import type { SharingCount } from '../../src/table/counters.js';
import { UPLINK_FLOWS, UPLINK_PORTS_USED } from '../../src/table/counters.js';
import { FLAG_PUBLISHED, FLAG_REPLICA, FLAGS, MAPPING, ORIGINAL_TUPLE, REPLY_TUPLE, SERIAL, STATE } from '../../src/table/flow.js';
import { STATE_MASK, STATE_NAMES } from '../../src/table/tcp-state.js';
import { formatIpv4 } from '../../src/wire/address.js';
import { rig } from './rig.js';
import type { Rig, RigOptions } from './rig.js';
import { Pump } from './share-pump.js';

export const RING_WORDS = 32_768;

export interface Pair { a: Rig; b: Rig; pump: Pump }

/** The same router twice, with rings; `other` is what differs at the second. */
export function pair(options: RigOptions = {}, other: RigOptions = {}): Pair {
  const both: RigOptions = { weights: [1, 0], rings: RING_WORDS, ...options };
  const a = rig({ seed: 1, ...both });
  const b = rig({ seed: 2, ...both, ...other });
  return { a, b, pump: new Pump(a, b) };
}

export interface FlowRow { flow: number; from: string; to: string; external: string; server: string; state: string; isReplica: boolean; isPublished: boolean; hasMapping: boolean }

/** Every flow of a rig: who opened it to whom, as whom the far side knows the opener and who answers. */
export function flowsOf({ router: { flows } }: Rig): FlowRow[] {
  const rows: FlowRow[] = [];
  const { words } = flows;
  for (let flow = 0; flow < flows.capacity; flow++) {
    const at = flows.at(flow);
    if ((words[at + SERIAL] & 1) === 0) continue;
    const end = (tuple: number, isSource: boolean): string =>
      `${formatIpv4(words[at + tuple + (isSource ? 3 : 7)])}:${isSource ? words[at + tuple + 8] >>> 16 : words[at + tuple + 8] & 0xffff}`;
    rows.push({
      flow, from: end(ORIGINAL_TUPLE, true), to: end(ORIGINAL_TUPLE, false), external: end(REPLY_TUPLE, false), server: end(REPLY_TUPLE, true),
      state: STATE_NAMES[words[at + STATE] & STATE_MASK], isReplica: (words[at + FLAGS] & FLAG_REPLICA) !== 0, isPublished: (words[at + FLAGS] & FLAG_PUBLISHED) !== 0,
      hasMapping: words[at + MAPPING] !== -1,
    });
  }
  return rows;
}

/** The only flow there is. */
export function onlyFlow(of: Rig): FlowRow {
  const rows = flowsOf(of);
  assert.is(rows.length, 1, `flows: ${rows.map(({ from, to }) => `${from} ${to}`).join(', ')}`);
  return rows[0];
}

export const counted = (of: Rig, counter: SharingCount): number => of.router.counters.sharing(counter);

/** Nothing has been refused. */
export function allWell(...rigs: Rig[]): void {
  for (const one of rigs) {
    for (const counter of ['malformed', 'version', 'unknownName', 'clash', 'noRoom', 'orphan', 'journalLost'] as const) assert.is(counted(one, counter), 0, `${counter} of ${one === rigs[0] ? 'a' : 'b'}`);
  }
}

/** Everything ends: nothing may be held any more. */
export function atRest(...rigs: Rig[]): void {
  for (const one of rigs) {
    one.advance(8_000_000);
    for (let i = 0; i < 20; i++) one.run();
    one.advance(700_000);
    one.teach();
  }
  for (const { router, flowCount } of rigs) {
    assert.is(flowCount, 0, 'flows');
    assert.is(router.counters.sharing('replicas'), 0, 'replicas');
    assert.is(router.windows.used, 0, 'windows');
    assert.is(router.expectations.count, 0, 'expectations');
    for (const uplink of router.uplinks) {
      assert.is(router.counters.uplink(uplink.index, UPLINK_PORTS_USED), 0, `ports of ${uplink.name}`);
      assert.is(router.counters.uplink(uplink.index, UPLINK_FLOWS), 0, `flows of ${uplink.name}`);
    }
    for (const server of router.virtualServers.servers) assert.is(server.flows, 0, `flows of ${server.name}`);
    assert.is(router.mappings.sourceFlows.size, 0, 'flows by source');
    assert.is(router.mappings.sourcePorts.size, 0, 'ports by source');
    assert.is(router.mappings.permissions.size, 0, 'permissions');
  }
}

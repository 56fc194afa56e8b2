/**
 * Redis fails under load, in every way it can: killed, restarted empty, frozen, full, cut off. The gateway that lives goes on from what it knows: no packet of
 * a known flow is lost, by the numbers of a quick UDP flow, both ways; new flows succeed; `weir share` names what is wrong. When Redis is back, all is
 * shared again by itself: a newcomer that loads from the store has every flow, those begun meanwhile too.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Dialogue, missing } from '../../netns/kit/dialogue.js';
import { Lasting, tcpFlows } from '../../netns/kit/traffic.js';
import { HaPair, SERVER, TALK_PORT, type GatewayName, type Talk } from '../../netns/ha-pair.js';
import type { FlowPage, FlowStatus } from '../../src/control/api/types.js';
import type { StoreTrouble } from '../../src/share/store.js';
import { telling } from './telling.js';

interface Context { lab: HaPair; talk: Talk; crowds: Lasting[] }

const CROWD = 12;
const NEW_FLOWS = 40;
/** The quick UDP flow: a packet each way so often. */
const QUICK_MS = 4;
const FIRST_PORT = 42_000;

const rows = suite<Context>('share-faults: Redis fails under load');
rows.before(telling(async (context) => {
  // gw2 is the newcomer.
  const lab = context.lab = await HaPair.up({ start: ['gw1'] });
  context.talk = await lab.talk();
  context.crowds = [await Lasting.crowd(lab.pc1, SERVER, CROWD)];
}));
rows.after((context) => context.lab?.close());

/** Every flow in a gateway's table that lasts, by its addresses and ports as it was begun. */
async function lasting(lab: HaPair, name: GatewayName): Promise<Map<string, FlowStatus>> {
  const flows = new Map<string, FlowStatus>();
  for (let cursor: number | null = 0; cursor !== null;) {
    const page: FlowPage = await lab.gateways[name].daemon.api<FlowPage>(`flows?limit=1000&cursor=${cursor}`);
    for (const flow of page.flows) {
      const { protocol, state, original } = flow;
      if (state === 'established' || (protocol === 'udp' && state === 'replied')) flows.set(`${protocol} ${original.source}:${original.sourcePort} > ${original.destination}:${original.destinationPort}`, flow);
    }
    cursor = page.nextCursor;
  }
  return flows;
}

/** gw2 starts, loads what the store holds, and must have every lasting flow of gw1 with the same translation; then it leaves again. */
async function newcomerKnowsAll(lab: HaPair): Promise<void> {
  await lab.gateways.gw1.told();
  await lab.returns('gw2');
  const [here, there] = await Promise.all([lasting(lab, 'gw1'), lasting(lab, 'gw2')]);
  const told = ({ protocol, state, reply, uplink, server }: FlowStatus): object => ({ protocol, state, reply, uplink, server });
  assert.ok(here.size > CROWD, `${here.size} flows last`);
  assert.equal([...here.keys()].filter((key) => !there.has(key)), [], 'the newcomer knows all');
  for (const [key, flow] of here) assert.equal(told(there.get(key)!), told(flow), key);
  await lab.gateways.gw2.daemon.stop();
}

interface Fault {
  what: string;
  /** One of these is what weir share may call it. */
  troubles: readonly StoreTrouble[];
  begin(lab: HaPair): Promise<void> | void;
  end(lab: HaPair): Promise<void> | void;
}

const FAULTS: readonly Fault[] = [
  { what: 'killed, and back empty', troubles: ['unreachable'], begin: ({ redis }) => redis.kill(), end: ({ redis }) => redis.start() },
  { what: 'frozen', troubles: ['slow', 'unreachable'], begin: ({ redis }) => redis.freeze(), end: ({ redis }) => redis.thaw() },
  { what: 'full', troubles: ['full'], begin: ({ redis }) => redis.fill(), end: ({ redis }) => redis.unfill() },
  { what: 'cut off', troubles: ['unreachable', 'slow'], begin: ({ gateways }) => gateways.gw1.cutOff(), end: ({ gateways }) => gateways.gw1.plug() },
];

FAULTS.forEach(({ what, troubles, begin, end }, i) => {
  // conforms: ha-store
  rows(`Redis is ${what}: no packet of a known flow is lost, new flows go on, it is named, and all is shared again afterwards`, async ({ lab, talk, crowds }) => {
    const { gw1 } = lab.gateways;
    const quick = await Dialogue.start(lab.pc1, 'udp', SERVER, TALK_PORT, { periodMs: QUICK_MS, localPort: FIRST_PORT + i });
    const far = lab.outside.events.findLast(({ event, protocol }) => event === 'open' && protocol === 'udp')!.far;
    const beganAtMs = Date.now();
    await begin(lab);
    try {
      // Changes to be written, so that it is found out.
      assert.equal((await tcpFlows(lab.pc1, SERVER, NEW_FLOWS)).filter(({ ok }) => !ok), [], 'new flows, at once');
      const { trouble } = await gw1.shares('to name what is wrong', ({ isUsable, trouble: found }) => !isUsable && found !== null);
      assert.ok(troubles.includes(trouble!.kind), JSON.stringify(trouble));
      const said = await gw1.daemon.ask('share');
      assert.ok(troubles.some((kind) => said.includes(`degraded (${kind})`)), said);
      assert.equal((await tcpFlows(lab.pc1, SERVER, NEW_FLOWS)).filter(({ ok }) => !ok), [], 'new flows, while it is known');
      // Of these the store learns when it is back.
      crowds.push(await Lasting.crowd(lab.pc1, SERVER, CROWD / 4));
      await Promise.all([talk.goesOn(), quick.heardSince(Date.now(), 50)]);
    } finally {
      await end(lab);
    }
    await gw1.sharing();
    await newcomerKnowsAll(lab);
    await Promise.all([talk.goesOn(), quick.heardSince(Date.now(), 50)]);
    assert.equal({ inward: missing(quick.events), outward: missing(lab.outside.events, far) }, { inward: [], outward: [] });
    await quick.stop(lab.outside);
    assert.equal(crowds.flatMap((crowd) => crowd.events.filter(({ event, atMs }) => event === 'lost' && atMs > beganAtMs)), []);
  });
});

// conforms: ha-store
rows('Redis comes back empty while both gateways run, then the master dies: the other has every flow all the same', async ({ lab, talk, crowds }) => {
  await lab.returns('gw2');
  await lab.redis.kill();
  for (const name of ['gw1', 'gw2'] as const) await lab.gateways[name].shares('to miss the store', ({ isUsable }) => !isUsable);
  const late = await Lasting.crowd(lab.pc1, SERVER, CROWD / 2);
  await lab.redis.start();
  for (const name of ['gw1', 'gw2'] as const) await lab.gateways[name].sharing();
  await lab.gateways.gw1.told();
  await lab.gateways.gw1.kill();
  await lab.comesToBeMaster('gw2');
  const diedAtMs = Date.now();
  await talk.goesOn();
  await late.heard(diedAtMs, CROWD / 2);
  for (const crowd of [...crowds, late]) assert.equal(crowd.events.filter(({ event }) => event === 'lost'), []);
  await talk.stop();
});
rows.run();

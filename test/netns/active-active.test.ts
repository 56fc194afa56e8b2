/**
 * Two gateways that forward at the same time behind one address, between routers that send a flow's packets by either: replies all by the other gateway, in
 * both ways round, or each packet by the hash of its own direction; flows begun from inside and from outside. No two of them may share an external
 * mapping: both gateways are made to want the same ports at the same time, and both tables are held against each other. Then one of them dies.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Lasting, TCP_PORT, tally, tcpFlows, TrafficServer, udpEchoes, type FlowResult } from '../../netns/kit/traffic.js';
import { waitFor } from '../../netns/kit/wait.js';
import { ActiveActive, CLIENT, EXTERNAL, OTHER_CLIENT, SERVER, type GatewayName } from '../../netns/active-active.js';
import type { FlowPage, FlowStatus } from '../../src/control/api/types.js';
import { telling } from './telling.js';

interface Context { lab: ActiveActive }

const FLOWS = 1000;
/** Where a server inside is reached from outside. */
const FORWARDED_PORT = 8080;
/** Of flows from fixed ports: below what stacks take by themselves. */
const FIRST_PORT = 20_000;
/** Flows that are open when a gateway dies: begun inside, and outside. */
const COUNTS = [16, 8];
/** What is on its way when it dies has come by then. */
const SETTLED_MS = 500;
const WAIT_MS = 30_000;
const WAYS: readonly { outward: GatewayName; inward: GatewayName }[] = [{ outward: 'gw1', inward: 'gw2' }, { outward: 'gw2', inward: 'gw1' }];

const rows = suite<Context>('active-active: replies come back by the other gateway');
rows.before(telling(async (context) => {
  context.lab = await ActiveActive.up({ portForwards: { inside: { uplink: 'isp', listen: `${FORWARDED_PORT}/tcp`, to: `${CLIENT}:${TCP_PORT}` } } });
  await TrafficServer.start(context.lab.client);
}));
rows.after((context) => context.lab?.close());

function allOk(flows: readonly FlowResult[], count: number): void {
  assert.equal(flows.filter(({ ok }) => !ok).slice(0, 5), [], `${flows.filter(({ ok }) => !ok).length} of ${flows.length} flows failed`);
  assert.is(flows.length, count);
}

/** Every flow in a gateway's table. */
async function table(lab: ActiveActive, name: GatewayName): Promise<FlowStatus[]> {
  const flows: FlowStatus[] = [];
  for (let cursor: number | null = 0; cursor !== null;) {
    const page: FlowPage = await lab.gateways[name].daemon.api<FlowPage>(`flows?limit=1000&cursor=${cursor}`);
    flows.push(...page.flows);
    cursor = page.nextCursor;
  }
  return flows;
}

/** Whose each external address and port is, by every flow of both tables that begins inside: the inside addresses and ports, one of which there may be. */
async function owners(lab: ActiveActive): Promise<Map<string, Set<string>>> {
  const found = new Map<string, Set<string>>();
  for (const name of ['gw1', 'gw2'] as const) {
    for (const { protocol, original, reply } of await table(lab, name)) {
      if (reply.destination !== EXTERNAL) continue;
      const external = `${protocol} ${reply.destination}:${reply.destinationPort}`;
      found.set(external, (found.get(external) ?? new Set()).add(`${original.source}:${original.sourcePort}`));
    }
  }
  return found;
}

for (const { outward, inward } of WAYS) {
  rows(`${FLOWS} flows by ${outward} with every reply by ${inward} all complete`, async ({ lab }) => {
    lab.route(outward, inward);
    const flows = await tcpFlows(lab.client, SERVER, FLOWS);
    allOk(flows, FLOWS);
    assert.equal([...tally(flows.map(({ peer }) => peer)).keys()], [EXTERNAL]);
    assert.equal((await udpEchoes(lab.client, SERVER, 10, [100])).filter(({ echoed }) => !echoed), []);
    assert.is((await lab.client.ping(SERVER, 5)).received, 5);
    // What came before its record was asked for, and was there: it did not wait for its whole share.hold.
    const { fetches, fetched } = (await lab.gateways[inward].share()).counts;
    assert.ok(fetched > fetches / 2, `${fetched} of ${fetches} flows asked for were found`);
  });
}

rows('flows begun from outside by one gateway, answered by the other', async ({ lab }) => {
  for (const { outward, inward } of WAYS) {
    lab.route(outward, inward);
    allOk(await tcpFlows(lab.server, EXTERNAL, 100, { port: FORWARDED_PORT }), 100);
  }
});

rows('each packet by the hash of its own direction: all flows complete', async ({ lab }) => {
  lab.route('both', 'both');
  allOk(await tcpFlows(lab.client, SERVER, FLOWS / 2), FLOWS / 2);
});

// conforms: ha-ports
rows('both want the same ports at the same time: no two flows share a mapping', async ({ lab }) => {
  lab.pin(CLIENT, 'gw1');
  lab.pin(OTHER_CLIENT, 'gw2');
  lab.route('both', 'both');
  // The same ports from two addresses, one behind each gateway: who keeps a port would take the other's.
  const flows = (await Promise.all([CLIENT, OTHER_CLIENT].map((address) => tcpFlows(lab.client, SERVER, FLOWS / 2, { from: { address, firstPort: FIRST_PORT } })))).flat();
  allOk(flows, FLOWS);
  const seen = tally(flows.map(({ peer, peerPort }) => `${peer}:${peerPort}`));
  assert.equal([...seen].filter(([, count]) => count > 1), [], 'the server saw each flow from a port of its own');
  // Both have all of them, once what was told has been read.
  const mappings = await waitFor(async () => {
    const found = await owners(lab);
    return found.size >= FLOWS ? found : null;
  }, WAIT_MS, 'the flows to be in the tables');
  assert.equal([...mappings].filter(([, inside]) => inside.size > 1).map(([external, inside]) => `${external}: ${[...inside].join(', ')}`), []);
  for (const name of ['gw1', 'gw2'] as const) {
    const known = new Set((await table(lab, name)).map(({ original }) => `${original.source}:${original.sourcePort}`));
    const unknown = flows.filter(({ localPort }) => localPort !== null && (!known.has(`${CLIENT}:${localPort}`) || !known.has(`${OTHER_CLIENT}:${localPort}`)));
    assert.is(unknown.length, 0, `${name} does not know ${unknown.length} flows`);
  }
  // Whose ports are whose: what each gateway gave is out of its own blocks.
  const [first, second] = await Promise.all((['gw1', 'gw2'] as const).map(async (name) => (await lab.gateways[name].share()).leases.find(({ address }) => address === EXTERNAL)!.held));
  assert.equal(first.filter((block) => second.includes(block)), []);
});

// conforms: ha-takeover
rows('one gateway dies: its flows go on by the other', async ({ lab }) => {
  lab.route('both', 'both');
  const crowds = await Promise.all([Lasting.crowd(lab.client, SERVER, COUNTS[0]), Lasting.crowd(lab.server, EXTERNAL, COUNTS[1], { port: FORWARDED_PORT })]);
  await Promise.all(Object.values(lab.gateways).map((gateway) => gateway.told()));
  await lab.gateways.gw1.kill();
  lab.inner.ip('rule', 'del', 'from', CLIENT);
  lab.route('gw2', 'gw2');
  const diedAtMs = Date.now();
  for (const [i, crowd] of crowds.entries()) {
    await crowd.heard(diedAtMs + SETTLED_MS, COUNTS[i]);
    assert.equal(crowd.events.filter(({ event }) => event === 'lost'), []);
  }
  allOk(await tcpFlows(lab.client, SERVER, 100), 100);
});
rows.run();

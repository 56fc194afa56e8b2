/**
 * A stranger to our tests: scapy sends into both sides of the router what no decent stack sends (odd options, bad lengths, overlapping fragments, land,
 * ICMP about nothing, forged resets into a flow under way). Every frame is counted under the right drop name, and the flow goes on.
 */
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Host } from '../../netns/kit/lab.js';
import { checksumErrors, tcpFlows, TCP_PORT } from '../../netns/kit/traffic.js';
import { program } from '../../netns/kit/program.js';
import { waitFor } from '../../netns/kit/wait.js';
import { Multiwan, PC1, ROUTER, SERVER, WAN1 } from '../../netns/multiwan.js';
import type { DropList, FlowPage } from '../../src/control/api/types.js';
import { telling } from './telling.js';

/** The packaged interpreter: scapy is a package of the distribution. */
const PYTHON = '/usr/bin/python3';
const STRANGER = fileURLToPath(new URL('../../netns/traffic/stranger.py', import.meta.url));
/** A bridge floods what neighbours ask each other to every cable. */
const NOISE = 'ARP_IGNORED';

interface Context { lab: Multiwan }
const stranger = suite<Context>('a stranger');

stranger.before(telling(async (context) => {
  // One uplink, so that it is known on which wire the flow is.
  context.lab = await Multiwan.up({ form: 'raw', weights: [1, 0] });
  await context.lab.service();
}));
stranger.after((context) => context.lab?.close());

const macOf = (host: Host, device: string): string => (JSON.parse(host.ip('-j', 'link', 'show', device)) as { address: string }[])[0].address;

async function drops(lab: Multiwan, link: string): Promise<Record<string, number>> {
  const { drops: rows } = await lab.weir.api<DropList>('drops');
  return Object.fromEntries(rows.map(({ name, links }) => [name, links.find((row) => row.link === link)?.packets ?? 0]));
}

for (const side of ['wan', 'lan'] as const) {
  const link = side === 'wan' ? 'wan1' : 'lan';
  stranger(`from the ${side}: each frame under its own name, and a flow under way notices nothing`, async ({ lab }) => {
    const talk = lab.pc1.spawn('talk', [...program('probe'), 'talk', `${SERVER}:${TCP_PORT}`]);
    await talk.waitForOutput(/^ready$/m, 20_000);
    const flow = await waitFor(async () => {
      const page = await lab.weir.api<FlowPage>('flows');
      return page.flows.find(({ protocol, original, state }) => protocol === 'tcp' && original.destinationPort === TCP_PORT && state === 'established');
    }, 10_000, 'the flow to be open');
    const nearPort = side === 'wan' ? flow.reply.destinationPort : flow.original.sourcePort;
    const victim = { side, far: SERVER, near: side === 'wan' ? WAN1 : PC1, own: side === 'wan' ? WAN1 : ROUTER, farPort: TCP_PORT, nearPort, sequence: 1 };
    const [host, device, routerDevice] = side === 'wan' ? [lab.gateway, 'port1', 'eth1'] : [lab.pc1, 'eth0', 'eth0'];
    const before = await drops(lab, link);
    const { stdout } = await host.run([PYTHON, STRANGER, device, macOf(lab.router, routerDevice), JSON.stringify(victim)], { timeoutMs: 60_000 });
    const wanted = JSON.parse(stdout) as Record<string, number>;
    const isUnderWay = talk.exit === null;
    let counted: Record<string, number> = {};
    await waitFor(async () => {
      const after = await drops(lab, link);
      counted = Object.fromEntries(Object.keys(after).filter((name) => name !== NOISE && after[name] !== (before[name] ?? 0)).map((name) => [name, after[name] - (before[name] ?? 0)]));
      return Object.keys(wanted).every((name) => (counted[name] ?? 0) >= wanted[name]);
    }, 5000, 'every frame to be counted').catch(() => { /* What differs is shown below. */ });
    const sorted = (counts: Record<string, number>): string => Object.entries(counts).map(([name, count]) => `${name} ${count}`).sort().join('\n');
    assert.equal(sorted(counted), sorted(wanted));
    assert.ok(isUnderWay, talk.output());
    await talk.stop();
    const { segments, peer, error } = JSON.parse(talk.output().trim().split('\n').at(-1) ?? '') as { segments: number; peer: string; error: string | null };
    assert.is(error, null);
    assert.ok(segments > 0);
    assert.is(peer, `${WAN1} ${flow.reply.destinationPort}`);
    assert.equal((await tcpFlows(lab.pc1, SERVER, 20)).filter(({ ok }) => !ok), []);
  });
}

stranger('no stack has seen a wrong checksum because of it', ({ lab }) => {
  assert.equal([...checksumErrors(lab.server)], []);
});

stranger.run();

/** `weir uplinks`: the ways out, their health, and how new flows were shared among them; with --test the proof of that by real flows. */
import { InvalidArgumentError } from 'commander';
import type { Command } from 'commander';
import { EXIT_FAILED, EXIT_USAGE } from '../base/error.js';
import type { UplinkList, UplinkStatus } from '../control/api/types.js';
import { uplinkColumns } from './columns.js';
import type { CommandFile, Context } from './command.js';
import { readingOptions, wholeNumber, withClient } from './command.js';
import { CliFailure } from './failure.js';
import { listing } from './listing.js';
import { FLOWS_DEFAULT, FLOWS_MAX, formatSplit, P_MIN, parseTarget, testSplit } from './split-test.js';

const table = listing<UplinkList, UplinkStatus>({
  resource: 'uplinks',
  rows: (answer) => answer.uplinks,
  columns(nowMs) {
    const c = uplinkColumns(nowMs);
    return [
      c.name, c.state, c.since, c.loss, c.latency, c.jitter, c.rxRate, c.txRate, c.weight, c.wanted, c.share, c.flows, c.newFlows, c.ports, c.portsRefused, c.portsShared, c.groups, c.tier, c.link, c.gateway,
      c.snat, c.reason,
    ];
  },
  help: `FOR is how long the uplink has been in its state, REASON why, with the targets of its check that fail. LOSS, LATENCY and JITTER are
what its check measures over its window. RX and TX are rates of the last seconds. WANTED is the share of new flows the weights ask for
among the uplinks of the first group that share them now, SHARE what the uplink took since the start. FLOWS are open now. PORTS are
external ports in use and available on its translation addresses (SNAT), all protocols together; REFUSED are new flows that found none,
SHARED those that share one with flows to other destinations (whenExhausted). TIER is its place in each of GROUPS.

--test opens TCP flows from this box to a server, sees by which uplink each leaves, and compares the split with the weights by
Pearson's chi-square test. It needs a link to this box (type tun) by which the box reaches the server.
Exit code with --test: 0 the split follows the weights, 1 it does not (p < ${P_MIN}) or flows failed.

Examples:
  weir uplinks
  weir uplinks --test --to example.net:443 --flows 400`,
});

export const command: CommandFile = {
  define(command: Command): void {
    const fail = (message: string): Error => new InvalidArgumentError(message);
    table.define(command);
    command
      .option('--test', 'prove the split by real flows')
      .option('--to <host:port>', 'with --test: a server that takes TCP connections')
      .option('--flows <number>', `with --test: how many (${FLOWS_DEFAULT} unless given)`, (text) => {
        const flows = wholeNumber(1, fail)(text);
        if (flows > FLOWS_MAX) throw fail(`It must be at most ${FLOWS_MAX}.`);
        return flows;
      })
      .option('--group <name>', 'with --test: the group the flows belong to, if more than one could be meant');
  },
  async run(context: Context, given, operands): Promise<number> {
    if (given['test'] !== true) {
      const extra = ['to', 'flows', 'group'].find((name) => given[name] !== undefined);
      if (extra !== undefined) throw new CliFailure(EXIT_USAGE, `--${extra} is for the test of the split: weir uplinks --test --to HOST:PORT`);
      return table.run(context, given, operands);
    }
    const to = given['to'];
    if (typeof to !== 'string') throw new CliFailure(EXIT_USAGE, '--test needs a server that takes TCP connections: --to HOST:PORT');
    const target = parseTarget(to);
    if (target === null) throw new CliFailure(EXIT_USAGE, `--to: found '${to}', allowed: HOST:PORT with a name or an IPv4 address and a port from 1 to 65535`);
    const flows = typeof given['flows'] === 'number' ? given['flows'] : FLOWS_DEFAULT;
    const group = typeof given['group'] === 'string' ? given['group'] : undefined;
    const options = readingOptions(given);
    return withClient(options, async (client) => {
      const result = await testSplit(client, { ...target, flows, group });
      await context.io.write(options.json ? `${JSON.stringify(result)}\n` : formatSplit(result, context.io.color));
      return result.isFair ? 0 : EXIT_FAILED;
    });
  },
};

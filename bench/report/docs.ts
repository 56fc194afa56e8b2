/** Puts a run's figures into docs/performance.md: what stands between two marks is replaced, all else is left as it was written. */
import { markdownTable } from './table.js';
import { describe } from './machine.js';
import type { BenchResult } from './result.js';
import { GOAL_HEAD, goalLines, NET_HEAD, netLines, PIPELINE_HEAD, pipelineLines, REPLICATE_HEAD, replicateLines, SERVER_HEAD, serverLines, SHARE_HEAD, shareLines, TABLE_HEAD, tableLines } from './rows.js';

/** The text between the marks of each name. Throws when a mark is missing: then the document and the bench have come apart. */
export function fillIn(document: string, blocks: Readonly<Record<string, string>>): string {
  let text = document;
  for (const [name, content] of Object.entries(blocks)) {
    const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    if (from < 0 || to < from) throw new Error(`docs/performance.md has no ${begin} … ${end}`);
    text = `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`;
  }
  return text;
}

export function blocksOf(result: BenchResult): Record<string, string> {
  const { net, servers, share, micro } = result;
  if (net === null || servers === null || share === null || micro === null) throw new Error('the last run was of some rows only; run the whole bench before writing the documentation');
  return {
    machine: `${describe(result.machine)}. Run on ${result.startedAt.slice(0, 10)}, ${net.rounds} rounds of ${net.seconds} s per job and peer`
      + `${result.isQuick ? ' (a quick run)' : ''}; before it began, ${net.othersCpus.toFixed(2)} CPUs were busy with something else.`,
    net: markdownTable(NET_HEAD, netLines(net)),
    servers: `${markdownTable(SERVER_HEAD, serverLines(servers))}\n\nThe kernel's side was ${servers.kernel === 'IPVS' ? 'IPVS NAT' : 'DNAT by a numgen map in nftables'}.`,
    share: markdownTable(SHARE_HEAD, shareLines(share)),
    replicate: markdownTable(REPLICATE_HEAD, replicateLines(micro)),
    goals: markdownTable(GOAL_HEAD, goalLines(micro)),
    pipeline: markdownTable(PIPELINE_HEAD, pipelineLines(micro)),
    tables: markdownTable(TABLE_HEAD, tableLines(micro)),
  };
}

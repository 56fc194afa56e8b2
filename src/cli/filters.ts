/** `weir filters`: the filter rules in their order, and how much each has decided. */
import type { FilterList, FilterStatus } from '../control/api/types.js';
import { formatBytes, formatCount } from './format.js';
import { listing } from './listing.js';
import type { Style } from './table.js';
import { left, right } from './table.js';

/** What a rule looks at, in the words of its keys: 'in lan from 10.0.0.0/8 protocol tcp ports 25'. */
function match(row: FilterStatus): string {
  const fields: [string, string[] | null][] = [
    ['in', row.in], ['out', row.out], ['from', row.from], ['to', row.to], ['protocol', row.protocols], ['ports', row.destinationPorts], ['sourcePorts', row.sourcePorts],
  ];
  return fields.flatMap(([name, values]) => (values === null ? [] : [`${name} ${values.join(',')}`])).join(' ') || 'everything';
}

function rate({ over }: FilterStatus): string | null {
  return over === null ? null : `${formatCount(over.perSecond)}/s burst ${formatCount(over.burst)} by ${over.by}`;
}

const STYLES: Record<FilterStatus['action'], Style> = { accept: 'good', drop: 'bad', reject: 'bad' };

export const command = listing<FilterList, FilterStatus>({
  resource: 'filters',
  rows: (answer) => answer.filters,
  columns: () => [
    right('PACKETS', (row) => formatCount(row.packets)),
    right('BYTES', (row) => formatBytes(row.bytes)),
    left('FILTER', (row) => row.name),
    left('ACTION', (row) => row.action, (row) => STYLES[row.action]),
    left('STATE', (row) => row.states.join(',')),
    left('OVER', rate),
    left('MATCHES', match),
  ],
  help: `The first filter that matches decides; what none matches is accepted, except what comes in uninvited by an uplink that translates.
PACKETS and BYTES are what a filter decided about: of a flow it accepts only the packet it was asked about, of one it refuses
every packet. Destinations are as they stand after port forwards and 1:1 rules, sources as they came in. OVER is the rate a filter
lets pass on to the filters below.`,
});

/** `weir neighbours`: which station has which address on the links that carry Ethernet. */
import type { NeighbourList, NeighbourStatus } from '../control/api/types.js';
import { formatCount, formatDuration } from './format.js';
import { listing } from './listing.js';
import type { Style } from './table.js';
import { left, right } from './table.js';

function stateStyle(row: NeighbourStatus): Style | null {
  if (row.state === 'failed') return 'bad';
  if (row.state === 'incomplete') return 'warning';
  return row.state === 'stale' ? 'dim' : 'good';
}

export const command = listing<NeighbourList, NeighbourStatus>({
  resource: 'neighbours',
  rows: (answer) => answer.neighbours,
  columns: () => [
    left('ADDRESS', (row) => row.address),
    left('LINK', (row) => row.link),
    left('MAC', (row) => row.mac),
    left('STATE', (row) => row.state, stateStyle),
    right('CONFIRMED', (row) => (row.mac === null || row.state === 'permanent' ? null : formatDuration(row.ageMs))),
    right('WAITING', (row) => formatCount(row.queuedPackets)),
  ],
  help: `CONFIRMED is how long ago the neighbour was last known to answer, WAITING how many packets wait for it. States: incomplete
(asked, no answer yet), reachable, stale (not confirmed lately, still used), probe (being asked again), failed, permanent.`,
});

/** `weir uplinks`: the ways out, their health, and how new flows were shared among them. */
import type { UplinkList, UplinkStatus } from '../control/api/types.js';
import { uplinkColumns } from './columns.js';
import { listing } from './listing.js';

export const command = listing<UplinkList, UplinkStatus>({
  resource: 'uplinks',
  rows: (answer) => answer.uplinks,
  columns(nowMs) {
    const c = uplinkColumns(nowMs);
    return [c.name, c.link, c.gateway, c.groups, c.state, c.since, c.weight, c.wanted, c.share, c.flows, c.newFlows, c.rx, c.tx, c.ports, c.snat, c.reason];
  },
  help: `WANTED is the share of new flows the weights ask for among the usable uplinks of the first group, SHARE what the uplink took
since the start. FLOWS are open now. PORTS are external ports in use and available on its translation addresses (SNAT).`,
});

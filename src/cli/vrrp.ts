/** `weir vrrp`: the virtual routers this one takes part in, who is master of each, and why. */
import type { VirtualRouterStatus, VrrpList } from '../control/api/types.js';
import { virtualRouterColumns } from './columns.js';
import { listing } from './listing.js';

export const command = listing<VrrpList, VirtualRouterStatus>({
  resource: 'vrrp',
  empty: 'no virtual routers',
  rows: (answer) => answer.vrrp,
  columns(nowMs) {
    const c = virtualRouterColumns(nowMs);
    return [c.name, c.link, c.id, c.state, c.since, c.priority, c.master, c.sent, c.received, c.refused, c.transitions, c.group, c.addresses, c.track, c.reason];
  },
  help: `STATE is master (this router has ADDRESSES now), backup (another one has them) or init (it does not take part), FOR how long it has
been so, REASON why, and what is wrong with the adverts of others. PRIORITY is what is left of the configured one, which stands behind
a slash where TRACK has taken something off it; things that are down there bear a "!". MASTER is whose adverts are followed, with their
priority. SENT, RECEIVED and REFUSED are adverts, CHANGES how often it became master or ceased to be, since the start. Those of one
GROUP are masters together or not at all.

weir drain hands all of them over to the other routers; weir monitor shows elections as they happen.`,
});

/** `weir routes`: the forwarding table as the configuration and the links' addresses make it. */
import type { RouteList, RouteStatus } from '../control/api/types.js';
import { listing } from './listing.js';
import { left } from './table.js';

export const command = listing<RouteList, RouteStatus>({
  resource: 'routes',
  rows: (answer) => answer.routes,
  columns: () => [
    left('TO', (row) => row.to),
    left('KIND', (row) => row.kind),
    left('VIA', (row) => row.via),
    left('LINK', (row) => row.link),
    left('GROUP', (row) => row.group),
    left('REFUSES', (row) => row.refuse, () => 'warning'),
    left('NAME', (row) => row.name),
  ],
  help: `The longest prefix that holds a destination wins. KIND is static (from the configuration), connected (a link's subnet), local
(an address of the router, or of a virtual router that is master here) or broadcast. A route leads to a gateway (VIA), a LINK, a GROUP of uplinks, or REFUSES.`,
});

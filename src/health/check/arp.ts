/** An ARP request (RFC 826) by the data plane, on the uplink's link. */
import type { CheckType } from './check.js';
import { dataPlaneCheck } from './data-plane.js';

export const arp: CheckType<'arp'> = {
  kind: 'arp',
  sentence: 'Asks by ARP who has the address; good is an ARP reply. It says that a neighbour lives, and nothing about what lies beyond it.',
  create: ({ target }, context) => dataPlaneCheck({ kind: 'arp', target }, context),
};

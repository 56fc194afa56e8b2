/** An echo request (RFC 792) by the data plane, over the very uplink whatever the routes say. */
import type { CheckType } from './check.js';
import { dataPlaneCheck } from './data-plane.js';

export const icmp: CheckType<'icmp'> = {
  kind: 'icmp',
  sentence: 'Sends an ICMP echo request (a ping); good is the echo reply.',
  create: ({ target }, context) => dataPlaneCheck({ kind: 'icmp', target }, context),
};

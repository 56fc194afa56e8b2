/** A datagram with a small TTL by the data plane: a hop on the way must say that it ended there (RFC 792), as traceroute's do. */
import type { CheckType } from './check.js';
import { dataPlaneCheck } from './data-plane.js';

export const udp: CheckType<'udp'> = {
  kind: 'udp',
  sentence: 'Sends a UDP datagram that lives for `ttl` hops; good is an ICMP time exceeded from the hop where it ends, or a port unreachable or a datagram from the target itself.',
  create: ({ target, port, ttl }, context) => dataPlaneCheck({ kind: 'udp', target, port, ttl }, context),
};

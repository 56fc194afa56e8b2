/**
 * A datagram by the data plane. Either with a small TTL, so that a hop on the way must say that it ended there (RFC 792), as traceroute's do; or with a
 * question for the target itself, which must not say that nobody listens.
 */
import type { CheckType } from './check.js';
import { dataPlaneCheck } from './data-plane.js';

export const udp: CheckType<'udp'> = {
  kind: 'udp',
  sentence: 'Sends a UDP datagram that lives for `ttl` hops; good is an ICMP time exceeded from the hop where it ends, or a port unreachable or a datagram from the target itself. '
    + 'To a server: sends `send`; good is any datagram back, or one that holds `expect` if that is given, and without that silence as well; an ICMP error is not.',
  create: ({ target, port, ttl, server }, context) => dataPlaneCheck({ kind: 'udp', target, port, ttl, ...(server === undefined ? {} : { question: server }) }, context),
};

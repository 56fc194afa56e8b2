/** Real servers by the two names a request has them by, and what a request that takes one out of use should know. */
import { NoSuchName, serverNames } from './query.js';
import type { RealServerStatus, VirtualServerStatus } from './types.js';

/** A real server with the virtual server it is of. */
export interface FoundServer { of: VirtualServerStatus; server: RealServerStatus; isSorry: boolean }

/** The real server of these names. Throws NoSuchName with those there are. */
export function findServer(all: readonly VirtualServerStatus[], virtualServer: string, name: string): FoundServer {
  const of = all.find((row) => row.name === virtualServer);
  if (of === undefined) {
    const allowed = all.length === 0 ? 'no virtual server is configured' : all.map((row) => row.name).join(', ');
    throw new NoSuchName(`there is no virtual server '${virtualServer}'`, 'virtualServer', virtualServer, allowed);
  }
  const server = of.realServers.find((row) => row.name === name);
  if (server !== undefined) return { of, server, isSorry: false };
  if (of.sorry?.name === name) return { of, server: of.sorry, isSorry: true };
  throw new NoSuchName(`virtual server ${virtualServer} has no server '${name}'`, 'server', name, serverNames(of).join(', '));
}

/** What becomes of new flows when this server takes none and the others are no quorum. */
export function warningsWithout({ of, server, isSorry }: FoundServer): string[] {
  if (isSorry) return [];
  const takes = (row: RealServerStatus): boolean => row.state !== 'down' && row.state !== 'drained';
  const left = of.realServers.filter((row) => row !== server && takes(row)).reduce((sum, { weight }) => sum + weight, 0);
  if (left > 0 && left >= of.quorum.weight) return [];
  const why = left === 0 ? 'has no other real server that takes flows' : `is left with a weight of ${left} and needs ${of.quorum.weight}`;
  return [`virtual server ${of.name} ${why}: its new flows ${of.sorry?.state === 'up' ? 'go to its sorry server' : 'are refused'}`];
}

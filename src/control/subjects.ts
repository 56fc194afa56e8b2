/** What is checked: the uplinks and the real servers of a plan that have a check, each with the way its questions take. */
import type { Plan } from '../base/plan.js';
import { planRoutes } from '../table/route.js';
import { maskOf, parseIpv4 } from '../wire/address.js';
import type { HealthStatus } from './api/types.js';
import type { Subject, Unchecked } from './checks.js';
import { serverName } from './server-view.js';

const NONE = -1;

/** Who is told what is found; the number is that of the uplink or the real server in the plan. */
export interface Told {
  onStatus: (index: number, status: HealthStatus) => void;
  onHealth: (index: number, isHealthy: boolean, reason: string | null) => void;
}
export interface ServerTold extends Told { onWeight: (index: number, weight: number) => void }

export function uplinkSubjects(plan: Plan, { onStatus, onHealth }: Told): Subject[] {
  return plan.uplinks.flatMap(({ index, name, check, pin, link }): Subject[] => (check === undefined ? [] : [{
    kind: 'uplink', name, relation: `by uplink ${name}`, fields: { uplink: name }, plan: check, pin, uplink: index, link,
    onStatus: (status) => onStatus(index, status), onHealth: (isHealthy, reason) => onHealth(index, isHealthy, reason),
  }]));
}

/** They are asked by the way flows to them take, which is their route's. */
export function serverSubjects(plan: Plan, { onStatus, onHealth, onWeight }: ServerTold): Subject[] {
  const linkTo = linksByRoute(plan);
  return plan.realServers.flatMap(({ index, name, virtualServer, address, check, pin }): Subject[] => (check === undefined ? [] : [{
    kind: 'server', name: serverName(plan, index), relation: `of server ${serverName(plan, index)}`,
    fields: { server: serverName(plan, index), virtualServer: plan.virtualServers[virtualServer].name, realServer: name },
    plan: check, pin, uplink: NONE, link: linkTo(parseIpv4(address)),
    onStatus: (status) => onStatus(index, status), onHealth: (isHealthy, reason) => onHealth(index, isHealthy, reason), onWeight: (weight) => onWeight(index, weight),
  }]));
}

/** Real servers without a check: their link's carrier alone says whether they can be reached. */
export function uncheckedServers(plan: Plan, { onHealth }: Pick<Told, 'onHealth'>): Unchecked[] {
  const linkTo = linksByRoute(plan);
  return plan.realServers.flatMap(({ index, address, check }): Unchecked[] => {
    const link = linkTo(parseIpv4(address));
    return check !== undefined || link === NONE ? [] : [{ link, onHealth: (isHealthy, reason) => onHealth(index, isHealthy, reason) }];
  });
}

/** The one link by which an address is reached, or NONE where that is a group's choice or nobody's. */
function linksByRoute(plan: Plan): (address: number) => number {
  const routes = planRoutes(plan).sort((a, b) => b.prefixLength - a.prefixLength);
  return (address) => {
    const route = routes.find(({ prefix, prefixLength }) => ((address ^ prefix) & maskOf(prefixLength)) === 0);
    return route === undefined || route.kind === 'local' || route.kind === 'broadcast' ? NONE : route.link;
  };
}

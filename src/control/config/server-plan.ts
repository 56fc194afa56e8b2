/** From checked virtual servers to their plans: every real server has a number of its own, checks name the server they ask. */
import type { CheckPlan, LinkPlan, ProbePlan, RealServerPlan, VirtualServerPlan } from '../../base/plan.js';
import { formatIpv4 } from '../../wire/address.js';
import { known, pacedCheck, statusRanges } from './check-plan.js';
import { DNS_PORT } from './check-text.js';
import { readDuration } from './format.js';
import { boxLink, pinOf } from './pins.js';
import { asList, readTarget, readVirtualListen } from './rule-text.js';
import { SORRY } from './server-check.js';
import { SERVER_TIMEOUT_MS, type RealServerKeys, type ServerCheckKeys, type VirtualServerKeys } from './server-schema.js';
import type { Values } from './validate.js';

/** Every kind a check asks by, of this very server. */
function probes(keys: ServerCheckKeys, address: string, ownPort: number | undefined): ProbePlan[] {
  const { icmp, udp, tcp, http, dns, script } = keys;
  const list: ProbePlan[] = [];
  // The cross-check has seen to it that there is a port where one is needed.
  const portOf = (given: number | undefined, fallback = ownPort): number => given ?? fallback!;
  if (icmp !== undefined) list.push({ kind: 'icmp', target: address });
  if (udp !== undefined) {
    const { send, expect } = udp;
    list.push({ kind: 'udp', target: address, port: portOf(udp.port), ttl: 64, server: { send, ...(expect === undefined ? {} : { expect }) } });
  }
  if (tcp !== undefined) list.push({ kind: 'tcp', host: address, port: portOf(tcp.port) });
  if (http !== undefined) {
    const { path, host, tls, status, body, verify } = http;
    const url = new URL(`${tls ? 'https' : 'http'}://${address}:${portOf(http.port)}${path}`).href;
    list.push({ kind: 'http', url, status: statusRanges(status), ...(body === undefined ? {} : { body }), verify, ...(host === undefined ? {} : { host }) });
  }
  if (dns !== undefined) {
    const { name } = dns;
    list.push({ kind: 'dns', server: address, port: portOf(dns.port, ownPort ?? DNS_PORT), name, ...(dns.address === undefined ? {} : { address: dns.address }) });
  }
  if (script !== undefined) {
    const command = asList(script.command).map((word) => word.replaceAll('{address}', address).replaceAll('{port}', String(ownPort ?? '')));
    list.push({ kind: 'script', command, user: script.user, ...(script.setsWeight ? { setsWeight: true } : {}) });
  }
  return list;
}

function checkOf(keys: ServerCheckKeys | 'off' | undefined, address: string, port: number | undefined): CheckPlan | undefined {
  if (keys === undefined || keys === 'off') return undefined;
  const targets = probes(keys, address, port);
  return pacedCheck(keys, targets, keys.need ?? targets.length, SERVER_TIMEOUT_MS);
}

/** The plans of all virtual servers, and of the real servers behind them. */
export function serversOf(values: Values, links: readonly LinkPlan[], uplinkCount: number): { virtualServers: VirtualServerPlan[]; realServers: RealServerPlan[] } {
  const box = boxLink(values.links.items);
  const realServers: RealServerPlan[] = [];
  let pins = uplinkCount;
  const add = (name: string, virtualServer: number, virtualPort: number | undefined, keys: RealServerKeys, check: ServerCheckKeys | 'off' | undefined): number => {
    const target = known(readTarget(keys.address));
    const address = formatIpv4(target.address);
    const port = target.ports?.first ?? virtualPort;
    // Of a row of ports none is the one to be asked.
    const plan = checkOf(check, address, target.ports !== undefined && target.ports.last > port! ? undefined : port);
    const index = realServers.length;
    realServers.push({
      index, name, virtualServer, address, ...(port === undefined ? {} : { port }), weight: keys.weight, upper: keys.upper,
      lower: keys.lower ?? Math.floor(keys.upper * 3 / 4),
      ...(plan === undefined ? {} : { check: plan, ...(box === undefined ? {} : { pin: pinOf(box.values.pins, pins++) }) }),
    });
    return index;
  };
  const virtualServers = values.virtualServers.items.map((item, index): VirtualServerPlan => {
    const keys = item.values as VirtualServerKeys;
    const listens = asList(keys.listen).map((text) => known(readVirtualListen(text)));
    const { ports, protocols } = listens[0];
    const addresses = listens.flatMap(({ address, link }) =>
      (address !== undefined ? [formatIpv4(address)] : links.find(({ name }) => name === link)!.addresses.map((own) => own.address)));
    const port = ports.first === ports.last ? ports.first : undefined;
    const { scheduler, persistence, quorum } = keys;
    const indexes = Object.entries(keys.realServers).map(([name, server]) => add(name, index, port, server, server.check ?? keys.check));
    const sorry = keys.sorry === undefined ? undefined : add(SORRY, index, port, { address: keys.sorry, weight: 0, upper: 0 }, undefined);
    return {
      index, name: item.name, addresses, protocols: [...protocols], ports,
      scheduler: typeof scheduler === 'string' ? { name: scheduler, hashPort: false, fallBack: false } : { ...scheduler },
      ...(persistence === undefined ? {} : {
        persistence: { timeout: readDuration(persistence.timeout)!, mask: persistence.mask, ...(persistence.tie === undefined ? {} : { tie: persistence.tie }) },
      }),
      onePacket: keys.onePacket, slowStart: readDuration(keys.slowStart)!, onServerDown: keys.onServerDown,
      ...(sorry === undefined ? {} : { sorry }),
      quorum: quorum === undefined ? { weight: 1, hysteresis: 0 } : { ...quorum }, snat: keys.snat, realServers: indexes,
    };
  });
  return { virtualServers, realServers };
}

/** What the data plane tells of, made into events for people and programs, and noted in the view where it is a state. */
import type { Plan } from '../base/plan.js';
import { readFates } from '../stage/fate.js';
import type { Fate, FateFlow, FateReason } from '../stage/fate.js';
import type { ProbeOutcome } from '../stage/probe.js';
import type { Notice, UplinkReason } from '../stage/router.js';
import * as ip from '../wire/ipv4.js';
import type { EventLog } from './event.js';
import type { View } from './view.js';

const PROTOCOLS = new Map([[ip.PROTOCOL_ICMP, 'icmp'], [ip.PROTOCOL_TCP, 'tcp'], [ip.PROTOCOL_UDP, 'udp']]);

/** What has happened to a flow, and why, in words. */
const FATES: Readonly<Record<Fate, string>> = {
  reset: 'was reset', moved: 'was moved', kept: 'is kept until its uplink returns', draining: 'goes on until it ends',
};
/** The same of a flow whose real server was lost. */
const SERVER_FATES: Readonly<Record<Fate, string>> = {
  reset: 'was reset', moved: 'goes to another server', kept: 'is kept until its server returns', draining: 'goes on until it ends',
};
const FATE_REASONS: Readonly<Record<FateReason, string>> = {
  uplinkDown: 'went down', betterUplink: 'has given way to a better one', drainTimeout: 'has been drained for long enough',
  serverDown: 'went down', serverFlushed: 'was flushed',
};

type UplinkWord = 'up' | 'down' | 'drained';

export interface NoticesOptions {
  plan: Plan;
  events: EventLog;
  view: View;
  /** A probe has been answered, or will not be. */
  onProbe: (outcome: ProbeOutcome) => void;
}

export class Notices {
  private readonly plan: Plan;
  private readonly events: EventLog;
  private readonly view: View;
  private readonly onProbe: (outcome: ProbeOutcome) => void;
  /** By uplink: the state last told of. */
  private readonly told: UplinkWord[];

  constructor({ plan, events, view, onProbe }: NoticesOptions) {
    this.plan = plan;
    this.events = events;
    this.view = view;
    this.onProbe = onProbe;
    this.told = plan.uplinks.map(() => 'down');
  }

  take(notice: Notice): void {
    switch (notice.event) {
      case 'probe':
        this.onProbe(notice);
        return;
      case 'uplink':
        this.onUplink(notice.uplink, notice.isUsable, notice.reason);
        return;
      case 'fate':
        for (const flow of readFates(notice.flows)) this.onFlow(notice.uplink, notice.fate, notice.reason, flow);
        return;
      case 'failover':
        this.onFailover(notice);
        return;
      case 'serverFate':
        for (const flow of readFates(notice.flows)) this.onServerFlow(notice.server, notice.fate, notice.reason, flow);
        return;
      case 'serverFailover':
        this.onServerFailover(notice);
        return;
      case 'server':
        this.onServer(notice);
        return;
      case 'virtualServer': {
        const { name } = this.plan.virtualServers[notice.virtualServer];
        const { isUp, weight } = notice;
        this.events.emit(`virtual-server.${isUp ? 'up' : 'down'}`, name, `virtual server ${name} is ${isUp ? 'up' : 'down'}: its servers have a weight of ${weight}`,
          { virtualServer: name, weight, severity: isUp ? 'info' : 'warning' });
        return;
      }
      case 'addressConflict': {
        const { link, address, mac } = notice;
        this.events.emit('address.conflict', link, `${mac} on link ${link} claims our address ${address}`, { link, address, mac, severity: 'error' });
        return;
      }
      case 'portsLow': {
        const { uplink, address, protocol, percent, used, resting, total } = notice;
        this.events.emit('ports.low', uplink, `${percent} % of the ${protocol} ports of ${address} on uplink ${uplink} are taken: ${used} in use, ${resting} resting, of ${total}`,
          { uplink, address, protocol, percent, used, resting, total, severity: 'warning' });
        return;
      }
      case 'deviceError': {
        const { link, errno } = notice;
        this.events.emit('link.error', link, `reading from link ${link} failed with errno ${errno}`, { link, errno, severity: 'warning' });
        return;
      }
      default:
        notice satisfies never;
    }
  }

  /** The data plane has taken an uplink into use or out of it, or has another reason not to use it. One event for each change of its state. */
  private onUplink(index: number, isUsable: boolean, why: UplinkReason): void {
    const { name, link: linkIndex, gateway = '' } = this.plan.uplinks[index];
    const link = this.plan.links[linkIndex].name;
    this.view.setUplink(index, why === 'gatewaySilent' ? `gateway ${gateway} does not answer` : null);
    const word: UplinkWord = isUsable ? 'up' : why === 'drained' ? 'drained' : 'down';
    if (this.told[index] === word) return;
    this.told[index] = word;
    const { reason } = this.view.uplinks()[index];
    this.events.emit(`uplink.${word}`, name, `uplink ${name} is ${word}${word === 'down' && reason !== null ? `: ${reason}` : ''}${word === 'drained' ? ': it takes no new flows, old ones go on' : ''}`,
      { uplink: name, link, reason: isUsable ? null : reason, severity: word === 'down' ? 'warning' : 'info' });
  }

  private onFlow(index: number, fate: Fate, reason: FateReason, flow: FateFlow): void {
    const uplink = this.plan.uplinks[index].name;
    const protocol = PROTOCOLS.get(flow.protocol) ?? String(flow.protocol);
    const to = flow.to === null ? null : this.plan.uplinks[flow.to].name;
    const { source, sourcePort, destination, destinationPort, external, externalPort } = flow;
    this.events.emit(`flow.${fate}`, uplink,
      `${protocol} ${source}:${sourcePort} to ${destination}:${destinationPort} ${FATES[fate]}${to === null ? '' : ` to uplink ${to}`}: uplink ${uplink} ${FATE_REASONS[reason]}`,
      { uplink, reason, protocol, source, sourcePort, destination, destinationPort, external, externalPort, ...(to === null ? {} : { to }) });
  }

  /** A real server takes new flows now, or does not, or has another reason not to. */
  private onServer({ server: index, isUp, isUsable, reason, detail }: Extract<Notice, { event: 'server' }>): void {
    const { server, name, virtualServer } = this.serverName(index);
    const word = isUsable ? 'up' : isUp ? 'drained' : 'down';
    const why = word === 'down' ? (detail === null ? '' : `: ${detail}`) : word === 'drained' ? ': it takes no new flows, old ones go on' : '';
    this.events.emit(`server.${word}`, name, `server ${name} is ${word}${why}`,
      { virtualServer, server, reason: word === 'down' ? detail : reason, severity: word === 'down' ? 'warning' : 'info' });
  }

  private onServerFlow(index: number, fate: Fate, reason: FateReason, flow: FateFlow): void {
    const { server, name, virtualServer } = this.serverName(index);
    const protocol = PROTOCOLS.get(flow.protocol) ?? String(flow.protocol);
    const { source, sourcePort, destination, destinationPort, external, externalPort } = flow;
    this.events.emit(`flow.${fate}`, name, `${protocol} ${source}:${sourcePort} to ${destination}:${destinationPort} ${SERVER_FATES[fate]}: server ${name} ${FATE_REASONS[reason]}`,
      { virtualServer, server, reason, protocol, source, sourcePort, destination, destinationPort, external, externalPort });
  }

  private onServerFailover({ server: index, reason, detail, reset, moved, kept, tookMs }: Extract<Notice, { event: 'serverFailover' }>): void {
    const { server, name, virtualServer } = this.serverName(index);
    this.events.emit('server.failover', name,
      `server ${name} ${FATE_REASONS[reason]}${detail === null ? '' : ` (${detail})`}: of its flows ${reset} reset, ${moved} moved, ${kept} kept, within ${Math.round(tookMs * 10) / 10} ms`,
      { virtualServer, server, reason, detail, reset, moved, kept, tookMs });
  }

  /** A real server is called by its virtual server's name and its own, for others have servers of the same name. */
  private serverName(index: number): { server: string; virtualServer: string; name: string } {
    const { name: server, virtualServer: owner } = this.plan.realServers[index];
    const virtualServer = this.plan.virtualServers[owner].name;
    return { server, virtualServer, name: `${virtualServer}/${server}` };
  }

  private onFailover({ uplink: index, reason, detail, reset, moved, kept, draining, tookMs }: Extract<Notice, { event: 'failover' }>): void {
    const uplink = this.plan.uplinks[index].name;
    this.events.emit('uplink.failover', uplink,
      `uplink ${uplink} ${FATE_REASONS[reason]}${detail === null ? '' : ` (${detail})`}: of its flows ${reset} reset, ${moved} moved, ${kept} kept, ${draining} draining, within ${Math.round(tookMs * 10) / 10} ms`,
      { uplink, reason, detail, reset, moved, kept, draining, tookMs });
  }
}

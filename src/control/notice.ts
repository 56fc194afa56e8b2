/** What the data plane tells of, made into events for people and programs, and noted in the view where it is a state. */
import type { ServerNotice } from '../balance/virtual-server.js';
import type { Plan } from '../base/plan.js';
import { readFates } from '../stage/fate.js';
import type { Fate, FateFlow, FateReason } from '../stage/fate.js';
import type { ProbeOutcome } from '../stage/probe.js';
import type { Notice, UplinkReason } from '../stage/router.js';
import * as ip from '../wire/ipv4.js';
import type { EventLog } from './event.js';
import { serverName } from './server-view.js';
import { tellOfVrrp } from './vrrp-event.js';
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

/** An uplink's or a real server's state, as events call it. */
type StateWord = 'up' | 'down' | 'drained';

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
  private readonly told: StateWord[];
  /** By real server. */
  private readonly toldServers: StateWord[];

  constructor({ plan, events, view, onProbe }: NoticesOptions) {
    this.plan = plan;
    this.events = events;
    this.view = view;
    this.onProbe = onProbe;
    this.told = plan.uplinks.map(() => 'down');
    this.toldServers = plan.realServers.map(({ index, virtualServer, check, weight }) =>
      (check?.initial === 'down' ? 'down' : weight === 0 && plan.virtualServers[virtualServer].sorry !== index ? 'drained' : 'up'));
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
      case 'serverFate':
        for (const flow of readFates(notice.flows)) this.onServerFlow(notice.server, notice.fate, notice.reason, flow);
        return;
      case 'serverFailover':
        this.onServerFailover(notice);
        return;
      case 'server':
        this.onServer(notice);
        return;
      case 'virtualServer':
        this.onVirtualServer(notice);
        return;
      case 'failover':
        this.onFailover(notice);
        return;
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
      case 'vrrp':
      case 'vrrpTrouble':
        if (notice.event === 'vrrpTrouble') this.view.elections.note(notice);
        tellOfVrrp(notice, this.plan, this.events);
        return;
      default:
        notice satisfies never;
    }
  }

  /** The data plane has taken an uplink into use or out of it, or has another reason not to use it. One event for each change of its state. */
  private onUplink(index: number, isUsable: boolean, why: UplinkReason): void {
    const { name, link: linkIndex, gateway = '' } = this.plan.uplinks[index];
    const link = this.plan.links[linkIndex].name;
    this.view.setUplink(index, why === 'gatewaySilent' ? `gateway ${gateway} does not answer` : null);
    const word: StateWord = isUsable ? 'up' : why === 'drained' ? 'drained' : 'down';
    if (this.told[index] === word) return;
    this.told[index] = word;
    const reason = this.view.uplinkReason(index);
    this.events.emit(`uplink.${word}`, name, `uplink ${name} is ${word}${word === 'down' && reason !== null ? `: ${reason}` : ''}${word === 'drained' ? ': it takes no new flows, old ones go on' : ''}`,
      { uplink: name, link, reason: isUsable ? null : reason, severity: word === 'down' ? 'warning' : 'info' });
  }

  /** A real server takes flows, or does not any more, or for another reason. One event for each change of its state. */
  private onServer({ server: index, isUp, isUsable }: Extract<ServerNotice, { event: 'server' }>): void {
    const word: StateWord = isUsable ? 'up' : isUp ? 'drained' : 'down';
    if (this.toldServers[index] === word) return;
    this.toldServers[index] = word;
    const { reason } = this.view.servers.server(index);
    const names = this.namesOf(index);
    const tail = word === 'up' ? '' : word === 'drained' ? `: it takes no new flows (${reason})` : `: ${reason}`;
    this.events.emit(`server.${word}`, names.server, `server ${names.server} is ${word}${tail}`,
      { ...names, reason: word === 'up' ? null : reason, severity: word === 'down' ? 'warning' : 'info' });
  }

  private onVirtualServer({ virtualServer: index, isUp, weight }: Extract<ServerNotice, { event: 'virtualServer' }>): void {
    this.view.servers.observe();
    const { name, quorum, sorry } = this.plan.virtualServers[index];
    const word = isUp ? 'up' : 'down';
    const needed = isUp ? quorum.weight : quorum.weight + quorum.hysteresis;
    const fate = sorry === undefined ? 'are refused' : 'go to its sorry server';
    this.events.emit(`virtual-server.${word}`, name,
      `virtual server ${name} is ${word}: its usable servers have a weight of ${weight}${isUp ? `, ${needed} is enough` : ` and need ${needed}; new flows ${fate}`}`,
      { virtualServer: name, weight, quorumWeight: quorum.weight, severity: isUp ? 'info' : 'error' });
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

  private onServerFlow(index: number, fate: Fate, reason: FateReason, flow: FateFlow): void {
    const names = this.namesOf(index);
    const protocol = PROTOCOLS.get(flow.protocol) ?? String(flow.protocol);
    const { source, sourcePort, destination, destinationPort, external, externalPort } = flow;
    this.events.emit(`flow.${fate}`, names.server,
      `${protocol} ${source}:${sourcePort} to ${destination}:${destinationPort} ${SERVER_FATES[fate]}: server ${names.server} ${FATE_REASONS[reason]}`,
      { ...names, reason, protocol, source, sourcePort, destination, destinationPort, external, externalPort });
  }

  private onServerFailover({ server: index, reason, detail, reset, moved, kept, tookMs }: Extract<Notice, { event: 'serverFailover' }>): void {
    const names = this.namesOf(index);
    this.events.emit('server.failover', names.server,
      `server ${names.server} ${FATE_REASONS[reason]}${detail === null ? '' : ` (${detail})`}: of its flows ${reset} reset, ${moved} moved, ${kept} kept, within ${Math.round(tookMs * 10) / 10} ms`,
      { ...names, reason, detail, reset, moved, kept, tookMs });
  }

  /** What every event of a real server says of it. */
  private namesOf(index: number): { server: string; virtualServer: string; realServer: string } {
    const { virtualServer, name } = this.plan.realServers[index];
    return { server: serverName(this.plan, index), virtualServer: this.plan.virtualServers[virtualServer].name, realServer: name };
  }

  private onFailover({ uplink: index, reason, detail, reset, moved, kept, draining, tookMs }: Extract<Notice, { event: 'failover' }>): void {
    const uplink = this.plan.uplinks[index].name;
    this.events.emit('uplink.failover', uplink,
      `uplink ${uplink} ${FATE_REASONS[reason]}${detail === null ? '' : ` (${detail})`}: of its flows ${reset} reset, ${moved} moved, ${kept} kept, ${draining} draining, within ${Math.round(tookMs * 10) / 10} ms`,
      { uplink, reason, detail, reset, moved, kept, draining, tookMs });
  }
}

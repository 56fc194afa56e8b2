/** The commands, in the order help shows them. Only the file of the command that was asked for is loaded. */
import type { CommandFile } from './command.js';

export interface CommandEntry {
  name: string;
  summary: string;
  /** Heading it stands under in the help. */
  heading: string;
  load(): Promise<CommandFile>;
}

const WATCH = 'Look at a running router:';
const RUN = 'Run a router:';
const CHANGE = 'Change a running router:';
const LEARN = 'Find out and try:';

export const commands: readonly CommandEntry[] = [
  { heading: RUN, name: 'run', summary: 'run the router in the foreground', load: async () => (await import('./run.js')).command },
  { heading: RUN, name: 'check', summary: 'read a configuration and tell every mistake in it', load: async () => (await import('./check.js')).command },
  { heading: RUN, name: 'import', summary: 'turn a configuration of ipvsadm or BalanceNG into one of weir', load: async () => (await import('./import.js')).command },
  { heading: WATCH, name: 'status', summary: 'one screen: problems first, then uplinks, servers and links', load: async () => (await import('./status.js')).command },
  { heading: WATCH, name: 'links', summary: 'the devices at the edges and their counters', load: async () => (await import('./links.js')).command },
  { heading: WATCH, name: 'uplinks', summary: 'the ways out, their health and their share of the flows', load: async () => (await import('./uplinks.js')).command },
  { heading: WATCH, name: 'servers', summary: 'virtual servers, and the real servers each has', load: async () => (await import('./servers.js')).command },
  { heading: WATCH, name: 'routes', summary: 'the forwarding table', load: async () => (await import('./routes.js')).command },
  { heading: WATCH, name: 'neighbours', summary: 'which station has which address', load: async () => (await import('./neighbours.js')).command },
  { heading: WATCH, name: 'flows', summary: 'the flow table, filtered and page by page', load: async () => (await import('./flows.js')).command },
  { heading: WATCH, name: 'affinity', summary: 'which addresses come back to which uplink', load: async () => (await import('./affinity.js')).command },
  { heading: WATCH, name: 'persistence', summary: 'which clients come back to which real server', load: async () => (await import('./persistence.js')).command },
  { heading: WATCH, name: 'filters', summary: 'the filter rules and what they decided', load: async () => (await import('./filters.js')).command },
  { heading: WATCH, name: 'drops', summary: 'why packets were refused', load: async () => (await import('./drops.js')).command },
  { heading: WATCH, name: 'vrrp', summary: 'virtual routers: who is master, and why', load: async () => (await import('./vrrp.js')).command },
  { heading: WATCH, name: 'share', summary: 'what is shared with other instances, and how far behind it is', load: async () => (await import('./share.js')).command },
  { heading: WATCH, name: 'leases', summary: 'which instance has which ports of shared addresses', load: async () => (await import('./leases.js')).command },
  { heading: WATCH, name: 'monitor', summary: 'events as they happen', load: async () => (await import('./monitor.js')).command },
  { heading: CHANGE, name: 'drain', summary: 'take an uplink, a server or this instance out of use', load: async () => (await import('./drain.js')).drain },
  { heading: CHANGE, name: 'undrain', summary: 'put a drained uplink, server or instance to work again', load: async () => (await import('./drain.js')).undrain },
  { heading: CHANGE, name: 'weight', summary: 'set the weight of an uplink or a server until the next start', load: async () => (await import('./weight.js')).command },
  { heading: CHANGE, name: 'maint', summary: 'drain a server with a reason that others read', load: async () => (await import('./maint.js')).command },
  { heading: LEARN, name: 'doctor', summary: 'what this box lacks to run weir well, and what to do', load: async () => (await import('./doctor.js')).command },
  { heading: LEARN, name: 'lab', summary: 'bring a scenario up in network namespaces and try it', load: async () => (await import('./lab.js')).command },
  { heading: LEARN, name: 'selftest', summary: 'measure in a lab what weir promises, row by row', load: async () => (await import('./selftest.js')).command },
];

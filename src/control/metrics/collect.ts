/**
 * Everything weir counts, as metrics: read from the very view that the API answers from, in base units (seconds, bytes, parts of 1). Names are stable: they are
 * added, never renamed, never mean something else. docs/operating.md lists them.
 */
import { VERDICTS } from '../../base/verdict.js';
import type { EventCounts, HookCounts, RouterView, ShareStatus, ViewedStatus } from '../api/types.js';
import type { Labels } from './text.js';
import { MetricsPage } from './text.js';

export interface Counted {
  version: string;
  view: RouterView;
  events: EventCounts;
  /** Null where no hooks run. */
  hooks: HookCounts | null;
}

const bit = (isSo: boolean): number => (isSo ? 1 : 0);
const seconds = (ms: number | null | undefined): number | null => (ms === null || ms === undefined ? null : ms / 1000);

/** A sample of a thing. */
type Row<T> = (thing: T) => number | null;
/** Families that all things of a kind have: name, type, sentence, value. */
type Families<T> = readonly (readonly [name: string, help: string, value: Row<T>])[];

/** One family a line; counters are told by their names. */
function each<T>(page: MetricsPage, families: Families<T>, things: readonly T[], labels: (thing: T) => Labels): void {
  for (const [name, help, value] of families) {
    const sample = page.family(`weir_${name}`, name.endsWith('_total') ? 'counter' : 'gauge', help);
    for (const thing of things) sample(value(thing), labels(thing));
  }
}

const LINKS: Families<ViewedStatus['links'][number]> = [
  ['link_up', 'Whether the link is up.', ({ state }) => bit(state === 'up')],
  ['link_mtu_bytes', 'The longest IP packet it carries.', ({ mtuBytes }) => mtuBytes],
  ['link_receive_packets_total', 'Packets that came in.', ({ rxPackets }) => rxPackets],
  ['link_receive_bytes_total', 'Bytes that came in.', ({ rxBytes }) => rxBytes],
  ['link_transmit_packets_total', 'Packets that left.', ({ txPackets }) => txPackets],
  ['link_transmit_bytes_total', 'Bytes that left.', ({ txBytes }) => txBytes],
  ['link_receive_drops_total', 'Frames that came in and were refused; weir_drops_total says why.', ({ rxDrops }) => rxDrops],
  ['link_transmit_errors_total', 'Frames the kernel would not send.', ({ txErrors }) => txErrors],
  ['link_kernel_drops_total', 'Frames lost before they could be read.', ({ kernelDrops }) => kernelDrops],
  ['link_offloaded_receive_packets_total', 'Of the packets that came in, those the kernel forwarded by itself.', ({ offloadedRxPackets }) => offloadedRxPackets],
  ['link_offloaded_receive_bytes_total', 'Of the bytes that came in, those the kernel forwarded by itself.', ({ offloadedRxBytes }) => offloadedRxBytes],
  ['link_offloaded_transmit_packets_total', 'Of the packets that left, those the kernel forwarded by itself.', ({ offloadedTxPackets }) => offloadedTxPackets],
  ['link_offloaded_transmit_bytes_total', 'Of the bytes that left, those the kernel forwarded by itself.', ({ offloadedTxBytes }) => offloadedTxBytes],
];

const UPLINKS: Families<ViewedStatus['uplinks'][number]> = [
  ['uplink_up', 'Whether the uplink works and takes new flows.', ({ state }) => bit(state === 'up')],
  ['uplink_drained', 'Whether it was drained by hand.', ({ isDrained }) => bit(isDrained)],
  ['uplink_weight', 'Its weight.', ({ weight }) => weight],
  ['uplink_wanted_share_ratio', 'The part of new flows it should take.', ({ wantedShare }) => wantedShare],
  ['uplink_flows', 'Flows it has now.', ({ flows }) => flows],
  ['uplink_new_flows_total', 'Flows it was given.', ({ newFlows }) => newFlows],
  ['uplink_receive_packets_total', 'Packets that came in by it.', ({ rxPackets }) => rxPackets],
  ['uplink_receive_bytes_total', 'Bytes that came in by it.', ({ rxBytes }) => rxBytes],
  ['uplink_transmit_packets_total', 'Packets that left by it.', ({ txPackets }) => txPackets],
  ['uplink_transmit_bytes_total', 'Bytes that left by it.', ({ txBytes }) => txBytes],
  ['uplink_ports_used', 'External ports in use on its translation addresses, all protocols together.', ({ portsUsed, portsTotal }) => (portsTotal === 0 ? null : portsUsed)],
  ['uplink_ports', 'External ports there are on its translation addresses, all protocols together.', ({ portsTotal }) => (portsTotal === 0 ? null : portsTotal)],
  ['uplink_ports_refused_total', 'New flows refused for want of a port.', ({ portsRefused }) => portsRefused],
  ['uplink_ports_shared_total', 'New flows that share a port with flows to other destinations.', ({ portsShared }) => portsShared],
  ['uplink_check_loss_ratio', 'The part of what its check asked that was not answered, over its window.', ({ health }) => health?.lossRatio ?? null],
  ['uplink_check_latency_seconds', 'Round trip of its check, the mean over its window.', ({ health }) => seconds(health?.latencyMs)],
  ['uplink_check_jitter_seconds', 'Difference between one round trip and the next, the mean over the check\'s window.', ({ health }) => seconds(health?.jitterMs)],
];

const VIRTUAL_SERVERS: Families<ViewedStatus['virtualServers'][number]> = [
  ['virtual_server_up', 'Whether the virtual server has a quorum.', ({ state }) => bit(state === 'up')],
  ['virtual_server_usable_weight', 'The weight of its usable real servers.', ({ usableWeight }) => usableWeight],
  ['virtual_server_refused_flows_total', 'New flows nobody took.', ({ refusedFlows }) => refusedFlows],
  ['virtual_server_returned_flows_total', 'New flows that came back to their client\'s server by persistence.', ({ returnedFlows }) => returnedFlows],
];

type RealServer = ViewedStatus['virtualServers'][number]['realServers'][number] & { virtualServer: string };

const REAL_SERVERS: Families<RealServer> = [
  ['real_server_up', 'Whether the real server works and takes new flows.', ({ state }) => bit(state === 'up' || state === 'slow-start')],
  ['real_server_drained', 'Whether it was drained by hand.', ({ isDrained }) => bit(isDrained)],
  ['real_server_weight', 'Its weight.', ({ weight }) => weight],
  ['real_server_effective_weight', 'The weight the scheduler goes by now.', ({ effectiveWeight }) => effectiveWeight],
  ['real_server_active_flows', 'Its flows that are at work.', ({ active }) => active],
  ['real_server_inactive_flows', 'Its flows that are not at work yet, or any more.', ({ inactive }) => inactive],
  ['real_server_new_flows_total', 'Flows it was given.', ({ newFlows }) => newFlows],
  ['real_server_receive_packets_total', 'Packets that came from it.', ({ rxPackets }) => rxPackets],
  ['real_server_receive_bytes_total', 'Bytes that came from it.', ({ rxBytes }) => rxBytes],
  ['real_server_transmit_packets_total', 'Packets sent to it.', ({ txPackets }) => txPackets],
  ['real_server_transmit_bytes_total', 'Bytes sent to it.', ({ txBytes }) => txBytes],
  ['real_server_check_latency_seconds', 'Round trip of its check, the mean over its window.', ({ health }) => seconds(health?.latencyMs)],
];

const VIRTUAL_ROUTERS: Families<ViewedStatus['vrrp'][number]> = [
  ['vrrp_master', 'Whether the virtual router\'s addresses are here.', ({ state }) => bit(state === 'master')],
  ['vrrp_taking_part', 'Whether it takes part: 0 is init.', ({ state }) => bit(state !== 'init')],
  ['vrrp_priority', 'Its priority as configured.', ({ priority }) => priority],
  ['vrrp_effective_priority', 'What is left of its priority; 0 is standing aside.', ({ effectivePriority }) => effectivePriority],
  ['vrrp_adverts_sent_total', 'Adverts sent.', ({ sent }) => sent],
  ['vrrp_adverts_received_total', 'Adverts taken.', ({ received }) => received],
  ['vrrp_adverts_refused_total', 'Adverts refused.', ({ refused }) => refused],
  ['vrrp_transitions_total', 'How often it became master or ceased to be.', ({ transitions }) => transitions],
];

const SHARE: Families<ShareStatus> = [
  ['share_usable', 'Whether the store is in use.', ({ isUsable }) => bit(isUsable)],
  ['share_generation', 'What tells this run of the instance from earlier ones.', ({ generation }) => generation],
  ['share_state_seconds', 'How long it has been usable, or not.', ({ forMs }) => seconds(forMs)],
  ['share_queue_changes', 'Changes that wait to be written.', ({ queue }) => queue],
  ['share_queue_limit_changes', 'Changes that may wait (limits.sharedChanges).', ({ queueLimit }) => queueLimit],
  ['share_lag_seconds', 'How long the oldest change has waited to be written.', ({ lagMs }) => seconds(lagMs)],
  ['share_lag_max_seconds', 'The longest a change has waited of late.', ({ lagMaxMs }) => seconds(lagMaxMs)],
  ['share_write_seconds', 'Round trip of the last write.', ({ writeMs }) => seconds(writeMs)],
  ['share_write_max_seconds', 'The longest round trip of a write of late.', ({ writeMaxMs }) => seconds(writeMaxMs)],
  ['share_follow_lag_seconds', 'How old what others write is when it comes here.', ({ followMs }) => seconds(followMs)],
  ['share_writes_under_way', 'Batches on their way.', ({ inFlight }) => inFlight],
  ['share_fetches_under_way', 'Flows being asked for.', ({ fetching }) => fetching],
  ['share_peers', 'Other instances that are heard of.', ({ peers }) => peers.length],
  ['share_loaded_records', 'Records read when this instance joined.', ({ load }) => load?.records ?? null],
  ['share_written_records_total', 'Records written.', ({ counts }) => counts.written],
  ['share_deleted_records_total', 'Records deleted.', ({ counts }) => counts.deleted],
  ['share_batches_total', 'Batches written.', ({ counts }) => counts.batches],
  ['share_batch_bytes_total', 'Bytes of these batches.', ({ counts }) => counts.batchBytes],
  ['share_retried_writes_total', 'Writes that failed and were done again.', ({ counts }) => counts.retried],
  ['share_fenced_total', 'Times another instance had taken over from this one.', ({ counts }) => counts.fenced],
  ['share_dropped_changes_total', 'Changes that waited too long or were too many.', ({ counts }) => counts.dropped],
  ['share_dropped_ends_total', 'Of these, ends of flows.', ({ counts }) => counts.droppedEnds],
  ['share_lost_changes_total', 'Changes that found no room on their way to be written.', ({ counts }) => counts.lost],
  ['share_coalesced_changes_total', 'Changes that were one with another that still waited.', ({ counts }) => counts.coalesced],
  ['share_refreshed_records_total', 'Records written again for their age alone.', ({ counts }) => counts.refreshed],
  ['share_applied_records_total', 'Records of others that were taken.', ({ counts }) => counts.applied],
  ['share_forgotten_records_total', 'Ends of others\' flows that were taken.', ({ counts }) => counts.forgotten],
  ['share_unreadable_batches_total', 'Batches of others that could not be read.', ({ counts }) => counts.unreadable],
  ['share_inbox_waits_total', 'Times what came had to wait for the data plane.', ({ counts }) => counts.inboxWaits],
  ['share_log_gaps_total', 'Times the log did not reach back far enough and everything was read anew.', ({ counts }) => counts.gaps],
  ['share_fetches_total', 'Flows asked for because a packet of one came.', ({ counts }) => counts.fetches],
  ['share_fetched_flows_total', 'Of these, those that were found.', ({ counts }) => counts.fetched],
  ['share_fetches_missed_total', 'Of these, those that were not found in time.', ({ counts }) => counts.fetchesMissed],
  ['share_fetches_refused_total', 'Of these, those that were one too many at once.', ({ counts }) => counts.fetchesRefused],
];

const LEASES: Families<ShareStatus['leases'][number]> = [
  ['lease_blocks', 'Blocks of ports a shared translation address has.', ({ blocks }) => blocks],
  ['lease_held_blocks', 'Of these, those that are this instance\'s.', ({ held }) => held.length],
  ['lease_left_seconds', 'How long the first of these is good for without the store.', ({ leftMs }) => seconds(leftMs)],
];

export function collectMetrics({ version, view, events, hooks }: Counted): string {
  const page = new MetricsPage();
  const status = view.status();
  const gauge = (name: string, help: string, value: number | null, labels?: Labels): void => page.family(`weir_${name}`, 'gauge', help)(value, labels);
  const counter = (name: string, help: string, value: number): void => page.family(`weir_${name}_total`, 'counter', help)(value);

  gauge('build_info', 'Always 1; the version of weir is in its label.', 1, { version });
  gauge('up', 'Whether nothing is wrong that weir status would call degraded.', bit(status.state === 'up'));
  const problems = page.family('weir_problems', 'gauge', 'What weir status lists, by severity.');
  for (const severity of ['error', 'warning'] as const) problems(status.problems.filter((problem) => problem.severity === severity).length, { severity });
  gauge('uptime_seconds', 'Since the daemon was started.', status.uptimeMs / 1000);
  gauge('config_generation', 'The generation of the configuration.', status.generation);
  const { user, system } = process.cpuUsage();
  counter('process_cpu_seconds', 'Processor time the daemon has used, all threads together.', (user + system) / 1e6);
  gauge('process_resident_memory_bytes', 'Memory the daemon has in use.', process.memoryUsage.rss());

  gauge('flows', 'Flows in the table.', status.flows.count);
  gauge('flows_limit', 'Flows the table can hold.', status.flows.limit);
  counter('flows_opened', 'Flows that began.', status.flows.opened);
  counter('flows_expired', 'Flows that ended.', status.flows.expired);
  counter('receive_packets', 'Packets that came in by all links.', status.packets.received);
  counter('transmit_packets', 'Packets that left by all links.', status.packets.sent);
  const dropped = new Map(view.drops().map(({ name, packets }) => [name, packets]));
  const drops = page.family('weir_drops_total', 'counter', 'Packets that were refused, by reason; weir drops has a sentence for each.');
  for (const { kind, name } of VERDICTS) if (kind === 'drop') drops(dropped.get(name) ?? 0, { reason: name.toLowerCase() });

  counter('turns', 'Turns the data plane has made.', status.dataPlane.turns);
  gauge('longest_turn_seconds', 'The longest of them.', status.dataPlane.longestTurnUs / 1e6);
  gauge('tcp_windows', 'TCP flows followed by their numbers.', status.tcp.windowsUsed);
  gauge('tcp_windows_limit', 'TCP flows that can be.', status.tcp.windowsLimit);
  counter('tcp_windows_refused', 'TCP flows that were one too many for that.', status.tcp.windowsRefused);
  counter('tcp_strange_segments', 'Segments that fitted no window.', status.tcp.strangeSegments);
  gauge('waiting_syns', 'SYNs from outside that wait for one from inside.', status.heldSyns.count);
  counter('held_syns', 'SYNs that have waited.', status.heldSyns.taken);
  counter('held_syns_refused', 'SYNs that found no room to wait.', status.heldSyns.refused);
  const alg = (name: string, help: string, type: 'counter' | 'gauge', value: (row: ViewedStatus['algs'][number]) => number): void => {
    const sample = page.family(`weir_alg_${name}`, type, help);
    for (const row of status.algs) sample(value(row), { alg: row.name });
  };
  alg('watched_flows', 'Control flows a helper watches.', 'gauge', ({ watched }) => watched);
  alg('unwatched_flows_total', 'Control flows it could not watch, for there were too many.', 'counter', ({ unwatched }) => unwatched);
  alg('announced_flows_total', 'Flows that were announced in them and expected.', 'counter', ({ announced }) => announced);
  alg('edited_announcements_total', 'Announcements that were edited.', 'counter', ({ edited }) => edited);
  alg('ignored_announcements_total', 'Announcements that were left alone.', 'counter', ({ foreign, refused, unasked }) => foreign + refused + unasked);
  alg('unreadable_flows_total', 'Control flows it could not read.', 'counter', ({ unreadable }) => unreadable);

  const { offload } = status;
  gauge('offload_available', 'Whether the kernel can forward flows by itself here.', bit(offload.reason === null));
  gauge('offloaded_flows', 'Flows the kernel forwards by itself.', offload.flows);
  gauge('offloaded_flows_limit', 'Flows it may (limits.offloadedFlows).', offload.limit);
  counter('offloaded_packets', 'Packets it has forwarded.', offload.packets);
  counter('offloaded_bytes', 'Bytes of these.', offload.bytes);
  const declined = page.family('weir_offload_declined_total', 'counter', 'Flows that were considered and left to the data plane, by reason.');
  for (const [reason, count] of Object.entries(offload.declined)) declined(count, { reason });

  each(page, LINKS, status.links, ({ name, type }) => ({ link: name, type }));
  each(page, UPLINKS, status.uplinks, ({ name, link }) => ({ uplink: name, link }));
  each(page, VIRTUAL_SERVERS, status.virtualServers, ({ name }) => ({ virtual_server: name }));
  const servers = status.virtualServers.flatMap(({ name, realServers, sorry }) => [...realServers, ...(sorry === null ? [] : [sorry])].map((server) => ({ ...server, virtualServer: name })));
  each(page, REAL_SERVERS, servers, ({ name, virtualServer }) => ({ virtual_server: virtualServer, real_server: name }));
  each(page, VIRTUAL_ROUTERS, status.vrrp, ({ name, link }) => ({ virtual_router: name, link }));

  const { share } = status;
  gauge('instance_drained', 'Whether this instance was drained by hand.', bit(share.isDrained));
  if (share.status !== null) {
    each(page, SHARE, [share.status], () => ({}));
    const trouble = page.family('weir_share_trouble', 'gauge', 'Always 1; what is wrong with the store is in its label.');
    if (share.status.trouble !== null) trouble(1, { kind: share.status.trouble.kind });
    const heard = page.family('weir_share_peer_heard_seconds', 'gauge', 'Since another instance last told of itself.');
    for (const { instance, ageMs } of share.status.peers) heard(ageMs / 1000, { instance });
    each(page, LEASES, share.status.leases, ({ address }) => ({ address }));
  }

  counter('events', 'Events other than those of flows.', events.events);
  counter('flow_events', 'Events of flows.', events.flowEvents);
  if (hooks !== null) {
    counter('hooks_run', 'Programs run on events.', hooks.runs);
    counter('hooks_failed', 'Programs that failed in any way.', hooks.failures);
    counter('hooks_dropped_events', 'Events that ran no programs because too many waited.', hooks.eventsDropped);
  }
  return page.toString();
}

/**
 * From a keepalived.conf to a whole configuration: virtual servers with their checks, and virtual routers. What keepalived leaves to the system
 * (the links' own addresses, the gateway) comes from the command line, or is guessed and told. Every word of the file is in the configuration, in a
 * comment there that says why it needs no key, or in a remark.
 */
import { ConfigErrors } from '../../base/error.js';
import { formatIpv4 } from '../../wire/address.js';
import { INSTANCE, INSTANCE_ALLOWED } from '../config/format.js';
import { contains, looksLikeIpv6, networkOf, notAHost, readAddress, readPrefix, reserved, type Prefix } from '../config/ip.js';
import { compileConfig } from '../config/load.js';
import { PORT_MAX } from '../config/rule-text.js';
import type { Draft, ImportOptions, Notes } from './imported.js';
import { Block, type Reasons } from './keepalived-block.js';
import { mannerOf, NO_MANNER, readCheckers, type Checked, type Manner } from './keepalived-check.js';
import { parseKeepalived, textOf, type Statement } from './keepalived-parse.js';
import { Elections, EVENTS, networkLength, placeOf, type VrrpDefaults } from './keepalived-vrrp.js';
import {
  DEFAULT_SCHEDULER, entriesOf, ftpSection, IPV6, maskLength, natInstead, NO_SCTP, PERSISTENCE_SECONDS_MAX, readListen, readMarks, refusedAddress, refusedLower, refusedPort, SCHEDULERS,
  THRESHOLD_MAX, unknownMark, WEIGHT_MAX, type Listen, type Server, type Service,
} from './lvs.js';
import { addressesOf, boxLink, formatPrefix, freeAddress, GUESSED_LENGTH, guessLinks, linkEntries, networksFor, ownAddresses, prefixesOf, tellGuess, wayOut, type Link } from './surroundings.js';
import { nameOf, type Entry } from './yaml.js';

/** Seconds, of persistence_timeout without a number. */
const PERSISTENCE_SECONDS = 360;
const WEIGHT_SUM_MAX = 16_777_216;
/** What a range of a virtual_server_group may hold. */
const RANGE_MAX = 256;
const WHY_GUESSED = 'keepalived does not say the links\' own addresses and networks';

const MAIL = `a program in hooks.directory can send mail: ${EVENTS}`;
const SHARED = 'flows are shared through a Redis server: share: { store: redis, redis: { url: … } }';
const TRACKED = 'a virtual server or an uplink that is checked by script can be tracked';

/** Blocks and words of the file as a whole that have no key. */
const TOP: Reasons = [
  ['vrrp_track_process vrrp_track_file track_file bfd_instance', 'left out', `${TRACKED}: vrrp: { …: { track: [{ name: …, weight: … }] } }`],
  ['track_group static_rules', 'left out', 'policies: { …: { group: … } } say by which group what leaves; nothing tracks them'],
  ['garp_group', 'left out', 'announcements of an address are sent at once'],
  ['linkbeat_interfaces linkbeat_use_polling', 'nothing', 'links are weir\'s own.'],
  ['interface_up_down_delays', 'left out', 'what flaps is master again once everything is loaded and vrrp.NAME.preemptDelay is over'],
  ['SSL', 'left out', 'check: { http: { verify: true } } goes by the authorities the system trusts; a client certificate: check: { script: … }'],
  ['net_namespace net_namespace_ipvs', 'left out', 'links: { …: { netns: NAME } } says it for each link'],
  [/^(?:instance|use_pid_dir|child_wait_time|namespace_with_ipsets)$/, 'nothing', 'the service manager\'s to say.'],
];

const GLOBAL: Reasons = [
  [/^(?:notification_email|notification_email_from|smtp_\w+|no_email_faults|no_checker_emails)$/, 'left out', MAIL],
  [/^(?:startup|shutdown)_script(?:_timeout)?$/, 'left out', 'the service manager runs what is to run before and after'],
  ['lvs_sync_daemon', 'left out', SHARED],
  ['lvs_timeouts', 'left out', 'timeouts are those of all flows of the router: timeouts.tcpEstablished, timeouts.tcpClosing, timeouts.udp and timeouts.udpReplied'],
  [/^lvs_flush/, 'nothing', 'flows live in weir, so there is nothing to flush.'],
  [/^(?:enable_snmp_\w+|enable_traps|snmp_socket|enable_dbus|dbus_\w+)$/, 'left out', 'control.metrics and weir monitor -j tell what happens'],
  [/notify_fifo/, 'left out', `weir monitor -j is a stream of events, and ${EVENTS}`],
  ['enable_script_security', 'nothing', 'what others could have written is never run.'],
  ['use_symlink_paths set_supplementary_groups', 'left out', 'a program is run as it is written, with its user\'s groups'],
  ['checker_log_all_failures log_unknown_vrids', 'nothing', 'control.logLevel says how much is logged.'],
  ['vrrp_mcast_group4', 'left out', 'adverts go to 224.0.0.18'],
  ['vrrp_mcast_group6', 'left out', IPV6],
  [/^vrrp_garp_(?:lower_prio\w*|master_refresh_repeat|interval|extra_if)$|^vrrp_(?:gna_interval|min_garp)$/, 'left out', 'one for each address, without a pause between them; a master of lower priority is answered by an advert'],
  [/^vrrp_(?:lower_prio_no_advert|higher_prio_send_advert|check_unicast_src|skip_check_adv_addr)$/, 'nothing', 'as weir does it for each virtual router.'],
  ['vrrp_notify_priority_changes fifo_write_vrrp_states_on_reload', 'left out', 'weir vrrp and the metrics have the priority'],
  ['vrrp_down_timer_adverts', 'left out', 'three, as the RFC has it'],
  ['vrrp_startup_delay', 'left out', 'vrrp.NAME.preemptDelay says how long it waits before it takes over'],
  [/^(?:vrrp_iptables|vrrp_ipsets|nftables\w*)$/, 'nothing', 'addresses are weir\'s own, so nothing of the system\'s needs to keep its hands off them.'],
  [/^(?:vmac_prefix|vmac_addr_prefix|dynamic_interfaces|disable_local_igmp|default_interface)$/, 'nothing', 'links are weir\'s own.'],
  [/^vrrp_track_process|^process_monitor/, 'left out', TRACKED],
  [/(?:_priority|_no_swap|_cpu_affinity|_rlimit_rttime|_rcv_bufs|_rcv_bufs_force|_delay|_rx_bufs_\w+)$|^process_names?$|_process_name$|^(?:umask|random_seed|tmp_config_directory|config_save_dir|data_use_instance|max_auto_priority)$/,
    'nothing', 'the service manager\'s to say.'],
  [/^reload_|^include_check$|^rs_init_notifies$/, 'nothing', 'a change is read as a whole, or not at all.'],
  ...TOP,
];

const VIRTUAL_SERVER: Reasons = [
  ['ha_suspend', 'nothing', 'a backup checks its servers as well, so that it knows how they are when it becomes master.'],
  ['warmup', 'nothing', 'first rounds are spread by themselves.'],
  ['snmp_name', 'nothing', 'metrics bear the names of the configuration.'],
  ['log_all_failures', 'nothing', 'the log tells what changes, weir servers the reason of the last round.'],
  ['nat_mask', 'nothing', 'it has no effect there either.'],
  ['ip_family', 'nothing', 'IPv4 only.'],
  ['sorry_server_inhibit', 'nothing', 'a sorry server has no weight.'],
  ['hashed flag-3', 'left out', 'no scheduler has such a flag'],
  ['persistence_engine', 'left out', 'persistence is by the client\'s address only, not by what is in the packets'],
  ['omega', 'left out', 'flows and servers end with the process; hooks run on every event until then'],
  ['quorum_up quorum_down', 'left out', `${EVENTS}: virtual-server.up and virtual-server.down`],
  ['notify_up notify_down', 'left out', `${EVENTS}: server.up and server.down`],
  ['smtp_alert', 'left out', MAIL],
];

interface Global { sections: Entry[]; defaults: VrrpDefaults }
type Forward = { isTunnel: boolean } | undefined;
/** What a virtual server says for all its servers. */
interface Upper { forward: { given: Statement | undefined; way: Forward }; manner: Manner; weight: number | undefined }

class Importer {
  readonly #statements: readonly Statement[];
  readonly #notes: Notes;
  readonly #options: ImportOptions;
  readonly #comments: string[] = [];
  #given: readonly Link[];
  /** The link to the box that the configuration has already: our end of it and the box's. */
  #box: { own: string; peer: string } | undefined;
  #needsBox = false;

  constructor(statements: readonly Statement[], notes: Notes, options: ImportOptions) {
    this.#statements = statements;
    this.#notes = notes;
    this.#options = options;
    this.#given = options.links;
  }

  run(): Draft {
    const { links: optionLinks, into, marks = [] } = this.#options;
    if (into !== undefined) this.#readInto();
    const top = new Block(this.#statements, this.#notes);
    const { sections: share, defaults } = this.#global(top);
    const elections = new Elections(top.all('vrrp_instance', 'vrrp_sync_group', 'vrrp_script'), defaults, this.#notes);
    const fixed = this.#addresses(top);
    const routes = this.#routes(top);
    const isGuess = optionLinks.length === 0 && into === undefined;
    const known = new Set([...ownAddresses(this.#given), ...(isGuess ? [...fixed.values()].flat().map(({ address }) => formatIpv4(address)) : [])]);
    const groups = new Map(top.all('virtual_server_group').map((group) => [group.values[0]?.text ?? '', group]));
    const marksMeant = readMarks(marks, this.#notes);
    const unused = new Set(groups.keys());
    const services = top.all('virtual_server').flatMap((statement): Service[] => {
      if (statement.values[0]?.text === 'group') unused.delete(statement.values[1]?.text ?? '');
      const service = this.#service(statement, groups, marksMeant, known, defaults.scriptUser);
      return service === undefined ? [] : [service];
    });
    for (const name of unused) this.#notes.leftOut(groups.get(name)!, textOf(groups.get(name)!), 'no virtual_server is of that group');
    top.finish(TOP, '');
    this.#comments.push(...top.comments);
    const links = isGuess ? this.#guess(elections, services, fixed) : this.#given;
    if (!isGuess) {
      for (const [device, prefixes] of fixed) {
        for (const prefix of prefixes) {
          const has = this.#linkOf(device, links)?.addresses.some((text) => readPrefix(text)?.address === prefix.address) === true;
          if (!has) this.#notes.leftOut(prefix.statement, textOf(prefix.statement), `an address of the router's own: say it with --link NAME=${device},${formatPrefix(prefix)}`);
        }
      }
    }
    const own = ownAddresses(links);
    const names = new Set<string>();
    if (elections.needsStandIns) this.#needsBox = true;
    const box = boxLink(prefixesOf(links), 'The box itself, which asks by TCP, HTTP and DNS, and runs what is tracked by script.');
    const ends = this.#box ?? box;
    const standIns = elections.needsStandIns ? elections.standIns(ends.own, ends.peer, names) : [];
    const virtualServers = services.flatMap((service) => entriesOf(service, names));
    const linkOf = (device: string): Link | undefined => this.#linkOf(device, links);
    const vrrp = elections.entries(linkOf, own);
    const out = wayOut(this.#options, links, this.#notes);
    const head = ['Taken over from a keepalived.conf.'];
    if (services.length > 0) head.push('The real servers\' answers must come back through weir: it is their default route, as with lb_kind NAT it was the box of keepalived.');
    const shown = into === undefined ? linkEntries(links) : [];
    return {
      head: [...head, ...out.head, ...this.#comments],
      sections: [
        {
          key: 'links', comments: isGuess && links.length > 0 ? [`Guessed, for ${WHY_GUESSED}: put in your own.`] : [],
          value: [...shown, ...(this.#needsBox && this.#box === undefined ? [box.entry] : [])],
        },
        ...out.sections.filter(({ key }) => key !== 'routes'),
        { key: 'routes', value: [...out.sections.filter(({ key }) => key === 'routes').flatMap(({ value }) => value as readonly Entry[]), ...routes] },
        { key: 'vrrp', value: vrrp },
        { key: 'virtualServers', value: [...virtualServers, ...standIns] },
        ...ftpSection(services),
        ...share,
      ],
    };
  }

  /** The links of the configuration the result goes into. What is wrong with it is told when both are read together. */
  #readInto(): void {
    try {
      const { plan } = compileConfig(this.#options.into!, { generation: 1, seed: 0 });
      const links = plan.links.map(({ name, device, addresses }) => ({ name, device, addresses: addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`) }));
      this.#given = links.filter((_, index) => plan.links[index].type !== 'tun');
      const box = plan.links.find(({ type, peer, addresses }) => type === 'tun' && peer !== undefined && addresses.length > 0);
      if (box !== undefined) this.#box = { own: box.addresses[0].address, peer: box.peer! };
    } catch (error) {
      if (!(error instanceof ConfigErrors)) throw error;
    }
  }

  #linkOf(device: string, links: readonly Link[]): Link | undefined {
    return links.find((link) => link.device === device) ?? links.find((link) => link.name === device);
  }

  #global(top: Block): Global {
    const statements = top.all('global_defs').flatMap(({ block = [] }) => block);
    const block = new Block(statements, this.#notes);
    const router = block.take('router_id', 'lvs_id');
    const name = router?.values[0]?.text;
    const sections: Entry[] = [];
    if (router !== undefined) {
      if (this.#options.into !== undefined) this.#notes.leftOut(router, textOf(router), 'the configuration it goes into has a name, or not: share: { instance: … }');
      else if (name === undefined || !INSTANCE.test(name)) this.#notes.leftOut(router, textOf(router), `share: { instance: … } is ${INSTANCE_ALLOWED}`);
      else sections.push({ key: 'share', source: { ...placeOf(router), what: textOf(router) }, comments: ['This box\'s name, which no other may have where they share flows.'], value: { instance: name } });
    }
    const user = block.take('script_user');
    const number = (word: string, most: number, isTime = false): number | undefined => {
      const read = block.number(word, 0, most, isTime);
      if (read !== undefined) said.push(textOf(read.statement));
      return read?.value;
    };
    const said: string[] = [];
    const version = block.number('vrrp_version', 2, 3);
    const strict = block.isOn('vrrp_strict');
    if (version !== undefined) said.push(textOf(version.statement));
    if (strict !== undefined) said.push(`vrrp_strict${strict ? '' : ' off'}`);
    if (user !== undefined) said.push(textOf(user));
    const defaults: VrrpDefaults = {
      version: version?.value, isStrict: strict, scriptUser: user?.values[0]?.text,
      count: number('vrrp_garp_master_repeat', 1_000_000), againSeconds: number('vrrp_garp_master_delay', 1_000_000, true), refreshSeconds: number('vrrp_garp_master_refresh', 1_000_000, true),
    };
    if (said.length > 0) this.#comments.push(`global_defs: ${said.join(', ')}: said at each virtual router or script.`);
    block.finish(GLOBAL, 'global_defs');
    this.#comments.push(...block.comments);
    return { sections, defaults };
  }

  /** static_ipaddress, by device. */
  #addresses(top: Block): Map<string, (Prefix & { statement: Statement })[]> {
    const found = new Map<string, (Prefix & { statement: Statement })[]>();
    for (const { block = [] } of top.all('static_ipaddress')) {
      for (const line of block) {
        const what = `${textOf(line)} of static_ipaddress`;
        const prefix = readPrefix(line.word.includes('/') ? line.word : `${line.word}/32`);
        const place = line.values.findIndex(({ text }) => text === 'dev');
        const device = place < 0 ? undefined : line.values[place + 1]?.text;
        const rest = line.values.filter((_, index) => place < 0 || (index !== place && index !== place + 1)).map(({ text }) => text);
        const why = looksLikeIpv6(line.word) ? IPV6
          : prefix === undefined || reserved(prefix.address) !== undefined || notAHost(prefix, prefix.address) !== undefined ? 'not an address a host can have'
            : device === undefined || !/^[^/:%\s]{1,15}$/.test(device) ? 'it names no device: links: { …: { addresses: [ADDRESS/LENGTH] } }' : undefined;
        if (why !== undefined) {
          this.#notes.leftOut(line, what, why);
          continue;
        }
        if (rest.length > 0) this.#notes.leftOut(line, `${rest.join(' ')} of ${line.word}`, 'an address has its link and the length of its prefix');
        found.set(device!, [...(found.get(device!) ?? []), { ...prefix!, statement: line }]);
      }
    }
    return found;
  }

  /** static_routes by a gateway or a device, which is all there is. */
  #routes(top: Block): Entry[] {
    const names = new Set(['default']);
    return top.all('static_routes').flatMap(({ block = [] }) => block).flatMap((line): Entry[] => {
      const words = [line.word, ...line.values.map(({ text }) => text)].filter((word, index, all) => !(word === 'to' && index === 0 && all.length > 1));
      const [to, ...rest] = words;
      const wide = to === 'default' ? '0.0.0.0/0' : to.includes('/') ? to : `${to}/32`;
      const prefix = readPrefix(wide);
      const [by, via, dev, device, ...more] = rest;
      const gateway = via === undefined ? undefined : readAddress(via);
      const isPlain = prefix !== undefined && networkOf(prefix) === prefix.address && ['via', 'gw'].includes(by) && gateway !== undefined && (dev === undefined || (dev === 'dev' && device !== undefined)) && more.length === 0;
      if (!isPlain) {
        this.#notes.leftOut(line, `${textOf(line)} of static_routes`, looksLikeIpv6(to) ? IPV6 : 'write it as routes: { …: { to: NETWORK/LENGTH, via: GATEWAY } }');
        return [];
      }
      if (prefix.prefixLength === 0 && this.#options.gateway !== undefined) {
        this.#notes.leftOut(line, `${textOf(line)} of static_routes`, '--gateway says where the rest goes');
        return [];
      }
      return [{ key: nameOf(`to-${formatPrefix(prefix)}`, 'route', names), source: { ...placeOf(line), what: textOf(line) }, value: { to: formatPrefix(prefix), via } }];
    });
  }

  /** Devices the file names, with what is known of their addresses, and networks for whatever is in none of them. */
  #guess(elections: Elections, services: readonly Service[], fixed: ReadonlyMap<string, readonly Prefix[]>): Link[] {
    const devices = [...new Set([...elections.devices, ...fixed.keys()])];
    const { virtual: listened, real } = addressesOf(services);
    const elected = elections.instances.flatMap(({ addresses }) => addresses);
    if (devices.length === 0) return services.length === 0 ? [] : guessLinks(services, WHY_GUESSED, this.#notes);
    const peers = elections.instances.flatMap((one) => one.peers);
    const taken = new Set([...listened, ...real, ...elected.map(({ address }) => address), ...peers, ...elections.instances.flatMap(({ own }) => own ?? []), readAddress(this.#options.gateway ?? '') ?? 0]);
    const prefixes = new Map<string, Prefix[]>(devices.map((device) => [device, [...(fixed.get(device) ?? [])]]));
    const all = (): Prefix[] => [...prefixes.values()].flat();
    const add = (device: string, prefix: Prefix): void => {
      if (notAHost(prefix, prefix.address) !== undefined || all().some((one) => one.address === prefix.address)) return;
      prefixes.get(device)!.push(prefix);
      taken.add(prefix.address);
    };
    for (const { device, own } of elections.instances) if (own !== undefined) add(device, { address: own, prefixLength: networkLength(own, elected, GUESSED_LENGTH) });
    for (const { device, address } of elected) {
      if (all().some((prefix) => contains(prefix, address))) continue;
      const prefixLength = networkLength(address, elected.filter((one) => one.device === device), GUESSED_LENGTH);
      const own = freeAddress({ address, prefixLength }, taken);
      if (own !== undefined) add(device, { address: own, prefixLength });
    }
    // Servers elsewhere: on a device nothing is known of, or one the file does not name.
    const rest = networksFor(real, all(), taken);
    if (rest.length > 0) {
      let inside = devices.find((device) => prefixes.get(device)!.length === 0);
      if (inside === undefined) {
        inside = ['eth0', 'eth1', 'eth2'].find((device) => !devices.includes(device)) ?? 'inside0';
        prefixes.set(inside, []);
      }
      for (const prefix of rest) add(inside, prefix);
    }
    // A virtual address nobody is elected for is an address of the box.
    for (const address of listened) {
      if (elected.some((one) => one.address === address) || all().some((prefix) => contains(prefix, address))) continue;
      add(devices[0], { address, prefixLength: GUESSED_LENGTH });
    }
    const names = new Set(['host']);
    const links = [...prefixes].map(([device, own]): Link => ({ name: nameOf(device, 'link', names), device, addresses: own.map(formatPrefix) }));
    tellGuess(links, WHY_GUESSED, this.#notes);
    return links;
  }

  /** What a virtual_server listens on; undefined and told when it cannot. */
  #listens(statement: Statement, protocol: string, groups: ReadonlyMap<string, Statement>, marks: ReadonlyMap<number, readonly Listen[]>): { listens: Listen[]; tie: string | undefined } | undefined {
    const leave = (why: string): undefined => {
      this.#notes.leftOut(statement, textOf(statement), why);
      return undefined;
    };
    const [first, second, ...more] = statement.values.map(({ text }) => text);
    if (first === undefined) {
      this.#notes.error(statement, 'virtual_server with nothing behind it', 'virtual_server ADDRESS PORT { … }');
      return undefined;
    }
    if (first === 'fwmark') {
      const mark = /^\d{1,10}$/.test(second ?? '') ? Number(second) : 0;
      const meant = marks.get(mark);
      if (meant === undefined || meant.length === 0) return leave(unknownMark(mark));
      return { listens: [...meant], tie: `mark-${mark}` };
    }
    if (first === 'group') {
      const group = groups.get(second ?? '');
      if (group === undefined) return leave(`the file has no virtual_server_group ${second ?? ''}`);
      const byPort = new Map<string, string[]>();
      const marked: Listen[] = [];
      for (const line of group.block ?? []) {
        const what = `${textOf(line)} of ${textOf(group)}`;
        if (line.word === 'fwmark') {
          const mark = Number(line.values[0]?.text);
          const meant = marks.get(mark);
          if (meant === undefined) this.#notes.leftOut(line, what, unknownMark(mark));
          else marked.push(...meant);
          continue;
        }
        const port = line.values[0]?.text ?? '0';
        const addresses = this.#range(line.word);
        const why = typeof addresses === 'string' ? addresses : !/^\d{1,5}$/.test(port) || Number(port) > PORT_MAX ? `a port is 1 to ${PORT_MAX}` : undefined;
        if (line.values.length > 1) this.#notes.leftOut(line, `${line.values.slice(1).map(({ text }) => text).join(' ')} of ${what}`, 'a line is an address and a port');
        if (why !== undefined) this.#notes.leftOut(line, what, why);
        else {
          const listed = byPort.get(port) ?? [];
          for (const address of addresses as string[]) {
            const text = `${address}:${Number(port) === 0 ? '*' : Number(port)}/${protocol}`;
            if (!listed.includes(text)) listed.push(text);
          }
          byPort.set(port, listed);
        }
      }
      const listens = [...[...byPort.values()].map((texts): Listen => ({ ...(readListen(texts[0]) as Listen), texts })), ...marked];
      if (listens.length === 0) return leave('nothing of its group could be taken');
      return { listens, tie: nameOf(second!, 'group', new Set()) };
    }
    if (looksLikeIpv6(first)) return leave(IPV6);
    const address = readAddress(first);
    if (address === undefined) {
      this.#notes.error(statement.values[0], `${first} (not an IPv4 address)`, 'virtual_server ADDRESS PORT { … }');
      return undefined;
    }
    const is = reserved(address);
    if (is !== undefined) return leave(`nothing is routed to ${is}`);
    if (second !== undefined && (!/^\d{1,5}$/.test(second) || Number(second) > PORT_MAX)) {
      this.#notes.error(statement.values[1], `the port ${second}`, `0 to ${PORT_MAX}`);
      return undefined;
    }
    if (more.length > 0) this.#notes.leftOut(statement.values[2], more.join(' '), 'a virtual server has an address and a port');
    const port = Number(second ?? 0);
    return { listens: [readListen(`${first}:${port === 0 ? '*' : port}/${protocol}`) as Listen], tie: undefined };
  }

  /** '10.0.0.1', '10.0.0.1-9', '10.0.0.1-10.0.1.9' or '10.0.0.0/29' to addresses; a word on why not. */
  #range(text: string): string[] | string {
    if (looksLikeIpv6(text.split('-')[0])) return IPV6;
    const prefix = text.includes('/') ? readPrefix(text) : undefined;
    const [from, to] = text.split('-');
    const first = prefix === undefined ? readAddress(from) : networkOf(prefix);
    const last = prefix !== undefined ? networkOf(prefix) + 2 ** (32 - prefix.prefixLength) - 1
      : to === undefined ? first : readAddress(to) ?? readAddress(`${from.replace(/\d+$/, '')}${to}`);
    if (first === undefined || last === undefined || last < first) return 'a line is an address, or a range of them, with a port';
    if (last - first >= RANGE_MAX) return `${last - first + 1} addresses: at most ${RANGE_MAX} of a range are taken; listen: LINK:PORT/PROTOCOL takes all of a link`;
    const addresses = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    const is = addresses.map(reserved).find((one) => one !== undefined);
    return is === undefined ? addresses.map(formatIpv4) : `nothing is routed to ${is}`;
  }

  #service(statement: Statement, groups: ReadonlyMap<string, Statement>, marks: ReadonlyMap<number, readonly Listen[]>, own: ReadonlySet<string>, scriptUser: string | undefined): Service | undefined {
    const what = textOf(statement);
    const block = new Block(statement.block ?? [], this.#notes);
    const protocolGiven = block.take('protocol');
    const protocol = protocolGiven?.values[0]?.text.toLowerCase() ?? (protocolGiven === undefined ? 'udp' : '');
    if (protocol === 'sctp') {
      this.#notes.leftOut(statement, what, NO_SCTP);
      return undefined;
    }
    if (!['tcp', 'udp'].includes(protocol)) {
      this.#notes.error(protocolGiven!.values[0] ?? protocolGiven!, `protocol ${protocol}`, 'TCP or UDP');
      return undefined;
    }
    const place = this.#listens(statement, protocol, groups, marks);
    if (place === undefined) return undefined;
    if (protocolGiven === undefined && statement.values[0].text !== 'fwmark') this.#notes.guessed(statement, `protocol UDP of ${what}`, 'keepalived takes UDP where no protocol is said: write protocol TCP, if it was meant');
    const comments = protocolGiven === undefined || statement.values[0].text !== 'fwmark' ? [] : [`${textOf(protocolGiven)}: --mark says what is marked.`];
    const scheduler = this.#scheduler(block, comments);
    const forward = this.#forward(block, comments);
    const isAny = statement.values[0].text !== 'fwmark' && place.listens.some(({ isAll }) => isAll);
    if (isAny && statement.block?.some(({ word }) => word === 'persistence_timeout') !== true) {
      comments.push(`Without a port it is persistent, as keepalived has it: ${PERSISTENCE_SECONDS} s.`);
    }
    const persistence = this.#persistence(block, isAny);
    const ops = block.take('ops');
    const isUdp = place.listens.every(({ protocols }) => protocols.join() === '17');
    if (ops !== undefined && !isUdp) this.#notes.leftOut(ops, 'ops', 'single packets are scheduled for UDP only');
    const manner = mannerOf(block, NO_MANNER, this.#notes);
    const weight = block.number('weight', 0, WEIGHT_MAX)?.value;
    if (weight !== undefined) comments.push(`weight ${weight}: of servers that do not say otherwise.`);
    if (manner.said.length > 0) comments.push(`${manner.said.join(', ')}: for checks that do not say otherwise.`);
    const service: Service = {
      at: placeOf(statement), text: what, ...place, ...scheduler, onePacket: ops !== undefined && isUdp, servers: new Map(),
      ...(persistence === undefined ? {} : { persistence }),
    };
    const isKept = block.take('inhibit_on_failure');
    const kept: Statement[] = isKept === undefined ? [] : [isKept];
    const checks: { server: Server; checked: Checked }[] = [];
    const reals = block.all('real_server');
    for (const real of reals) this.#server(real, service, { forward, manner, weight }, own, scriptUser, kept, checks);
    const onServerDown: Entry[] = kept.length > 0 ? [{ key: 'onServerDown', value: 'keep' }] : [];
    if (kept.length > 0 && isKept === undefined && kept.length < reals.length) {
      this.#notes.changed(kept[0], `inhibit_on_failure of ${kept.length} of ${reals.length} servers`, 'onServerDown: keep is for all servers of a virtual server');
    }
    const sorry = this.#sorry(block, service, forward, own);
    const weights = [...service.servers.values()].reduce((sum, { weight = 1 }) => sum + weight, 0);
    const quorum = this.#quorum(block, weights);
    block.finish(VIRTUAL_SERVER, what);
    comments.push(...block.comments);
    if (service.servers.size === 0) {
      this.#notes.leftOut(statement, what, 'it has no real server left');
      return undefined;
    }
    const shared = this.#hoist(service, checks);
    if (checks.some(({ checked }) => checked.needsBox)) this.#needsBox = true;
    return { ...service, more: [...onServerDown, ...sorry, ...quorum, ...shared], comments };
  }

  /** The same check of all servers stands at the virtual server; others stand at their own. */
  #hoist(service: Service, checks: readonly { server: Server; checked: Checked }[]): Entry[] {
    const [first] = checks;
    const isSame = first !== undefined && checks.length === service.servers.size && checks.every(({ checked }) => JSON.stringify(checked.check) === JSON.stringify(first.checked.check));
    if (isSame && first.checked.check !== undefined) {
      const comments = [...new Set(checks.flatMap(({ checked }) => checked.comments))];
      return [{ key: 'check', comments, value: first.checked.check }];
    }
    for (const { server, checked } of checks) {
      server.check = checked.check;
      server.comments = [...(server.comments ?? []), ...checked.comments];
    }
    return [];
  }

  #scheduler(block: Block, comments: string[]): Pick<Service, 'scheduler' | 'hashPort' | 'fallBack'> {
    const given = block.take('lb_algo', 'lvs_sched');
    let scheduler = given?.values[0]?.text ?? DEFAULT_SCHEDULER;
    if (!SCHEDULERS.includes(scheduler)) {
      this.#notes.changed(given!, textOf(given!), `there is no such scheduler here, so it is ${DEFAULT_SCHEDULER}; weir has ${SCHEDULERS.join(', ')}`);
      scheduler = DEFAULT_SCHEDULER;
    }
    const hashes = scheduler === 'sh' || scheduler === 'mh';
    const flag = (...words: string[]): boolean => {
      const found = block.all(...words);
      for (const one of found) if (!hashes || (/^[sm]h-/.test(one.word) && !one.word.startsWith(scheduler))) this.#notes.leftOut(one, textOf(one), `${scheduler} has no such flag`);
      const [first, ...others] = found.filter(({ word }) => hashes && (!/^[sm]h-/.test(word) || word.startsWith(scheduler)));
      for (const other of others) comments.push(`${textOf(other)}: ${first.word} says the same.`);
      return first !== undefined;
    };
    return { scheduler, hashPort: flag('sh-port', 'mh-port', 'flag-2'), fallBack: flag('sh-fallback', 'mh-fallback', 'flag-1') };
  }

  /** Other ways than NAT are told once for a virtual server, and at servers that have their own. */
  #forward(block: Block, comments: string[]): { given: Statement | undefined; way: Forward } {
    const given = block.take('lb_kind', 'lvs_method');
    const kind = given?.values[0]?.text.toUpperCase() ?? 'NAT';
    if (kind === 'NAT') {
      if (given !== undefined) comments.push(`${textOf(given)}: what there is.`);
      return { given, way: undefined };
    }
    if (kind === 'DR' || kind === 'TUN') return { given, way: { isTunnel: kind === 'TUN' } };
    this.#notes.error(given!, textOf(given!), 'NAT, DR or TUN');
    return { given, way: undefined };
  }

  /** `isAny` = it has all ports, and is persistent for that alone. */
  #persistence(block: Block, isAny: boolean): Service['persistence'] {
    const timeout = block.take('persistence_timeout');
    const granularity = block.take('persistence_granularity');
    if (timeout === undefined && !isAny) {
      if (granularity !== undefined) this.#notes.leftOut(granularity, textOf(granularity), 'a mask of no persistence');
      return undefined;
    }
    const text = timeout?.values[0]?.text ?? String(PERSISTENCE_SECONDS);
    let seconds = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
    if (!(seconds >= 1)) {
      this.#notes.error(timeout!, textOf(timeout!), `1 to ${PERSISTENCE_SECONDS_MAX}`);
      return undefined;
    }
    if (seconds > PERSISTENCE_SECONDS_MAX) {
      this.#notes.changed(timeout!, textOf(timeout!), `persistence lasts ${PERSISTENCE_SECONDS_MAX} seconds at most, so it is that`);
      seconds = PERSISTENCE_SECONDS_MAX;
    }
    if (granularity === undefined) return { seconds, mask: 32 };
    const given = granularity.values[0]?.text ?? '';
    const bits = readAddress(given);
    const mask = bits === undefined ? (/^\d{1,2}$/.test(given) && Number(given) <= 32 ? Number(given) : -1) : maskLength(bits);
    if (mask > 0) return { seconds, mask };
    this.#notes.error(granularity, textOf(granularity), 'a netmask, such as 255.255.255.0');
    return undefined;
  }

  #sorry(block: Block, service: Service, forward: { way: Forward }, own: ReadonlySet<string>): Entry[] {
    const statement = block.take('sorry_server');
    const method = block.take('sorry_server_lvs_method');
    if (statement === undefined) {
      if (method !== undefined) this.#notes.leftOut(method, textOf(method), 'there is no sorry_server');
      return [];
    }
    const [host = '', port = '0'] = statement.values.map(({ text }) => text);
    const address = readAddress(host);
    const number = /^\d{1,5}$/.test(port) && Number(port) <= PORT_MAX ? Number(port) : NaN;
    const why = looksLikeIpv6(host) ? IPV6 : address === undefined ? 'not an IPv4 address'
      : Number.isNaN(number) ? `a port is 1 to ${PORT_MAX}`
        : refusedAddress(address, own) ?? (number === 0 ? undefined : refusedPort(service, number));
    if (why !== undefined) {
      this.#notes.leftOut(statement, textOf(statement), why);
      if (method !== undefined) this.#notes.leftOut(method, textOf(method), 'its sorry_server was left out');
      return [];
    }
    const kind = method?.values[0]?.text.toUpperCase();
    const way = kind === undefined ? forward.way : kind === 'NAT' ? undefined : { isTunnel: kind === 'TUN' };
    if (way !== undefined) this.#notes.changed(method ?? statement, textOf(method ?? statement), natInstead(way.isTunnel, host, 'NAT'));
    const value = number === 0 ? host : `${host}:${number}`;
    return [{ key: 'sorry', source: { ...placeOf(statement), what: textOf(statement) }, comments: method !== undefined && way === undefined ? [`${textOf(method)}: what there is.`] : [], value }];
  }

  /** Lost below quorum less hysteresis there, and gained at quorum and hysteresis. */
  #quorum(block: Block, weights: number): Entry[] {
    const quorum = block.number('quorum', 1, WEIGHT_SUM_MAX);
    const hysteresis = block.number('hysteresis', 0, WEIGHT_SUM_MAX);
    if (quorum === undefined) {
      if (hysteresis !== undefined) this.#notes.leftOut(hysteresis.statement, textOf(hysteresis.statement), 'a hysteresis needs a quorum above it');
      return [];
    }
    const around = Math.min(hysteresis?.value ?? 0, quorum.value - 1);
    if (around < (hysteresis?.value ?? 0)) this.#notes.changed(hysteresis!.statement, textOf(hysteresis!.statement), `it is below the quorum, so it is ${around}`);
    const weight = Math.max(1, Math.min(quorum.value - around, weights));
    const gain = Math.max(0, Math.min(2 * around, weights - weight));
    if (weight < quorum.value - around || gain < 2 * around) {
      this.#notes.changed(quorum.statement, textOf(quorum.statement), `all servers have a weight of ${weights}, so it is up at ${weight + gain}`);
    }
    return weights === 0 ? [] : [{ key: 'quorum', source: { ...placeOf(quorum.statement), what: textOf(quorum.statement) }, comments: [`hysteresis ${around}: lost below ${weight}, gained at ${weight + gain}.`], value: { weight, hysteresis: gain } }];
  }

  #server(
    statement: Statement, service: Service, upper: Upper, own: ReadonlySet<string>, scriptUser: string | undefined,
    kept: Statement[], checks: { server: Server; checked: Checked }[],
  ): void {
    const what = textOf(statement);
    const leave = (why: string): void => this.#notes.leftOut(statement, what, why);
    const [host, portText, ...more] = statement.values.map(({ text }) => text);
    if (host === undefined) return this.#notes.error(statement, 'real_server with nothing behind it', 'real_server ADDRESS PORT { … }');
    if (looksLikeIpv6(host)) return leave(IPV6);
    const address = readAddress(host);
    if (address === undefined) return this.#notes.error(statement.values[0], `${host} (not an IPv4 address)`, 'real_server ADDRESS PORT { … }');
    if (portText !== undefined && (!/^\d{1,5}$/.test(portText) || Number(portText) > PORT_MAX)) return this.#notes.error(statement.values[1], `the port ${portText}`, `0 to ${PORT_MAX}`);
    if (more.length > 0) this.#notes.leftOut(statement.values[2], more.join(' '), 'a real server has an address and a port');
    const isAny = service.listens.some(({ isAll }) => isAll);
    // One port for all, where the virtual server has all of them or several, is the one that is asked.
    const port = Number(portText ?? 0) === 0 && service.tie === undefined && !isAny ? service.listens[0].port : Number(portText ?? 0);
    const unreachable = refusedAddress(address, own) ?? refusedPort(service, port);
    if (unreachable !== undefined) return leave(unreachable);
    const key = `${host}:${port}`;
    if (service.servers.has(key)) return leave(`${host} is a real server of it already`);
    const block = new Block(statement.block ?? [], this.#notes);
    const comments: string[] = [];
    const method = this.#forward(block, comments);
    const { forward } = upper;
    const way = method.given === undefined ? forward.way : method.way;
    if (way !== undefined) {
      const at = method.given ?? forward.given!;
      this.#notes.changed(at, `${textOf(at)} to ${host}`, natInstead(way.isTunnel, host, 'NAT'));
    }
    const weight = block.number('weight', 0, WEIGHT_MAX)?.value ?? upper.weight;
    const upperLimit = block.number('uthreshold', 0, THRESHOLD_MAX)?.value ?? 0;
    const lower = block.number('lthreshold', 0, THRESHOLD_MAX);
    if (lower !== undefined && lower.value > upperLimit) this.#notes.leftOut(lower.statement, textOf(lower.statement), refusedLower(upperLimit, 'uthreshold'));
    const stays = block.take('inhibit_on_failure');
    if (stays !== undefined && !['off', 'no', 'false'].includes(stays.values[0]?.text ?? '')) kept.push(stays);
    if (stays !== undefined) comments.push(`${textOf(stays)}: onServerDown says it for all.`);
    const manner = mannerOf(block, upper.manner, this.#notes);
    if (manner.said.length > 0) comments.push(`${manner.said.join(', ')}: for checks that do not say otherwise.`);
    const needsPort = service.listens.some((listen) => listen.port === 0);
    const checked = readCheckers(block, manner, host, needsPort, scriptUser, this.#notes);
    block.finish(VIRTUAL_SERVER, what);
    comments.push(...block.comments);
    const server: Server = {
      at: placeOf(statement), text: what, address: host, port, weight, upper: upperLimit, lower: lower === undefined || lower.value > upperLimit ? 0 : lower.value, comments,
    };
    service.servers.set(key, server);
    checks.push({ server, checked });
  }
}

/** Read a keepalived.conf called `file`. */
export function importKeepalived(text: string, notes: Notes, options: ImportOptions, file: string): Draft {
  return new Importer(parseKeepalived(file, text, notes, options), notes, options).run();
}

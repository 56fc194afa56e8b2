/**
 * The scenario `reply-path`: the example of WebMux's article, a client on the real server's own network.
 *
 *   virtual server 10.0.0.1/8, real server 192.168.1.200/24, client 192.168.1.55, the router's address there 192.168.1.1
 *
 * The server would answer the client directly, as 192.168.1.200, to whom the client never spoke. Besides there is a visitor outside, 10.0.0.2, whose
 * answers come by the router in any case. The router is weir or, to show that the trouble is none of its making, the kernel with DNAT in nftables.
 * The device of the server is eth2, as in the article's commands.
 *
 * Shown are the trouble (snat: never), the article's cure (routes on the server), and weir's own (snat: auto), one after the other.
 */
import { readFrames } from './kit/capture.js';
import { Lab, type Cable, type Host } from './kit/lab.js';
import type { RunningScenario, Scenario } from './kit/scenario.js';
import { waitFor } from './kit/wait.js';
import { fetchMany, readAnswer, split, splitTable, WebServer, type Answer } from './kit/web.js';
import { run } from './kit/command.js';
import { Daemon, WEIR } from './kit/weir.js';

const DRAWING = `
  ┌ visitor ─┐   ┌ router ──────────────────┐   ┌ switch ┐   ┌ server ───────────┐
  │          │   │                          │   │        ├───┤ eth2              │
  │ 10.0.0.2 ├───┤ 10.0.0.1:80  192.168.1.1 ├───┤        │   │ 192.168.1.200     │
  └──────────┘   │ virtual server           │   │        │   │ nginx :80         │
                 └──────────────────────────┘   │        │   └───────────────────┘
                                                │        │   ┌ client ───────────┐
                                                │        ├───┤ 192.168.1.55      │
                                                └────────┘   └───────────────────┘
`;

export const VIRTUAL = '10.0.0.1';
export const VISITOR = '10.0.0.2';
export const ROUTER = '192.168.1.1';
export const SERVER = '192.168.1.200';
export const CLIENT = '192.168.1.55';
/** The article's commands for the server. */
export const CURE = [['route', 'add', '-host', ROUTER, 'dev', 'eth2'], ['route', 'add', '-net', '192.168.1.0/24', 'gw', ROUTER]] as const;
const UNCURE = [['route', 'del', '-net', '192.168.1.0/24', 'gw', ROUTER], ['route', 'del', '-host', ROUTER, 'dev', 'eth2']] as const;
const SHOWN_REQUESTS = 100;
const SHOWN_LIMIT_SECONDS = 2;
const READY_MS = 15_000;

export type Snat = 'auto' | 'always' | 'never';
export type CableName = 'outside' | 'router' | 'server' | 'client';

export interface ReplyPathOptions {
  peer?: 'weir' | 'kernel';
  /** What it stays with; without it the lab begins with `never`, and show() goes through all. */
  snat?: Snat;
  judged?: readonly CableName[];
}

export class ReplyPath implements RunningScenario {
  readonly lab: Lab;
  readonly visitor: Host;
  readonly router: Host;
  readonly switch: Host;
  readonly server: Host;
  readonly client: Host;
  readonly cables: Readonly<Record<CableName, Cable>>;
  readonly daemon: Daemon | null;
  readonly url = `http://${VIRTUAL}/`;
  readonly #isFixed: boolean;
  #snat: Snat;
  #web: WebServer | null = null;

  private constructor(options: ReplyPathOptions) {
    const { peer = 'weir', snat, judged = [] } = options;
    this.#isFixed = snat !== undefined;
    this.#snat = snat ?? 'never';
    this.lab = Lab.open('reply-path');
    this.visitor = this.lab.host('visitor');
    this.router = this.lab.host('router');
    this.switch = this.lab.host('switch');
    this.server = this.lab.host('server');
    this.client = this.lab.host('client');
    this.switch.bridge('br0');
    const wire = (name: CableName, host: Host, device: string, address?: string): Cable =>
      this.lab.cable(name, { host: this.switch, device: name, bridge: 'br0' }, { host, device, ...(address === undefined ? {} : { address }) }, { judged: judged.includes(name) });
    this.cables = {
      outside: this.lab.cable('outside', { host: this.router, device: 'eth0' }, { host: this.visitor, device: 'eth0', address: `${VISITOR}/8` }, { judged: judged.includes('outside') }),
      router: wire('router', this.router, 'eth1'),
      server: wire('server', this.server, 'eth2', `${SERVER}/24`),
      client: wire('client', this.client, 'eth0', `${CLIENT}/24`),
    };
    for (const host of [this.server, this.client]) host.ip('route', 'add', 'default', 'via', ROUTER);

    this.daemon = peer === 'weir' ? new Daemon(this.router, 'conf/reply-path.yaml', {}) : null;
    if (peer === 'kernel') this.#routeWithKernel();
  }

  /** The scenario, up: the server serves, and the visitor outside has been answered. */
  static async up(options: ReplyPathOptions = {}): Promise<ReplyPath> {
    const scenario = new ReplyPath(options);
    try {
      await scenario.#start();
      return scenario;
    } catch (error) {
      scenario.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    [this.#web] = await Promise.all([WebServer.start(this.server, 80), this.#balance()]);
    await this.#answers();
  }

  get snat(): Snat { return this.#snat; }

  /** Another setting, in force when this returns. weir is started anew for it. */
  async change(snat: Snat): Promise<void> {
    if (this.daemon === null) this.router.runNow(['nft', 'delete', 'table', 'ip', 'weir-peer']);
    else await this.daemon.stop();
    this.#snat = snat;
    await this.#balance();
    await this.#answers();
  }

  async #balance(): Promise<void> {
    if (this.daemon === null) return this.#balanceWithKernel();
    this.daemon.dropIn('60-snat', { virtualServers: { web: { snat: this.#snat } } });
    await this.daemon.start();
  }

  async #answers(): Promise<void> {
    try {
      await waitFor(async () => (await this.visitor.run(['curl', '-sS', '-m', '2', this.url], { check: false })).code === 0, READY_MS, `an answer from ${this.url}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.daemon?.log() ?? ''}`, { cause: error });
    }
  }

  get weir(): Daemon {
    if (this.daemon === null) throw new Error('the kernel routes in this lab');
    return this.daemon;
  }

  get web(): WebServer {
    if (this.#web === null) throw new Error('the scenario is not up');
    return this.#web;
  }

  /** One request of a host; null when no connection came about in the time. */
  async ask(host: Host, limitSeconds: number): Promise<Answer | null> {
    const { code, stdout } = await host.run(['curl', '-sS', '-m', String(limitSeconds), this.url], { check: false });
    return code === 0 ? readAnswer(stdout) : null;
  }

  /** Gives the server the article's routes, or takes them away. */
  cure(): void { for (const command of CURE) this.server.runNow(command); }
  uncure(): void { for (const command of UNCURE) this.server.runNow(command); }

  async show(): Promise<string> {
    if (this.#isFixed) return `${await this.#who()}\n${await this.#split()}`;
    const trouble = await this.#trouble();
    this.cure();
    const cured = await this.#who();
    this.uncure();
    await this.change('auto');
    return [
      '1. The trouble: the destination is rewritten and nothing else (snat: never).', trouble,
      `\n2. The article's cure, on the server: ${CURE.map((command) => command.join(' ')).join('; ')}`, cured,
      '\n3. The same without a word to the server (snat: auto, as it is left now).', await this.#who(), await this.#split(),
    ].join('\n');
  }

  /** Each of the three who ask, whether it is answered, and as whom the server saw it. */
  async #who(): Promise<string> {
    const lines: string[] = [];
    for (const [host, address] of [[this.visitor, VISITOR], [this.client, CLIENT], [this.server, SERVER]] as const) {
      const answer = await this.ask(host, SHOWN_LIMIT_SECONDS);
      lines.push(`   ${host.name.padEnd(8)} ${address.padEnd(14)} ${answer === null ? `no connection within ${SHOWN_LIMIT_SECONDS} s` : `is answered; the server sees ${answer.client}`}`);
    }
    return lines.join('\n');
  }

  /** The same, with what the client's wire and `weir check` say of it. */
  async #trouble(): Promise<string> {
    const wire = await this.cables.client.capture();
    const who = await this.#who();
    const frames = (await readFrames(await wire.stop(), 'tcp')).slice(0, 3);
    const seen = frames.map(({ sources, destinations, info }) => `   ${sources[0].padEnd(14)} > ${destinations[0].padEnd(14)} ${/\[[A-Z, ]+\]/.exec(info)?.[0] ?? info}`);
    const lines = [who, "   The client's wire, from its first packet: it asked 10.0.0.1, and who answers is a stranger to it.", ...seen];
    if (this.daemon !== null) lines.push('   weir check:', (await run([WEIR, 'check', '-c', this.daemon.configFile])).stderr.trimEnd().replaceAll(/^.*?: (?=virtualServers)/gm, '   '));
    return lines.join('\n');
  }

  async #split(): Promise<string> {
    return `${SHOWN_REQUESTS} requests of the visitor to ${VIRTUAL}:80:\n${splitTable(split(await fetchMany(this.visitor, this.url, SHOWN_REQUESTS), [{ server: 'server', address: `${SERVER}:80`, weight: 1 }]))}`;
  }

  #routeWithKernel(): void {
    this.router.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.send_redirects': 0, 'net.ipv4.conf.default.send_redirects': 0, 'net.ipv4.conf.eth1.send_redirects': 0 });
    this.router.ip('address', 'add', `${VIRTUAL}/8`, 'dev', 'eth0');
    this.router.ip('address', 'add', `${ROUTER}/24`, 'dev', 'eth1');
  }

  #balanceWithKernel(): void {
    const whom = { auto: 'ip saddr 192.168.1.0/24', always: '', never: null }[this.snat];
    this.router.runNow(['nft', '-f', '-'], { input: `table ip weir-peer {
      chain prerouting { type nat hook prerouting priority dstnat; ip daddr ${VIRTUAL} tcp dport 80 dnat to ${SERVER}:80; }
      chain postrouting { type nat hook postrouting priority srcnat; ${whom === null ? '' : `${whom} ip daddr ${SERVER} ct status dnat snat to ${ROUTER};`} }
    }
` });
  }

  get drawing(): string { return DRAWING; }
  get shellHost(): Host { return this.client; }
  get socket(): string | null { return this.daemon?.socket ?? null; }

  get commands(): RunningScenario['commands'] {
    const on = (host: Host, command: string): string => `ip netns exec ${host.namespace} ${command}`;
    const ask = (command: string): string => `bin/weir ${command} --socket ${this.daemon?.socket}`;
    return [
      { command: on(this.client, `curl -m 5 ${this.url}`), shows: `from the server's own network${this.snat === 'never' ? ': no connection comes about' : ''}` },
      { command: on(this.client, 'tcpdump -ni eth0 tcp'), shows: 'from whom the answer comes' },
      { command: on(this.visitor, `curl ${this.url}`), shows: 'from outside, which always works' },
      { command: on(this.server, `curl ${this.url}`), shows: 'the server itself, by its virtual address' },
      ...(this.snat === 'never' ? CURE.map((command, i) => ({ command: on(this.server, command.join(' ')), shows: i === 0 ? "the article's cure, on the server:" : 'the second half of it' })) : []),
      ...(this.daemon === null ? [{ command: on(this.router, 'conntrack -L'), shows: 'the flows of the kernel' }] : [
        { command: `bin/weir check -c ${this.daemon.configFile}`, shows: 'what weir says about the configuration' },
        { command: ask('servers'), shows: 'the server and what it has' },
        { command: ask('flows'), shows: 'every flow with what it was translated to' },
      ]),
      ...(this.snat === 'never' ? [] : [{ command: 'weir lab reply-path --snat never', shows: 'the trouble, as the article has it' }]),
    ];
  }

  close(): void { this.lab.close(); }
}

export const scenario: Scenario = {
  name: 'reply-path',
  summary: "a client on the real server's own network, whose answers would pass the router by, as in WebMux's article",
  options: ['peer', 'snat'],
  up({ peer, snat }) { return ReplyPath.up({ peer, ...(snat === undefined ? {} : { snat }) }); },
};

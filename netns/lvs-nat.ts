/**
 * The scenario `lvs-nat`: the example of the Linux Virtual Server project's page on NAT, with its addresses, ports and weights.
 *
 *   202.103.106.5:80 → 172.16.0.2:80 weight 1, 172.16.0.3:8000 weight 2
 *   202.103.106.5:21 → 172.16.0.3:21
 *
 * The clients stand behind a gateway that knows nothing of 172.16.0.0/24: what is not translated gets no answer, and is seen on the wire. The real
 * servers' default route is the router. The router is weir or, to compare with, the kernel: DNAT in nftables over a counter, without FTP.
 */
import { run } from './kit/command.js';
import { fetchFtp, FTP_MODES, FTP_PORT, ftpContent, serveFtp } from './kit/ftp.js';
import { Lab, type Cable, type Host } from './kit/lab.js';
import type { RunningScenario, Scenario } from './kit/scenario.js';
import { waitFor } from './kit/wait.js';
import { fetchMany, readAnswer, split, splitTable, WebServer, type Part } from './kit/web.js';
import { Daemon } from './kit/weir.js';

const DRAWING = `
  ┌ client ──────┐   ┌ gateway ──────┐   ┌ router ───────┐   ┌ switch ┐   ┌ web1 ─────────┐
  │ 202.100.1.2  ├───┤ 202.100.1.1   │   │               │   │        ├───┤ 172.16.0.2    │
  │ 202.100.1.3  │   │               │   │               │   │        │   │ nginx :80     │
  │              │   │           eth0├───┤wan            │   │        │   └───────────────┘
  │ curl, lftp   │   │ 202.103.106.1 │   │ 202.103.106.5 │   │        │   ┌ web2 ─────────┐
  └──────────────┘   └───────────────┘   │            lan├───┤        ├───┤ 172.16.0.3    │
                                         │    172.16.0.1 │   │        │   │ nginx :8000   │
                                         └───────────────┘   └────────┘   │ vsftpd :21    │
                                                                          └───────────────┘
`;

export const VIRTUAL = '202.103.106.5';
export const GATEWAY = '202.103.106.1';
export const CLIENT = '202.100.1.2';
/** Another address of the client's host. */
export const OTHER_CLIENT = '202.100.1.3';
export const ROUTER = '172.16.0.1';
export const WEB1 = '172.16.0.2';
export const WEB2 = '172.16.0.3';
/** First bytes of every address inside, none of which may be seen outside. */
export const INSIDE = '172.16.0.';
export const FTP_FILE_BYTES = 3_000_000;
/** Requests of a split, and how far from the weights it may be. */
const SPLIT_REQUESTS = 300;
export const SPLIT_TOLERANCE = 0.03;
const READY_MS = 15_000;
/** The client's port in the page's example. */
const EXAMPLE_PORT = 3456;

export type CableName = 'wan' | 'lan' | 'web1' | 'web2';

export interface LvsNatOptions {
  peer?: 'weir' | 'kernel';
  /** Weights of web1 and web2; the page's, 1 and 2, unless given. */
  weights?: readonly [number, number];
  judged?: readonly CableName[];
  /** What the configuration has besides, as a drop-in. */
  more?: object;
}

export class LvsNat implements RunningScenario {
  readonly lab: Lab;
  readonly weights: readonly [number, number];
  readonly client: Host;
  readonly gateway: Host;
  readonly router: Host;
  readonly switch: Host;
  readonly hosts: Readonly<Record<'web1' | 'web2', Host>>;
  readonly cables: Readonly<Record<CableName, Cable>>;
  readonly daemon: Daemon | null;
  /** nginx of each real server, once up. */
  readonly web = {} as Record<'web1' | 'web2', WebServer>;
  /** SHA-256 of the file FTP serves. */
  readonly ftpHash: string;
  readonly #ftpContent: Buffer;

  private constructor(options: LvsNatOptions) {
    const { peer = 'weir', weights = [1, 2], judged = [], more } = options;
    this.weights = weights;
    this.lab = Lab.open('lvs-nat');
    this.client = this.lab.host('client');
    this.gateway = this.lab.host('gateway');
    this.router = this.lab.host('router');
    this.switch = this.lab.host('switch');
    this.hosts = { web1: this.lab.host('web1'), web2: this.lab.host('web2') };
    this.switch.bridge('br0');

    const port = (device: string): { host: Host; device: string; bridge: string } => ({ host: this.switch, device, bridge: 'br0' });
    this.lab.cable('net', { host: this.gateway, device: 'eth1', address: '202.100.1.1/24' }, { host: this.client, device: 'eth0', address: `${CLIENT}/24` }, { judged: judged.includes('wan') });
    this.cables = {
      wan: this.lab.cable('wan', { host: this.router, device: 'eth0' }, { host: this.gateway, device: 'eth0', address: `${GATEWAY}/24` }, { judged: judged.includes('wan') }),
      lan: this.lab.cable('lan', { host: this.router, device: 'eth1' }, port('uplink'), { judged: judged.includes('lan') }),
      web1: this.lab.cable('web1', port('port1'), { host: this.hosts.web1, device: 'eth0', address: `${WEB1}/24` }, { judged: judged.includes('web1') }),
      web2: this.lab.cable('web2', port('port2'), { host: this.hosts.web2, device: 'eth0', address: `${WEB2}/24` }, { judged: judged.includes('web2') }),
    };
    this.client.ip('address', 'add', `${OTHER_CLIENT}/24`, 'dev', 'eth0');
    this.client.ip('route', 'add', 'default', 'via', '202.100.1.1');
    this.gateway.sysctl({ 'net.ipv4.ip_forward': 1 });
    for (const host of Object.values(this.hosts)) host.ip('route', 'add', 'default', 'via', ROUTER);

    this.daemon = peer === 'weir' ? new Daemon(this.router, 'conf/lvs-nat.yaml', {}) : null;
    this.daemon?.dropIn('60-weights', { virtualServers: { web: { realServers: { web1: { weight: weights[0] }, web2: { weight: weights[1] } } } } });
    if (more !== undefined) this.daemon?.dropIn('70-more', more);
    if (peer === 'kernel') this.#balanceWithKernel();
    ({ content: this.#ftpContent, hash: this.ftpHash } = ftpContent(FTP_FILE_BYTES));
  }

  /** The scenario, up: every server serves, and the client has been answered. */
  static async up(options: LvsNatOptions = {}): Promise<LvsNat> {
    const scenario = new LvsNat(options);
    try {
      await scenario.#start();
      return scenario;
    } catch (error) {
      scenario.close();
      throw error;
    }
  }

  async #start(): Promise<void> {
    const [web1, web2] = await Promise.all([WebServer.start(this.hosts.web1, 80), WebServer.start(this.hosts.web2, 8000), serveFtp(this.hosts.web2, this.#ftpContent), this.daemon?.start()]);
    Object.assign(this.web, { web1, web2 });
    try {
      await waitFor(async () => (await this.client.run(['curl', '-sS', '-m', '2', this.url], { check: false })).code === 0, READY_MS, `an answer from ${this.url}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.daemon?.log() ?? ''}`, { cause: error });
    }
  }

  readonly url = `http://${VIRTUAL}/`;

  /** The daemon, where weir is the router. */
  get weir(): Daemon {
    if (this.daemon === null) throw new Error('the kernel routes in this lab');
    return this.daemon;
  }

  /** The web's real servers. */
  get servers(): { server: string; address: string; weight: number }[] {
    return [{ server: 'web1', address: `${WEB1}:80`, weight: this.weights[0] }, { server: 'web2', address: `${WEB2}:8000`, weight: this.weights[1] }];
  }

  /** So many requests of the client, and who answered how often. */
  async split(requests = SPLIT_REQUESTS): Promise<Part[]> { return split(await fetchMany(this.client, this.url, requests), this.servers); }

  /** What the page's tables say, shown by real requests. */
  async show(): Promise<string> {
    const parts = await this.split();
    const lines = [`1. ${SPLIT_REQUESTS} requests of the client to ${VIRTUAL}:80, against the weights:`, splitTable(parts), '', "2. The page's example of rewriting, as the wires have it:", ...await this.#rewriting()];
    if (this.daemon !== null) {
      lines.push('', `3. ${FTP_FILE_BYTES.toLocaleString('en')} bytes by FTP from ${VIRTUAL}:21, which is ${WEB2}:21:`);
      for (const mode of FTP_MODES) lines.push(`   ${mode.name.padEnd(14)} ${await fetchFtp(this.client, VIRTUAL, mode) === this.ftpHash ? 'whole' : 'changed on the way'}`);
      lines.push('', '4. The table, with what it has done (weir servers):', (await this.daemon.ask('servers')).trimEnd());
    }
    return lines.join('\n');
  }

  /** Requests of the host's other address until the last one was web1's: by the page's weights the next flow is web2's. */
  async untilWeb1(): Promise<void> {
    await waitFor(async () => readAnswer((await this.client.run(['curl', '-sS', '-m', '5', '--interface', OTHER_CLIENT, this.url])).stdout).server === 'web1', READY_MS, 'a request to be answered by web1');
  }

  /** The first packet each way of a request from port 3456, outside and inside, told in the page's words. */
  async #rewriting(): Promise<string[]> {
    await this.untilWeb1();
    const wires = await Promise.all([this.cables.wan.capture(), this.cables.web1.capture(), this.cables.web2.capture()]);
    await this.client.run(['curl', '-sS', '-m', '5', '--interface', CLIENT, '--local-port', String(EXAMPLE_PORT), this.url]);
    const [outside, ...inside] = await Promise.all(wires.map(async (wire) => {
      const fields = ['ip.src', 'tcp.srcport', 'ip.dst', 'tcp.dstport'].flatMap((field) => ['-e', field]);
      const { stdout } = await run(['tshark', '-n', '-r', await wire.stop(), '-Y', `tcp.port == ${EXAMPLE_PORT}`, '-T', 'fields', ...fields]);
      const packets = stdout.split('\n').filter((line) => line !== '').map((line) => line.split('\t'));
      return [packets.find(([from]) => from === CLIENT), packets.find(([from]) => from !== CLIENT)];
    }));
    const [there, back] = inside.find(([first]) => first !== undefined) ?? [];
    const said = (what: string, packet: string[] | undefined): string => {
      const [from, fromPort, to, toPort] = packet ?? [];
      return `   ${what.padEnd(23)} ${packet === undefined ? 'nothing' : `SOURCE ${`${from}:${fromPort}`.padEnd(16)}  DEST ${to}:${toPort}`}`;
    };
    return [said('the client asks', outside[0]), said('forwarded to the server', there), said('the server answers', back), said('returned to the client', outside[1])];
  }

  /** The same in the kernel: forwarding, DNAT by a counter over the weights, SNAT of what the servers send themselves. */
  #balanceWithKernel(): void {
    this.router.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv4.conf.all.send_redirects': 0 });
    this.router.ip('address', 'add', `${VIRTUAL}/24`, 'dev', 'eth0');
    this.router.ip('address', 'add', `${ROUTER}/24`, 'dev', 'eth1');
    this.router.ip('route', 'add', 'default', 'via', GATEWAY);
    const [first, second] = this.weights;
    const turns = [...Array.from({ length: first }, () => `${WEB1} . 80`), ...Array.from({ length: second }, () => `${WEB2} . 8000`)];
    this.router.runNow(['nft', '-f', '-'], { input: `table ip weir-peer {
      chain prerouting { type nat hook prerouting priority dstnat;
        ip daddr ${VIRTUAL} tcp dport 80 dnat ip to numgen inc mod ${turns.length} map { ${turns.map((turn, i) => `${i} : ${turn}`).join(', ')} }
        ip daddr ${VIRTUAL} tcp dport ${FTP_PORT} dnat to ${WEB2}:${FTP_PORT}
      }
      chain postrouting { type nat hook postrouting priority srcnat; oifname "eth0" ip saddr 172.16.0.0/24 snat to ${VIRTUAL}; }
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
      { command: on(this.client, `curl ${this.url}`), shows: 'who answers, and whom it sees: run it again and again' },
      { command: on(this.client, `curl --interface ${CLIENT} --local-port 3456 ${this.url}`), shows: "the page's example of rewriting; watch the two wires meanwhile:" },
      { command: on(this.gateway, 'tcpdump -ni eth0 tcp'), shows: 'the wire outside' },
      { command: on(this.switch, 'tcpdump -ni uplink tcp'), shows: 'the wire inside' },
      ...(this.daemon === null ? [{ command: on(this.router, 'conntrack -L'), shows: 'the flows of the kernel' }] : [
        { command: on(this.client, `lftp -c 'set ftp:passive-mode on; open ftp://${VIRTUAL}; ls'`), shows: 'FTP, passive; off: active' },
        { command: on(this.hosts.web1, `ping ${CLIENT}`), shows: 'a real server on its own account' },
        { command: ask('servers'), shows: 'the table, with what each server has' },
        { command: ask('drain server web/web1'), shows: 'no new flows for web1 (undrain: again)' },
        { command: ask('weight server web/web2 5'), shows: 'another share' },
        { command: ask('flows'), shows: 'every flow with what it was translated to' },
      ]),
    ];
  }

  close(): void { this.lab.close(); }
}

export const scenario: Scenario = {
  name: 'lvs-nat',
  summary: 'one virtual address for two web servers of weights 1 and 2 and an FTP server behind NAT, as on the page of Linux Virtual Server',
  options: ['peer', 'weights'],
  up({ peer, weights }) {
    const [first = 1, second = 2] = weights ?? [];
    return LvsNat.up({ peer, weights: [first, second] });
  },
};

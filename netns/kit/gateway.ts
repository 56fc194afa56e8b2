/**
 * One of several instances of weir in a lab, each on a host of its own: killed, frozen, cut off from the store, started again. The hosts' own stacks have
 * nothing but the network of the store, and forward nothing: when the daemon is gone, its devices are silent.
 */
import type { Cable, Host, Lab } from './lab.js';
import { waitFor } from './wait.js';
import { Daemon } from './weir.js';
import type { ShareAnswer, ShareStatus } from '../../src/control/api/types.js';

const WAIT_MS = 30_000;

export interface GatewayOptions {
  name: string;
  configuration: string;
  /** Its own address towards the store, with its prefix length. */
  management: string;
  /** Where the other ends of its cables are: a bridge each. */
  lan: { host: Host; bridge: string };
  wan: { host: Host; bridge: string };
  store: { host: Host; bridge: string };
}

export class Gateway {
  readonly name: string;
  readonly host: Host;
  readonly daemon: Daemon;
  readonly cables: Readonly<Record<'lan' | 'wan' | 'store', Cable>>;

  constructor(lab: Lab, options: GatewayOptions) {
    const { name, configuration, management, lan, wan, store } = options;
    this.name = name;
    this.host = lab.host(name);
    this.host.sysctl({ 'net.ipv4.ip_forward': 0, 'net.ipv4.conf.all.arp_ignore': 1 });
    const cable = (what: string, device: string, to: { host: Host; bridge: string }, address?: string): Cable =>
      lab.cable(`${name}${what}`, { host: to.host, device: `${name}${what}`, bridge: to.bridge }, { host: this.host, device, ...(address === undefined ? {} : { address }) });
    this.cables = { lan: cable('lan', 'eth0', lan), wan: cable('wan', 'eth1', wan), store: cable('store', 'eth2', store, management) };
    this.daemon = new Daemon(this.host, configuration, {}, name);
  }

  async share(): Promise<ShareStatus> {
    const { status } = await this.daemon.api<ShareAnswer>('share');
    if (status === null) throw new Error(`${this.name} has nothing to tell of sharing yet`);
    return status;
  }

  /** Waits until what it tells of sharing is so. */
  async shares(what: string, condition: (status: ShareStatus) => boolean, timeoutMs = WAIT_MS): Promise<ShareStatus> {
    let last = 'nothing';
    try {
      return await waitFor(async () => {
        const status = await this.share();
        last = JSON.stringify(status);
        return condition(status) ? status : null;
      }, timeoutMs, `${this.name} ${what}`);
    } catch (error) {
      throw new Error(`${(error as Error).message}\nweir share of ${this.name}: ${last}\n${this.daemon.log()}`, { cause: error });
    }
  }

  /** Shares with others, has told what it had to tell, and its data plane has what the store had. */
  sharing(): Promise<ShareStatus> {
    return this.shares('to share its state', ({ phase, load, queue, inFlight, inboxWords }) => phase === 'running' && load?.isDone === true && queue === 0 && inFlight === 0 && inboxWords === 0);
  }

  /** Nothing it has to tell is left untold. */
  told(): Promise<ShareStatus> { return this.shares('to have told everything', ({ queue, inFlight, journalWords }) => queue === 0 && inFlight === 0 && journalWords === 0); }

  /** As a crash of the machine: it ends at once and says nothing to anybody. */
  async kill(): Promise<void> {
    this.daemon.signal('SIGKILL');
    await this.daemon.process!.exited;
  }
  freeze(): void { this.daemon.signal('SIGSTOP'); }
  thaw(): void { this.daemon.signal('SIGCONT'); }

  /** Its way to the store is closed: packets vanish, as when a switch dies. Or `plug` the cable again. */
  cutOff(): void { this.cables.store.cut(); }
  plug(): void { this.cables.store.plug(); }
}

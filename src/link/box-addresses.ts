/**
 * Addresses of virtual routers as the box itself has them: while they are ours they are on the device of the link to the box, so that its services answer by them; as
 * backup it must not have them, for what the box sends there is for the master. The host's journal takes them away again, also after a crash.
 */
import type { Plan, VrrpPlan } from '../base/plan.js';
import { OWNER_PRIORITY } from '../wire/vrrp.js';
import { netnsPath, type Host } from './host.js';
import type { OpenedLink } from './link.js';

export class BoxAddresses {
  private readonly host: Host;
  private readonly plan: readonly VrrpPlan[];
  /** The link to the box, or undefined: the box hears nothing of us. */
  private readonly link: OpenedLink | undefined;

  constructor({ vrrp }: Plan, links: readonly OpenedLink[], host: Host) {
    this.plan = vrrp;
    this.host = host;
    this.link = links.find(({ plan: { type, peer } }) => type === 'tun' && peer !== undefined);
  }

  /** A virtual router is master here, or not any more. Gives what could not be undone; throws a system error when an address could not be had. */
  set(virtualRouter: number, isMaster: boolean): Error[] {
    const { name, accept, priority, addresses } = this.plan[virtualRouter];
    const { link } = this;
    // An owner's are on the device with its link's others.
    if (link === undefined || !accept || priority === OWNER_PRIORITY) return [];
    const owner = `vrrp ${name}`;
    if (!isMaster) return this.host.undoOf(owner);
    for (const { address } of addresses) this.host.addAddress(owner, netnsPath(link.plan.netns), link.device, address, 32);
    return [];
  }
}

/**
 * Traffic control over netlink, as far as weir needs it: a place on a device where programs look at packets (the clsact queueing
 * discipline, which queues nothing), and a BPF program there. Every refusal is a system error with the kernel's own words.
 *
 * A filter is known by its preference and handle, which are always the same: setting it again replaces the program.
 */
import { native } from './native.js';
import { MessageBuilder, NETLINK_ROUTE, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkClient } from './netlink.js';

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;

const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
/** The program's result is what is done with the packet. */
const TCA_BPF_FLAG_ACT_DIRECT = 1;

/** Parent and handle of the discipline itself. */
const CLSACT = 0xffff_fff1;
const CLSACT_HANDLE = 0xffff_0000;
/** Parents of filters. */
const HOOKS = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const;
/** Where a device's packets are looked at: as they come in from the wire, or before they go out to it. */
export type Hook = keyof typeof HOOKS;

/** After what an administrator puts first by number, before what tc numbers by itself. The number is weir's (link/host.ts). */
const PREFERENCE = 87;
const HANDLE = 0x77656972;
const NAME = 'weir';
/** ETH_P_IP in network order. */
const IPV4 = 0x0008;

/** struct tcmsg. */
function message(type: number, flags: number, ifindex: number, handle: number, parent: number, info: number): MessageBuilder {
  return new MessageBuilder(type, NLM_F_REQUEST | flags).u8(0).u8(0).u16(0).u32(ifindex).u32(handle).u32(parent).u32(info);
}

export class TrafficControl {
  private readonly client: NetlinkClient;

  /** netns: the path of a namespace; absent = the thread's own. */
  constructor(netns?: string) {
    this.client = new NetlinkClient(native().openNetlink(NETLINK_ROUTE, [], netns));
  }

  close(): void { this.client.close(); }

  addClsact(ifindex: number): void {
    const build = (): MessageBuilder => message(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, ifindex, CLSACT_HANDLE, CLSACT, 0).attrText(TCA_KIND, 'clsact');
    this.client.execute({ what: `RTM_NEWQDISC clsact ${ifindex}`, build });
  }

  deleteClsact(ifindex: number): void {
    this.client.execute({ what: `RTM_DELQDISC clsact ${ifindex}`, build: () => message(RTM_DELQDISC, NLM_F_ACK, ifindex, CLSACT_HANDLE, CLSACT, 0).attrText(TCA_KIND, 'clsact') });
  }

  /** True when any program or rule is left at either hook. */
  hasFilters(ifindex: number): boolean {
    return Object.values(HOOKS).some((parent) =>
      this.client.dump({ what: `RTM_GETTFILTER ${ifindex}`, build: () => message(RTM_GETTFILTER, NLM_F_DUMP, ifindex, 0, parent, 0) }).length > 0);
  }

  setFilter(ifindex: number, hook: Hook, program: number): void {
    const build = (): MessageBuilder => message(RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE, ifindex, HANDLE, HOOKS[hook], (PREFERENCE << 16) | IPV4)
      .attrText(TCA_KIND, 'bpf')
      .nest(TCA_OPTIONS, (options) => options.attrU32(TCA_BPF_FD, program).attrText(TCA_BPF_NAME, NAME).attrU32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT));
    this.client.execute({ what: `RTM_NEWTFILTER ${hook} ${ifindex}`, build });
  }

  deleteFilter(ifindex: number, hook: Hook): void {
    const build = (): MessageBuilder => message(RTM_DELTFILTER, NLM_F_ACK, ifindex, HANDLE, HOOKS[hook], (PREFERENCE << 16) | IPV4).attrText(TCA_KIND, 'bpf');
    this.client.execute({ what: `RTM_DELTFILTER ${hook} ${ifindex}`, build });
  }
}

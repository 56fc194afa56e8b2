/**
 * The silence rule: keeps the host's own stack quiet on devices that raw links have taken over.
 *
 * One nf_tables table of family netdev with, for each device, a base chain on ingress and one on egress, both with policy
 * drop. Packet sockets see a frame before the ingress hook. What they send does meet the egress hook (Linux 5.16 and later, also past the
 * queueing discipline), so that chain accepts frames that bear weir's mark, which the addon gives its sockets (SOCKET_MARK
 * of native/packet.c).
 *
 * The netlink socket that made the table owns it: other processes can neither change nor delete it, and when the socket is closed,
 * even by the kernel after a kill -9, the table goes with it and the host's stack speaks again.
 *
 * Without the ingress hook (nf_tables missing, no privilege) taking a device over fails. The egress hook came with Linux 5.16; where
 * it is missing the refusal is kept and the host may still send on its own account, which its peers mostly ignore.
 */
import { constants } from 'node:os';
import { native, type Refusal } from './native.js';
import {
  MessageBuilder, NETLINK_NETFILTER, NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkClient, parseAttributes, systemError, textOf, type Request,
} from './netlink.js';
import { isSystemError, type SystemError } from '../base/error.js';

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFNETLINK_V0 = 0;

const NFPROTO_UNSPEC = 0;
const NFPROTO_NETDEV = 5;

const NFT_MSG_NEWTABLE = 0;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_GETCHAIN = 4;
const NFT_MSG_NEWRULE = 6;
const NFT_MSG_DELCHAIN = 5;

const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_FLAGS = 2;
const NFT_TABLE_F_OWNER = 2;

const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_HOOK_DEV = 3;

const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_META_DREG = 1;
const NFTA_META_KEY = 2;
const NFT_META_MARK = 3;
const NFTA_CMP_SREG = 1;
const NFTA_CMP_OP = 2;
const NFTA_CMP_DATA = 3;
const NFT_CMP_EQ = 0;
const NFTA_DATA_VALUE = 1;
const NFTA_IMMEDIATE_DREG = 1;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFT_REG_VERDICT = 0;
const NFT_REG_1 = 1;

const NF_DROP = 0;
const NF_ACCEPT = 1;
/** SO_MARK of weir's packet sockets: 'weir' in ASCII. */
export const SOCKET_MARK = 0x77656972;
/** Bytes of family, version and resource before a message's attributes. */
const NFGENMSG = 4;
const HOOK = { ingress: 0, egress: 1 } as const;
type HookName = keyof typeof HOOK;

/** What the tables of all instances begin with. */
export const TABLE_PREFIX = 'weir-';

/** Before any chain of the administrator's: a dropped frame need not be looked at. */
const PRIORITY = -500;

/** Every nf_tables message carries family and version; batch limits carry the subsystem too. */
function message(type: number, flags: number, family: number): MessageBuilder {
  return new MessageBuilder((NFNL_SUBSYS_NFTABLES << 8) | type, NLM_F_REQUEST | flags).u8(family).u8(NFNETLINK_V0).u16(0);
}

function batchLimit(type: number): Request {
  // The subsystem stands in network order.
  const build = (): MessageBuilder => new MessageBuilder(type, NLM_F_REQUEST).u8(NFPROTO_UNSPEC).u8(NFNETLINK_V0)
    .u8(NFNL_SUBSYS_NFTABLES >> 8).u8(NFNL_SUBSYS_NFTABLES & 255);
  return { what: type === NFNL_MSG_BATCH_BEGIN ? 'nf_tables batch' : 'nf_tables batch end', build };
}

/** The kernel's refusal in words an operator can act on; code, errno and syscall stay. */
function explain(error: unknown, device: string): unknown {
  if (!isSystemError(error)) return error;
  let reason: string;
  switch (error.code) {
    case 'EPERM':
    case 'EACCES':
      reason = 'nf_tables needs CAP_NET_ADMIN';
      break;
    case 'EPROTONOSUPPORT':
    case 'EAFNOSUPPORT':
    case 'EOPNOTSUPP':
    case 'ENOTSUP':
    case 'ENOENT':
    case 'EINVAL':
      reason = 'this kernel lacks nf_tables with netdev ingress chains and owned tables (CONFIG_NF_TABLES, CONFIG_NF_TABLES_NETDEV, Linux 5.12 or later)';
      break;
    default:
      return error;
  }
  error.message = `cannot keep the host's stack silent on ${device}: ${reason}`;
  return error;
}

/** A device's silence: what was refused of it, and the way to end it. */
export interface Silenced { refused: Refusal[]; end(): void }

/** The owned table of one namespace. Made with the first device; it lasts until close() or the end of the process. */
export class Silence {
  private readonly table: string;
  private readonly netns: string | undefined;
  private client: NetlinkClient | null = null;

  /** table: its name, unique among the tables of the namespace. netns: the path of a namespace; absent = the thread's own. */
  constructor(table: string, netns?: string) {
    this.table = table;
    this.netns = netns;
  }

  private open(): NetlinkClient {
    if (this.client !== null) return this.client;
    const client = new NetlinkClient(native().openNetlink(NETLINK_NETFILTER, [], this.netns));
    try {
      this.commit(client, [{
        what: `NFT_MSG_NEWTABLE ${this.table}`,
        build: () => message(NFT_MSG_NEWTABLE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, NFPROTO_NETDEV)
          .attrText(NFTA_TABLE_NAME, this.table)
          .attrU32BE(NFTA_TABLE_FLAGS, NFT_TABLE_F_OWNER),
      }]);
    } catch (error) {
      client.close();
      throw error;
    }
    this.client = client;
    return client;
  }

  private commit(client: NetlinkClient, requests: Request[]): void {
    client.batch([batchLimit(NFNL_MSG_BATCH_BEGIN), ...requests, batchLimit(NFNL_MSG_BATCH_END)]);
  }

  private addChain(client: NetlinkClient, hook: HookName, device: string): void {
    this.commit(client, [{
      what: `NFT_MSG_NEWCHAIN ${hook} ${device}`,
      build: () => message(NFT_MSG_NEWCHAIN, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, NFPROTO_NETDEV)
        .attrText(NFTA_CHAIN_TABLE, this.table)
        .attrText(NFTA_CHAIN_NAME, `${hook}-${device}`)
        .nest(NFTA_CHAIN_HOOK, (nest) => nest
          .attrU32BE(NFTA_HOOK_HOOKNUM, HOOK[hook])
          .attrU32BE(NFTA_HOOK_PRIORITY, PRIORITY)
          .attrText(NFTA_HOOK_DEV, device))
        .attrU32BE(NFTA_CHAIN_POLICY, NF_DROP)
        .attrText(NFTA_CHAIN_TYPE, 'filter'),
    }]);
  }

  /** On egress, let frames with weir's mark pass: `meta mark 0x77656972 accept`. */
  private acceptMarked(client: NetlinkClient, device: string): void {
    const mark = Buffer.alloc(4);
    // The mark is compared as the register holds it, in the machine's own order.
    new Uint32Array(mark.buffer, mark.byteOffset, 1)[0] = SOCKET_MARK;
    const expression = (list: MessageBuilder, name: string, data: (nest: MessageBuilder) => void): void => {
      list.nest(NFTA_LIST_ELEM, (element) => element.attrText(NFTA_EXPR_NAME, name).nest(NFTA_EXPR_DATA, data));
    };
    this.commit(client, [{
      what: `NFT_MSG_NEWRULE egress ${device}`,
      build: () => message(NFT_MSG_NEWRULE, NLM_F_ACK | NLM_F_CREATE, NFPROTO_NETDEV)
        .attrText(NFTA_RULE_TABLE, this.table)
        .attrText(NFTA_RULE_CHAIN, `egress-${device}`)
        .nest(NFTA_RULE_EXPRESSIONS, (list) => {
          expression(list, 'meta', (e) => e.attrU32BE(NFTA_META_DREG, NFT_REG_1).attrU32BE(NFTA_META_KEY, NFT_META_MARK));
          expression(list, 'cmp', (e) => e.attrU32BE(NFTA_CMP_SREG, NFT_REG_1).attrU32BE(NFTA_CMP_OP, NFT_CMP_EQ)
            .nest(NFTA_CMP_DATA, (data) => data.attrBytes(NFTA_DATA_VALUE, mark)));
          expression(list, 'immediate', (e) => e.attrU32BE(NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT)
            .nest(NFTA_IMMEDIATE_DATA, (data) => data.nest(NFTA_DATA_VERDICT, (verdict) => verdict.attrU32BE(NFTA_VERDICT_CODE, NF_ACCEPT))));
        }),
    }]);
  }

  private deleteChain(client: NetlinkClient, hook: HookName, device: string): void {
    this.commit(client, [{
      what: `NFT_MSG_DELCHAIN ${hook} ${device}`,
      build: () => message(NFT_MSG_DELCHAIN, NLM_F_ACK, NFPROTO_NETDEV)
        .attrText(NFTA_CHAIN_TABLE, this.table)
        .attrText(NFTA_CHAIN_NAME, `${hook}-${device}`),
    }]);
  }

  /**
   * The table of another instance that has the device, or null. Two of them on one device would each forward every packet; the packet sockets
   * themselves keep nobody off. A table lives as long as its owner, so one that is there is in use.
   */
  private takenBy(client: NetlinkClient, device: string): string | null {
    const chains = client.dump({ what: 'NFT_MSG_GETCHAIN', build: () => message(NFT_MSG_GETCHAIN, NLM_F_DUMP, NFPROTO_NETDEV) });
    for (const { body } of chains) {
      const attributes = parseAttributes(body, NFGENMSG);
      const table = textOf(attributes.get(NFTA_CHAIN_TABLE));
      if (table?.startsWith(TABLE_PREFIX) === true && table !== this.table && textOf(attributes.get(NFTA_CHAIN_NAME)) === `ingress-${device}`) return table;
    }
    return null;
  }

  /** Cut the host's stack off `device`. Throws a system error that names what is missing when the ingress hook cannot be had, EBUSY when another instance has the device. */
  silence(device: string): Silenced {
    const refused: Refusal[] = [];
    const made: HookName[] = [];
    let client: NetlinkClient;
    try {
      client = this.open();
      const taken = this.takenBy(client, device);
      if (taken !== null) {
        throw Object.assign(systemError(constants.errno.EBUSY, 'NFT_MSG_GETCHAIN'), { message: `device '${device}' is taken over already, by another weir (nf_tables table ${taken})` });
      }
      this.addChain(client, 'ingress', device);
      made.push('ingress');
    } catch (error) {
      throw explain(error, device);
    }
    try {
      this.addChain(client, 'egress', device);
      made.push('egress');
      this.acceptMarked(client, device);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      // A chain without its rule would silence weir as well.
      if (made.includes('egress')) this.deleteChain(client, 'egress', device);
      made.splice(1);
      refused.push({ feature: 'egress-silence', code: error.code, errno: error.errno, syscall: error.syscall });
    }
    return { refused, end: () => this.end(made, device) };
  }

  private end(hooks: readonly HookName[], device: string): void {
    for (const hook of hooks) {
      // Closing the table took all chains with it; a deleted device took its own.
      if (this.client === null) return;
      try {
        this.deleteChain(this.client, hook, device);
      } catch (error) {
        if ((error as SystemError).code !== 'ENOENT') throw error;
      }
    }
  }

  /** Give the socket up, and with it the table and every device's silence. */
  close(): void {
    this.client?.close();
    this.client = null;
  }
}

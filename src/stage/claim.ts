/**
 * Claims: a link whose `probeAddresses` is on uses none of its addresses before the stations on its wire have been asked whether one of them has it
 * (RFC 5227 §2.1). Not a stage of the path.
 *
 *   device up ──▶ wait 0 to 1 s ──▶ 3 probes, 1 to 2 s apart ──▶ 2 s ──▶ the link is up, its addresses are announced
 *                      ▲                       │
 *                      └──── 60 s ◀── another station has, or wants, one of them: told and counted
 *
 * Until then the link is down to everybody else: nothing is sent but probes, and `ingress` hands its frames here. The addresses are configured, so there
 * is no other to try: after a conflict the same ones are asked for again, as seldom as RFC 5227 §2.1.1 wants it (RATE_LIMIT_INTERVAL).
 *
 * Drops: LINK_DOWN_IN ARP_CONFLICT.
 */
import { V } from '../base/verdict.js';
import type { Verdict } from '../base/verdict.js';
import { CLAIM, CLAIM_ASKING, CLAIM_NONE, CLAIM_REFUSED } from '../table/counters.js';
import { formatIpv4, formatMac } from '../wire/address.js';
import * as arp from '../wire/arp.js';
import * as ethernet from '../wire/ethernet.js';
import type { Packet } from '../wire/packet.js';
import { probeAddresses } from './arp.js';
import type { Link, Router } from './router.js';

/** RFC 5227 §1.1. */
const PROBE_WAIT_MS = 1000;
const PROBE_NUM = 3;
const PROBE_MIN_MS = 1000;
const PROBE_MAX_MS = 2000;
const ANNOUNCE_WAIT_MS = 2000;
const RATE_LIMIT_INTERVAL_MS = 60_000;

/** A link that waits for its addresses. */
interface Claim { readonly link: Link; /** Probes still to be sent. */ left: number; atMs: number; isRefused: boolean }

export class Claims {
  private readonly router: Router;
  private readonly onFree: (link: Link) => void;
  private claims: Claim[] = [];

  /** @param onFree told of a link whose addresses nobody else has. */
  constructor(router: Router, onFree: (link: Link) => void) {
    this.router = router;
    this.onFree = onFree;
  }

  /** A link's device has come up. */
  begin(link: Link): void {
    if (this.find(link) !== undefined) return;
    this.claims.push({ link, left: PROBE_NUM, atMs: this.router.nowMs + this.router.random.below(PROBE_WAIT_MS + 1), isRefused: false });
    this.router.counters.setLink(link.index, CLAIM, CLAIM_ASKING);
  }

  /** It went down again, or its addresses are its own. */
  end(link: Link): void {
    this.claims = this.claims.filter((claim) => claim.link !== link);
    this.router.counters.setLink(link.index, CLAIM, CLAIM_NONE);
  }

  /** When something is next to be done; Infinity when no link waits. */
  get dueMs(): number {
    let at = Infinity;
    for (const claim of this.claims) at = Math.min(at, claim.atMs);
    return at;
  }

  /** Send the probes that are due, and let links go whose questions nobody has answered. */
  tick(): void {
    if (this.claims.length === 0) return;
    const { nowMs, random, counters } = this.router;
    for (const claim of this.claims) {
      if (claim.atMs > nowMs) continue;
      if (claim.left === 0) {
        this.end(claim.link);
        this.onFree(claim.link);
        continue;
      }
      claim.isRefused = false;
      counters.setLink(claim.link.index, CLAIM, CLAIM_ASKING);
      probeAddresses(this.router, claim.link);
      claim.left--;
      claim.atMs = nowMs + (claim.left === 0 ? ANNOUNCE_WAIT_MS : PROBE_MIN_MS + random.below(PROBE_MAX_MS - PROBE_MIN_MS + 1));
    }
  }

  /** A frame of a link that is not in use: the only thing that counts is who else has, or wants, one of its addresses. */
  hear(p: Packet, link: Link): Verdict {
    const claim = this.find(link);
    if (claim === undefined || p.vlanTci !== -1) return V.LINK_DOWN_IN;
    const { view, frameAt, ipAt: at } = p;
    if (p.end - at < arp.ARP_LENGTH || ethernet.etherType(view, frameAt) !== ethernet.ETHERTYPE_ARP || !arp.isArpOverEthernet(view, at)) return V.LINK_DOWN_IN;
    const high = arp.senderHigh(view, at), low = arp.senderLow(view, at);
    if (high === link.macHigh && low === link.macLow) return V.LINK_DOWN_IN;
    // RFC 5227 §2.1.1: somebody speaks as one of them, or probes for one at the same time.
    const sender = arp.senderIp(view, at);
    const wanted = sender === 0 && arp.operation(view, at) === arp.ARP_REQUEST ? arp.targetIp(view, at) : sender;
    if (!link.answersFor(wanted)) return V.LINK_DOWN_IN;
    if (!claim.isRefused) {
      claim.isRefused = true;
      claim.left = PROBE_NUM;
      claim.atMs = this.router.nowMs + RATE_LIMIT_INTERVAL_MS;
      this.router.counters.setLink(link.index, CLAIM, CLAIM_REFUSED);
      this.router.notify({ event: 'addressConflict', link: link.name, address: formatIpv4(wanted), mac: formatMac(high, low) });
    }
    return V.ARP_CONFLICT;
  }

  private find(link: Link): Claim | undefined { return this.claims.find((claim) => claim.link === link); }
}

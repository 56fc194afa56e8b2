/**
 * Gratuitous ARP of a virtual router that has become master: every address so many times at once, as often again after a while, and a round every so often, for
 * who has missed it (a switch that was just learning, a host whose queue was full). Some frames a turn, so that a thousand addresses hold up no packet.
 */
import type { VrrpPlan } from '../base/plan.js';
import { announceAddress } from '../stage/arp.js';
import type { Link, Router } from '../stage/router.js';

/** Frames a turn. */
const BUDGET = 256;

export class Announcements {
  private readonly r: Router;
  private readonly link: Link;
  private readonly addresses: readonly number[];
  private readonly plan: VrrpPlan['announcements'];
  /** Frames still to be sent at once, and the address the next one is for. */
  private left = 0;
  private next = 0;
  private againAtMs = Infinity;
  private refreshAtMs = Infinity;

  constructor(r: Router, link: Link, addresses: readonly number[], plan: VrrpPlan['announcements']) {
    this.r = r;
    this.link = link;
    this.addresses = addresses;
    this.plan = plan;
  }

  /** The addresses are ours from now on. */
  begin(): void {
    const { count, againMs, refreshMs } = this.plan;
    this.rounds(count);
    this.againAtMs = againMs > 0 ? this.r.nowMs + againMs : Infinity;
    this.refreshAtMs = refreshMs > 0 ? this.r.nowMs + refreshMs : Infinity;
  }

  /** They are not any more. */
  end(): void {
    this.left = 0;
    this.againAtMs = Infinity;
    this.refreshAtMs = Infinity;
  }

  /** One round: somebody may have been told otherwise. */
  repeat(): void { this.rounds(1); }

  get dueMs(): number { return this.left > 0 ? this.r.nowMs : Math.min(this.againAtMs, this.refreshAtMs); }

  tick(): void {
    const { nowMs } = this.r;
    if (nowMs >= this.againAtMs) {
      this.againAtMs = Infinity;
      this.rounds(this.plan.count);
    }
    if (nowMs >= this.refreshAtMs) {
      this.refreshAtMs = nowMs + this.plan.refreshMs;
      this.rounds(1);
    }
    for (let i = 0; i < BUDGET && this.left > 0; i++) {
      // Without room for it now: in the next turn.
      if (!announceAddress(this.r, this.link, this.addresses[this.next])) return;
      this.next = (this.next + 1) % this.addresses.length;
      this.left--;
    }
  }

  private rounds(count: number): void { this.left = Math.max(this.left, count * this.addresses.length); }
}

/**
 * The election itself: one state machine for each virtual router (RFC 9568 §6.4; RFC 3768 §6.4 where version 2 differs), pure: it gets the time and what was
 * heard, and asks for adverts and tells of its states through `Effects`. Virtual routers of a sync group are masters together or not at all; one without is a
 * group by itself.
 *
 *              able, priority 255                          nothing heard for master-down time,
 *        ┌──────────────────────────────────────────────┐  and all of its group want to be master
 *        │        able, otherwise                       ▼        │
 *   ┌────┴───┐ ───────────────────▶ ┌────────┐ ──────────────▶ ┌────────┐
 *   │  init  │                      │ backup │                 │ master │──┐ timer: advert
 *   └────────┘ ◀─────────────────── └────────┘ ◀────────────── └────────┘◀─┘
 *        ▲          not able                    a better master heard,   │
 *        │                                      or by one of its group   │
 *        └───────────────────────────────────────────────────────────────┘
 *                   not able: an advert of priority 0 says so
 *
 * Able means: its link is up and has an address, what is shared has been loaded, nobody has drained the instance, nothing tracked with weight 0 is down, and all
 * of that holds for the others of its group. Other tracked things take their weight off the priority, in any state.
 *
 * Times: skew = (256 - priority) / 256 of the master's interval (version 2: of a second), so that the best of the backups is first; master-down = 3 × that
 * interval + skew. The interval is the one that the master's adverts bear in version 3, one's own in version 2.
 *
 * What goes beyond the RFC. (1) A better backup waits `preemptDelayMs` from its start, or from when it could first take over; until then it is like one that
 * does not preempt. (2) A master that stood still for so long that another must have taken over (a paused machine) first listens for one interval, and becomes
 * backup when it hears any other master, whatever its priority: that one has the state. (3) An advert that asserts mastership against a worse master is not
 * sent more than ten times an interval.
 */
import type { VrrpReason, VrrpState } from '../stage/election.js';
import { OWNER_PRIORITY } from '../wire/vrrp.js';

/** RFC 9568 §6.1. */
const MASTER_DOWN_INTERVALS = 3;
/** After so many intervals without a turn somebody else is master by now: 3 and the longest skew. */
const STALLED_INTERVALS = MASTER_DOWN_INTERVALS + 1;
/** Adverts against worse masters, per interval. */
const ASSERTS_PER_INTERVAL = 10;

/** What a virtual router asks for and tells of. */
export interface Effects {
  /** Send an advert with this priority; 0 = it resigns. */
  advertise(router: VirtualRouter, priority: number): void;
  /** It is in another state, or in the same one for another reason. */
  changed(router: VirtualRouter, before: VrrpState): void;
  /** A master of lower priority was heard and told better: whoever has believed it must be told as well. */
  asserted(router: VirtualRouter): void;
}

export interface VirtualRouterOptions {
  version: 2 | 3;
  /** 1 … 255; 255 = the addresses are the router's own, and nothing is taken off it. */
  priority: number;
  intervalMs: number;
  preempt: boolean;
  preemptDelayMs: number;
}

/** An advert that was heard and is not refused. */
export interface HeardAdvert {
  priority: number;
  intervalMs: number;
  /** Its sender's address, and whether that is higher than ours: what decides between equal priorities. */
  sender: number;
  isHigher: boolean;
}

export class VirtualRouter {
  readonly options: VirtualRouterOptions;
  state: VrrpState = 'init';
  reason: VrrpReason = 'notReady';
  sinceMs = 0;
  /** What is left of the configured one. */
  priority: number;
  /** Whose adverts it follows (int32, 0 = nobody's or its own), and the priority they bear. */
  master = 0;
  masterPriority = 0;
  private readonly effects: Effects;
  private group: readonly VirtualRouter[] = [this];
  /** Why it stands aside by itself; null = it may take part. */
  private obstacle: VrrpReason | null = 'notReady';
  /** RFC 9568 §6.1: what the master's adverts say. */
  private masterIntervalMs: number;
  /** In backup: when it takes over. In master: when the next advert is due. */
  private atMs = Infinity;
  /** In backup: its time has come, but not yet that of the others of its group. */
  private isWilling = false;
  /** What its time would come by. */
  private because: VrrpReason = 'noMaster';
  /** Since when it has heard no master that is as good as itself, or better; NaN = it does. */
  private betterSinceMs = NaN;
  private listenUntilMs = -Infinity;
  /** Until then somebody else may have been master for a while, without its being known. */
  private doubtUntilMs = -Infinity;
  /** In backup: it was master until a better one came, and knew then all there was to know. */
  isRelieved = false;
  private assertedAtMs = -Infinity;

  constructor(options: VirtualRouterOptions, effects: Effects) {
    this.options = options;
    this.effects = effects;
    this.priority = options.priority;
    this.masterIntervalMs = options.intervalMs;
  }

  /** Make these masters together or not at all. */
  static join(members: readonly VirtualRouter[]): void { for (const member of members) member.group = members; }

  get isOwner(): boolean { return this.options.priority === OWNER_PRIORITY; }

  /** RFC 9568 §6.1; RFC 3768 §6.1. */
  get skewMs(): number { return ((256 - this.priority) * (this.options.version === 2 ? 1000 : this.masterIntervalMs)) / 256; }

  get masterDownMs(): number { return MASTER_DOWN_INTERVALS * this.masterIntervalMs + this.skewMs; }

  /** When `tick` has something to do. */
  get dueMs(): number { return this.state === 'init' ? Infinity : this.atMs; }

  /** Why it cannot take part by itself, or null: it can. */
  setObstacle(obstacle: VrrpReason | null, nowMs: number): void {
    if (this.obstacle === obstacle) return;
    this.obstacle = obstacle;
    const isAble = this.group.every((member) => member.obstacle === null);
    for (const member of this.group) {
      if (!isAble) member.stepAside(member.obstacle ?? 'groupAside', nowMs);
      else if (member.state === 'init') member.begin(nowMs);
    }
  }

  /** What tracked things leave of its priority; an owner's stays what it is. */
  setPriority(priority: number, nowMs: number): void {
    if (this.isOwner || this.priority === priority) return;
    this.priority = priority;
    if (this.state === 'master') this.advertise(nowMs);
  }

  /** An advert has come. */
  hear(advert: HeardAdvert, nowMs: number): void {
    if (this.state === 'master') this.hearAsMaster(advert, nowMs);
    else this.hearAsBackup(advert, nowMs);
  }

  /** Time has passed. */
  tick(nowMs: number): void {
    if (nowMs < this.dueMs) return;
    if (this.state === 'master') this.advertise(nowMs);
    else if (!this.takeOver(nowMs)) this.atMs = nowMs + this.masterDownMs;
  }

  /** The machine has stood still for so long; to be told before anything is heard again. */
  stoodStill(forMs: number, nowMs: number): void {
    const { intervalMs } = this.options;
    // The shortest skew is next to nothing.
    if (this.state !== 'master' || forMs <= MASTER_DOWN_INTERVALS * intervalMs) return;
    this.doubtUntilMs = nowMs + intervalMs;
    if (forMs <= STALLED_INTERVALS * intervalMs) return;
    this.listenUntilMs = nowMs + intervalMs;
    this.atMs = Math.max(this.atMs, this.listenUntilMs);
  }

  /** Its time has come: it becomes master, and with it all of its group, if theirs has come as well. */
  private takeOver(nowMs: number): boolean {
    this.isWilling = true;
    if (!this.group.every((member) => member.isWilling || member.state === 'master')) return false;
    for (const member of this.group) if (member.state !== 'master') member.becomeMaster(member.because, nowMs);
    return true;
  }

  /** §6.4.1. */
  private begin(nowMs: number): void {
    this.masterIntervalMs = this.options.intervalMs;
    this.betterSinceMs = nowMs;
    this.because = this.isOwner ? 'owner' : 'noMaster';
    // An owner waits for nobody but the others of its group.
    if (this.isOwner && this.takeOver(nowMs)) return;
    this.atMs = nowMs + this.masterDownMs;
    this.enter('backup', 'started', nowMs);
  }

  /** §6.4.2. */
  private hearAsBackup({ priority, intervalMs, sender }: HeardAdvert, nowMs: number): void {
    this.master = priority === 0 ? 0 : sender;
    this.masterPriority = priority;
    if (this.state === 'init') return;
    if (priority === 0) {
      this.because = 'resigned';
      this.atMs = Math.min(this.atMs, nowMs + this.skewMs);
      return;
    }
    const isWorse = priority < this.priority;
    if (!isWorse) this.betterSinceMs = NaN;
    else if (Number.isNaN(this.betterSinceMs)) this.betterSinceMs = nowMs;
    if (isWorse && this.mayPreempt(nowMs)) {
      this.because = 'preempted';
      return;
    }
    this.isWilling = false;
    this.because = 'noMaster';
    this.learn(intervalMs);
    this.atMs = nowMs + this.masterDownMs;
  }

  private mayPreempt(nowMs: number): boolean {
    const { preempt, preemptDelayMs } = this.options;
    return this.isOwner || (preempt && nowMs - this.betterSinceMs >= preemptDelayMs);
  }

  /** §6.4.3. */
  private hearAsMaster({ priority, intervalMs, sender, isHigher }: HeardAdvert, nowMs: number): void {
    if (priority === 0) {
      this.advertise(nowMs);
      return;
    }
    const isBetter = priority > this.priority || (priority === this.priority && isHigher);
    const isStalled = nowMs < this.listenUntilMs;
    if (!isBetter && !isStalled) {
      // Asserts mastership to the sender, and to bridges that have learned the address from it.
      if (nowMs - this.assertedAtMs < this.options.intervalMs / ASSERTS_PER_INTERVAL) return;
      this.assertedAtMs = nowMs;
      this.advertise(nowMs);
      this.effects.asserted(this);
      return;
    }
    this.learn(intervalMs);
    this.master = sender;
    this.masterPriority = priority;
    this.betterSinceMs = NaN;
    const isInDoubt = this.group.some(({ doubtUntilMs }) => nowMs < doubtUntilMs);
    this.becomeBackup(isBetter ? 'better' : 'stalled', !isInDoubt, nowMs);
    for (const member of this.group) {
      if (member.state !== 'master') continue;
      // Its links have no better master yet: whoever is to be it need not wait.
      member.effects.advertise(member, 0);
      member.masterIntervalMs = member.options.intervalMs;
      member.betterSinceMs = NaN;
      member.master = 0;
      member.becomeBackup('groupBackup', !isInDoubt, nowMs);
    }
  }

  private learn(intervalMs: number): void { this.masterIntervalMs = this.options.version === 2 ? this.options.intervalMs : intervalMs; }

  private becomeBackup(reason: VrrpReason, isRelieved: boolean, nowMs: number): void {
    this.isWilling = false;
    this.isRelieved = isRelieved;
    this.because = 'noMaster';
    this.atMs = nowMs + this.masterDownMs;
    this.enter('backup', reason, nowMs);
  }

  private becomeMaster(reason: VrrpReason, nowMs: number): void {
    this.isWilling = false;
    this.master = 0;
    this.masterPriority = 0;
    this.listenUntilMs = -Infinity;
    this.doubtUntilMs = -Infinity;
    // Its addresses are held before the first advert says so.
    this.enter('master', reason, nowMs);
    this.advertise(nowMs);
  }

  private stepAside(reason: VrrpReason, nowMs: number): void {
    if (this.state === 'init' && this.reason === reason) return;
    if (this.state === 'master') this.effects.advertise(this, 0);
    this.isWilling = false;
    this.atMs = Infinity;
    this.enter('init', reason, nowMs);
  }

  private advertise(nowMs: number): void {
    this.atMs = nowMs + this.options.intervalMs;
    this.effects.advertise(this, this.priority);
  }

  private enter(state: VrrpState, reason: VrrpReason, nowMs: number): void {
    const before = this.state;
    if (state !== before) this.sinceMs = nowMs;
    this.state = state;
    this.reason = reason;
    this.effects.changed(this, before);
  }
}

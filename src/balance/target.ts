/**
 * A target is what a scheduler chooses among: an uplink of a group, or a real server of a virtual server. What it stands for, who counts its flows and
 * why it may not be chosen is the owner's business.
 */
export interface Target {
  /** Share of new flows relative to the other targets; 0 = none (drain). May be a fraction while it grows (slow start). */
  weight: number;
  /** False while it is down, or has as many flows as it may have. */
  isUsable: boolean;
  /** New flows it was given since start. */
  chosen: number;
  /** Flows that do something: TCP established, any other that lives. Counted by the owner, 0 where nobody counts. */
  active: number;
  /** Flows that do nothing yet or no more: TCP opening or closing. */
  inactive: number;
  /** What it is, as a number: the same target has the same key in another order, after a restart and on another machine. */
  readonly key: number;
}

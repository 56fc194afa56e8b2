/**
 * A target is what a scheduler chooses among: an uplink of a group now, a real server of a virtual server later. Only its weight and
 * whether it may be chosen matter to a scheduler; what it stands for is the owner's business.
 */
export interface Target {
  /** Share of new flows relative to the other targets; 0 = none (drain). */
  weight: number;
  /** False while it is down. */
  isUsable: boolean;
  /** New flows it was given since start. */
  chosen: number;
}

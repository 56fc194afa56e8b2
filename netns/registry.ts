/** The scenarios `weir lab` knows, one file each. */
import type { Scenario } from './kit/scenario.js';
import { scenario as activeActive } from './active-active.js';
import { scenario as haPair } from './ha-pair.js';
import { scenario as lvsNat } from './lvs-nat.js';
import { scenario as multiwan } from './multiwan.js';
import { scenario as oneArm } from './one-arm.js';
import { scenario as replyPath } from './reply-path.js';

export const scenarios: readonly Scenario[] = [multiwan, lvsNat, oneArm, replyPath, haPair, activeActive];

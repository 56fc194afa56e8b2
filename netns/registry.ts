/** The scenarios `weir lab` knows, one file each. */
import type { Scenario } from './kit/scenario.js';
import { scenario as multiwan } from './multiwan.js';

export const scenarios: readonly Scenario[] = [multiwan];

/** Every scheduler there is. Add one: a file beside this one, a line here, and the shared suite runs over it. */
import { resilient } from './resilient.js';
import type { SchedulerType } from './scheduler.js';

export const SCHEDULERS: readonly SchedulerType[] = [resilient];

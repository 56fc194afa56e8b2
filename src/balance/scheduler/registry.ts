/** Every scheduler there is. Add one: a file beside this one, a line here, and the shared suite runs over it. */
import { hash } from './hash.js';
import { resilient } from './resilient.js';
import type { SchedulerType } from './scheduler.js';
import { wrr } from './wrr.js';

export const SCHEDULERS: readonly SchedulerType[] = [resilient, hash, wrr];

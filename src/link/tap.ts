/**
 * TAP links: an Ethernet device of our own, with the kernel (or a bridge) on its far end. The device and all that hangs
 * on it vanish with the file descriptor, unless someone made it persistent before us; then what we change is undone.
 */
import { fnv1a } from './mac.js';
import type { LinkPlan } from '../base/plan.js';

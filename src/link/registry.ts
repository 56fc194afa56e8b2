/** Every type of link: a new one is a file and a line here. */
import { isSystemError, wordsOf, type SystemError } from '../base/error.js';
import type { LinkPlan, LinkType } from '../base/plan.js';
import type { Host } from './host.js';
import type { OpenedLink, OpenLink } from './link.js';
import { openRaw } from './raw.js';
import { openTap } from './tap.js';
import { openTun } from './tun.js';

const types: Record<LinkType, OpenLink> = {
  tap: openTap,
  raw: openRaw,
  tun: openTun,
};

/** What was refused of a link, in words that name what its configuration names. */
function reasonOf(error: SystemError, plan: LinkPlan): string {
  if (plan.netns !== undefined && error.syscall === 'open' && error.code === 'ENOENT') return `there is no network namespace '${plan.netns}'; \`ip netns\` lists those there are`;
  if (error.syscall === 'ioctl TUNSETIFF' && error.code === 'EBUSY') return `device '${plan.device}' is in use: another weir, or another program, has it open`;
  if (error.syscall === 'ioctl TUNSETIFF' && error.code === 'EINVAL') return `there is a device '${plan.device}' already, and it is no ${plan.type} device that weir could open`;
  return wordsOf(error);
}

/** Open a link's device and make the host fit it. Throws a system error that names the link; nothing of the attempt is left then. */
export function openLink(plan: LinkPlan, host: Host): OpenedLink {
  try {
    return types[plan.type](plan, host);
  } catch (error) {
    if (isSystemError(error)) error.message = `link ${plan.name}: ${reasonOf(error, plan)}`;
    throw error;
  }
}

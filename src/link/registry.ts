/** Every type of link: a new one is a file and a line here. */
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

/** Open a link's device and make the host fit it. Throws a system error; nothing of the attempt is left then. */
export function openLink(plan: LinkPlan, host: Host): OpenedLink {
  return types[plan.type](plan, host);
}

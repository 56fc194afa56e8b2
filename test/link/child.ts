/**
 * A process of its own that opens links and holds them, for tests that kill it: `child.ts '{"journalPath": …, "links": […], "pins": […]}'`.
 * Prints `ready`, or the error's code, one line; closes everything and prints `closed` and what could not be undone when its input ends.
 */
import type { LinkPlan } from '../../src/base/plan.js';
import { Host } from '../../src/link/host.js';
import type { OpenedLink } from '../../src/link/link.js';
import { openLink } from '../../src/link/registry.js';

const options = JSON.parse(process.argv[2]) as { journalPath: string; links: LinkPlan[]; pins?: string[] };
const host = new Host(options);
const opened: OpenedLink[] = options.links.map((plan) => openLink(plan, host));
const leftErrors = host.undoUnclaimed();
console.log('ready');
process.stdin.on('end', () => {
  const errors = [...leftErrors, ...opened.reverse().flatMap((link) => link.close()), ...host.close()];
  console.log(['closed', ...errors.map((error) => error.message)].join(' '));
}).resume();

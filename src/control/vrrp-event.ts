/** What the election tells of, in words: a virtual router's state and why it is in it, and what is wrong with another router's adverts. */
import type { Plan } from '../base/plan.js';
import type { VrrpNotice, VrrpReason } from '../stage/election.js';
import type { EventLog } from './event.js';

/** Why it is in its state. */
export const VRRP_WORDS: Readonly<Record<VrrpReason, string>> = {
  notReady: 'the shared state is not loaded yet', linkDown: 'its link is down', drained: 'this instance is drained', tracked: 'something it tracks is down',
  groupAside: 'another virtual router of its sync group stands aside', noAddress: 'its link has no address to send adverts from',
  started: 'it listens for a master', better: 'there is a better one', groupBackup: 'another virtual router of its sync group is backup',
  stalled: 'this instance stood still for so long that another one has taken over',
  owner: 'its addresses are this router’s own', noMaster: 'no master was heard', resigned: 'the master has resigned', preempted: 'the master was a worse one',
};

export function tellOfVrrp(notice: VrrpNotice, plan: Plan, events: EventLog): void {
  const { name, link: linkIndex, id } = plan.vrrp[notice.virtualRouter];
  const link = plan.links[linkIndex].name;
  if (notice.event === 'vrrpTrouble') {
    const { trouble, from, detail } = notice;
    events.emit('vrrp.trouble', name, `virtual router ${name} hears adverts of ${from} on link ${link} that do not fit its own configuration: ${detail}`,
      { virtualRouter: name, link, id, trouble, from, severity: 'warning' });
    return;
  }
  const { state, before, reason, priority, master } = notice;
  const who = master === null ? '' : `, ${master}`;
  events.emit(`vrrp.${state}`, name, `virtual router ${name} on link ${link} is ${state === 'init' ? 'not taking part' : state}: ${VRRP_WORDS[reason]}${who}`,
    { virtualRouter: name, link, id, before, reason, priority, master, severity: before === 'master' ? 'warning' : 'info' });
}

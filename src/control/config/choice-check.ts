/** What uplink a flow takes: groups with their tiers and last resorts, and policies. How they refer to each other, and what can never come to pass. */
import type { Findings } from './findings.js';
import { oneOf, didYouMean } from './near.js';
import { find } from './reference.js';
import { checkMatch, covers, extentOf, type Extent } from './rule-check.js';
import { SCHEMA, type FilterKeys, type GroupKeys, type PolicyKeys, type UplinkKeys } from './schema.js';
import type { Item, Values } from './validate.js';

type Group = Item<GroupKeys>;
type Policy = Item<PolicyKeys>;

class ChoiceCheck {
  readonly #values: Values;
  readonly #findings: Findings;
  /** The group a group falls back to. */
  readonly #resorts = new Map<Group, Group>();

  constructor(values: Values, findings: Findings) {
    this.#values = values;
    this.#findings = findings;
  }

  run(): void {
    for (const group of this.#values.groups.items) this.#group(group);
    this.#loops();
    this.#policies();
  }

  #group(group: Group): void {
    const members = (group.values.uplinks ?? []).map((name, index) => name === '' ? undefined
      : find(this.#values.uplinks, 'an uplink', name, (found, allowed) =>
        this.#findings.error(group.at('uplinks', index), [...group.steps, 'uplinks', index], found, allowed)));
    this.#tiers(group);
    this.#lastResort(group);
    if (members.length > 0 && members.every((uplink) => uplink?.values.weight === 0)) {
      this.#findings.warning(group.at('uplinks'), [...group.steps, 'uplinks'], 'every uplink has weight 0, so the group takes no new flows');
    }
    // What a refused uplink would have been is not known.
    const known = members.filter((uplink) => uplink !== undefined);
    if (known.length < members.length || group.refused('tiers')) return;
    this.#balance(group, known);
    this.#fates(group, known);
  }

  #tiers(group: Group): void {
    const tiers = group.part<Record<string, number>>('tiers');
    const { uplinks } = group.values;
    // A name that was refused might have been the one.
    if (tiers === undefined || uplinks === undefined || group.refused('uplinks')) return;
    for (const name of Object.keys(tiers.values)) {
      if (uplinks.includes(name)) continue;
      this.#findings.error(tiers.keyAt(name), [...tiers.steps, name], `the name "${name}"${didYouMean(name, uplinks)}`, `an uplink of the group: ${oneOf(uplinks)}`);
    }
  }

  #lastResort(group: Group): void {
    const part = group.part<{ group: string }>('lastResort');
    const name = part?.values.group;
    if (part === undefined || name === undefined) return;
    const other = find(this.#values.groups, 'a group', name, (found, allowed) => this.#findings.error(part.at('group'), [...part.steps, 'group'], found, allowed));
    if (other !== undefined) this.#resorts.set(group, other);
  }

  /** A row of last resorts must end; each loop is told once, at its first group in the file. */
  #loops(): void {
    const told = new Set<Group>();
    for (const start of this.#values.groups.items) {
      const way: Group[] = [];
      for (let at: Group | undefined = start; at !== undefined && !way.includes(at); at = this.#resorts.get(at)) way.push(at);
      if (told.has(start) || this.#resorts.get(way[way.length - 1]) !== start) continue;
      for (const group of way) told.add(group);
      const part = start.part<{ group: string }>('lastResort')!;
      const shown = way.length === 1 ? 'the group itself' : `which leads back: ${[...way, start].map(({ name }) => name).join(' → ')}`;
      this.#findings.error(part.at('group'), [...part.steps, 'group'], `${part.show('group')} (${shown})`, 'a group whose last resorts do not lead back');
    }
  }

  #balance(group: Group, members: readonly Item<UplinkKeys>[]): void {
    if (group.values.balance !== 'packet') return;
    const translating = members.filter(({ values }) => values.snat !== undefined && values.snat !== 'off').map(({ name }) => name);
    this.#findings.warning(group.at('balance'), [...group.steps, 'balance'], translating.length > 0
      ? `${oneOf(translating)} ${translating.length === 1 ? 'translates' : 'translate'}, and a flow keeps its address: such flows stay on one uplink; the packets of the others arrive out of order`
      : 'the packets of a flow take several uplinks and arrive out of order, which most of what speaks TCP answers by slowing down');
    if (group.given('affinity')) {
      this.#findings.warning(group.keyAt('affinity'), [...group.steps, 'affinity'], 'affinity keeps an address on one uplink, so balance: packet does nothing while it is remembered');
    }
  }

  #fates(group: Group, members: readonly Item<UplinkKeys>[]): void {
    const { onDown, onRecover, drainTimeout, tiers } = group.values;
    const warn = (key: keyof GroupKeys, message: string): void => this.#findings.warning(group.keyAt(key), [...group.steps, key], message);
    if (onDown === 'move') {
      const translating = members.filter(({ values }) => values.snat !== undefined && values.snat !== 'off').map(({ name }) => name);
      if (translating.length > 0) warn('onDown', `${oneOf(translating)} ${translating.length === 1 ? 'translates' : 'translate'}, and no flow can take its address elsewhere: those flows are reset`);
    }
    if (group.given('onRecover') && onRecover !== 'keep' && new Set(members.map(({ name }) => tiers?.[name] ?? 1)).size === 1) {
      warn('onRecover', `${onRecover} means nothing while all uplinks are of one tier`);
    }
    if (group.given('drainTimeout') && drainTimeout !== SCHEMA.groups.keys.drainTimeout.default && onRecover !== undefined && onRecover !== 'drain') warn('drainTimeout', `drainTimeout means nothing with onRecover: ${onRecover}`);
  }

  // --- policies -------------------------------------------------------------------------------------------------------

  #policies(): void {
    const earlier: { policy: Policy; extent: Extent }[] = [];
    for (const policy of this.#values.policies.items) {
      checkMatch(policy, this.#values, this.#findings);
      this.#target(policy);
      const extent = extentOf(policy as unknown as Item<FilterKeys>);
      if (extent === undefined) continue;
      const other = earlier.find((one) => covers(one.extent, extent));
      if (other !== undefined) {
        this.#findings.error(policy.place, policy.steps, `a policy that can never match, for ${other.policy.name} before it matches all that this one does`,
          `a place before ${other.policy.name}, or something that ${other.policy.name} does not match`);
      }
      earlier.push({ policy, extent });
    }
  }

  /** Exactly one of group and exclude: true; what refines the group stands beside a group only. */
  #target(policy: Policy): void {
    const { group: name, exclude, prefer } = policy.values;
    if (policy.refused('exclude')) return;
    if (policy.given('group') === (exclude === true)) {
      this.#findings.error(policy.place, policy.steps, exclude === true ? 'group and exclude: true' : 'neither group nor exclude: true', 'exactly one of group and exclude: true');
      return;
    }
    if (exclude === true) {
      for (const key of ['prefer', 'affinity'] as const) {
        if (policy.given(key)) this.#findings.error(policy.keyAt(key), [...policy.steps, key], `${key} with exclude: true`, `${key} with a group only`);
      }
      return;
    }
    const group = name === undefined ? undefined : find(this.#values.groups, 'a group', name, (found, allowed) =>
      this.#findings.error(policy.at('group'), [...policy.steps, 'group'], found, allowed));
    if (prefer === undefined) return;
    const uplink = find(this.#values.uplinks, 'an uplink', prefer, (found, allowed) =>
      this.#findings.error(policy.at('prefer'), [...policy.steps, 'prefer'], found, allowed));
    const members = group?.values.uplinks;
    if (uplink === undefined || members === undefined || group!.refused('uplinks') || members.includes(prefer)) return;
    this.#findings.error(policy.at('prefer'), [...policy.steps, 'prefer'], `${policy.show('prefer')} (not of ${name})`, `an uplink of ${name}: ${oneOf(members)}`);
  }
}

/** Tell of everything in groups and policies that does not fit. */
export function checkChoice(values: Values, findings: Findings): void {
  new ChoiceCheck(values, findings).run();
}

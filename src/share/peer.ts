/** What an instance tells of itself, as JSON, and how that is read: what comes from the store is judged like what comes from a wire. */
import type { SharePeer } from './status.js';
import type { Peer } from './store.js';

export type About = Pick<SharePeer, 'flows' | 'state' | 'version' | 'masterOf'>;

/** Virtual routers one instance tells of at most, and the longest word taken from others. */
const ROLES_MAX = 255;
const WORD_MAX = 64;

export function writeAbout(about: About): string { return JSON.stringify(about); }

export function readPeer({ instance, generation, about, ageMs }: Peer): SharePeer {
  let told: unknown;
  try {
    told = JSON.parse(about);
  } catch {
    told = null;
  }
  const { flows, state, version, masterOf } = (typeof told === 'object' && told !== null ? told : {}) as Record<string, unknown>;
  return {
    instance, generation, ageMs,
    flows: typeof flows === 'number' && Number.isSafeInteger(flows) && flows >= 0 ? flows : 0,
    state: word(state), version: word(version),
    masterOf: Array.isArray(masterOf) ? masterOf.slice(0, ROLES_MAX).map(word) : [],
  };
}

function word(value: unknown): string { return typeof value === 'string' ? value.slice(0, WORD_MAX) : 'unknown'; }

/**
 * What is wrong with a Redis server, from what it answers or how its connection ended, in our words (StoreTrouble) and a sentence for an operator. What
 * a library's error carries beside its message (the command and its arguments, so perhaps a password) never gets into ours.
 */
import { StoreError } from './store.js';
import type { StoreTrouble } from './store.js';

/** Beginnings of what a server answers, what they mean, and what an operator should hear. */
const ANSWERS: readonly (readonly [RegExp, StoreTrouble, string])[] = [
  [/^(WRONGPASS|ERR invalid password)/, 'wrong-password', 'refuses our user name or password'],
  [/^NOAUTH/, 'wrong-password', 'wants a password, and none is configured'],
  [/^OOM/, 'full', 'has reached its maxmemory and takes no writes'],
  [/^READONLY/, 'read-only', 'is a replica and takes no writes'],
  [/^MISCONF/, 'read-only', 'takes no writes, for it cannot save them (see its log)'],
  [/^NOREPLICAS/, 'read-only', 'takes no writes, for it has too few replicas (min-replicas-to-write)'],
  [/^LOADING/, 'loading', 'is loading its data'],
  [/^MASTERDOWN/, 'failing-over', 'is a replica that has lost its master'],
  [/^CLUSTERDOWN/, 'failing-over', 'says that its cluster is down'],
  [/^(TRYAGAIN|ASK) /, 'failing-over', 'is moving our slot to another node of its cluster'],
  [/^MOVED /, 'failing-over', 'has handed our slot to another node of its cluster'],
  [/^UNBLOCKED/, 'failing-over', 'has become a replica'],
  [/^FENCED/, 'fenced', 'refuses this generation: another instance has taken over from us'],
  [/^BUSY /, 'slow', 'is busy with a script'],
  [/^ERR max number of clients/, 'unreachable', 'has too many clients (maxclients)'],
];

/** Scripts of Redis before 7 wrap what the command in them answered. */
const WRAPPED = /^ERR Error running script \(.*?\): @user_script: ?(\d+): (?:@user_script: ?\d+: )?-?(.*)$/s;

/** The command a line of a script calls. */
function commandAt(lua: string | undefined, line: number): string | null {
  return lua?.split('\n')[line - 1]?.match(/call\('(\w+)'/)?.[1] ?? null;
}

/** What a server has answered instead of a reply. `who` names the server, `command` what it was asked, `lua` the script that was run. */
export function answerTrouble(answer: string, who: string, command: string, lua?: string): StoreError {
  const wrapped = WRAPPED.exec(answer);
  const text = wrapped === null ? answer : wrapped[2];
  // Redis 7 does not begin with NOPERM when it is a command within a script that is refused.
  if (/^NOPERM|^ERR The user executing the script can't/.test(text)) {
    const line = wrapped?.[1] ?? /@user_script:(\d+)/.exec(text)?.[1];
    const named = /'([\w|]+)'/.exec(text)?.[1] ?? (line === undefined ? null : commandAt(lua, Number(line))) ?? command;
    const what = /\bkeys?\b/.test(text) ? `use the keys of our prefix (with ${named.toUpperCase()})` : `run ${named.toUpperCase()}`;
    return new StoreError('no-permission', `${who} does not let our user ${what}`);
  }
  for (const [pattern, trouble, sentence] of ANSWERS) if (pattern.test(text)) return new StoreError(trouble, `${who} ${sentence}`);
  return new StoreError('other', `${who} answered ${command.toUpperCase()} with: ${text.split('\n')[0]}`);
}

/** How a connection ended, or why it was not made. */
export function connectionTrouble(error: unknown, who: string): StoreError {
  const message = error instanceof Error ? error.message : String(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const says = (sentence: string): StoreError => new StoreError('unreachable', `${who} ${sentence}`);
  switch (code) {
    case 'ECONNREFUSED': return says('refuses connections');
    case 'ETIMEDOUT': return says('does not answer to connecting');
    case 'ENOTFOUND': case 'EAI_AGAIN': return says('cannot be found: its name has no address');
    case 'ENOENT': return says('cannot be reached: there is no such socket');
    case 'EACCES': return says('cannot be reached: we may not use the socket');
    case 'ENETUNREACH': case 'EHOSTUNREACH': return says('cannot be reached: there is no way to it');
    case 'ECONNRESET': case 'EPIPE': return says('has reset the connection');
    default: break;
  }
  if (/connect ETIMEDOUT/.test(message)) return says('does not answer to connecting');
  if (/Connection is closed|Stream isn't writeable/.test(message)) return says('has closed the connection');
  if (/^(ERR_TLS|ERR_SSL|CERT_|DEPTH_|UNABLE_|SELF_SIGNED|EPROTO)/.test(code)) return says(`cannot be spoken to by TLS: ${message}`);
  // What the client library says of bytes that are no reply.
  if (/^(Unknown RESP type|Protocol error)/.test(message)) return says('does not answer as Redis does: something else listens there, or it is to be spoken to by TLS');
  return says(`cannot be reached: ${message}`);
}

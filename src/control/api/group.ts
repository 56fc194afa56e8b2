/**
 * Group names to numbers, for the socket's owner. Node has no getgrnam, so /etc/group is read, and where that does not know the name
 * `getent` asks the other sources the system is set up with (LDAP, systemd).
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** The group that may use the socket when the configuration names none and this one exists. */
export const DEFAULT_GROUP = 'weir';

/** How long `getent` may take: a directory server that hangs must not keep the router from starting. */
const GETENT_TIMEOUT_MS = 3000;

/** The number of `name` in the text of a group file, or null. */
export function findGroup(text: string, name: string): number | null {
  for (const line of text.split('\n')) {
    const fields = line.split(':');
    if (fields.length >= 3 && fields[0] === name && /^[0-9]+$/.test(fields[2]!)) return Number(fields[2]);
  }
  return null;
}

function readLocalGroups(): string {
  try {
    return readFileSync('/etc/group', 'utf8');
  } catch {
    // A box without the file has no local groups; getent has the last word.
    return '';
  }
}

/** The gid of a group's name (or of a plain number), or null when there is no such group. */
export async function lookUpGroup(name: string): Promise<number | null> {
  if (/^[0-9]{1,10}$/.test(name)) {
    const gid = Number(name);
    return gid < 0xffff_ffff ? gid : null;
  }
  const local = findGroup(readLocalGroups(), name);
  if (local !== null || !/^[A-Za-z_][A-Za-z0-9_.@-]*\$?$/.test(name)) return local;
  return new Promise((resolve) => {
    execFile('getent', ['group', name], { timeout: GETENT_TIMEOUT_MS }, (error, stdout) => {
      resolve(error === null ? findGroup(stdout, name) : null);
    });
  });
}

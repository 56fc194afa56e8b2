/**
 * User names to numbers, for programs that run as somebody else. Node has no getpwnam, so /etc/passwd is read, and where that does not know the
 * name `getent` asks the other sources the system is set up with (LDAP, systemd).
 */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';

/** How long `getent` may take: a directory server that hangs must not keep the router from starting. */
const GETENT_TIMEOUT_MS = 3000;

export interface User { name: string; uid: number; gid: number; home: string }

/** Who bears `name`, or has it as number, in the text of a passwd file, or null. */
export function findUser(text: string, name: string): User | null {
  for (const line of text.split('\n')) {
    const fields = line.split(':');
    if (fields.length < 7 || (fields[0] !== name && fields[2] !== name)) continue;
    if (!/^[0-9]+$/.test(fields[2]) || !/^[0-9]+$/.test(fields[3])) continue;
    return { name: fields[0], uid: Number(fields[2]), gid: Number(fields[3]), home: fields[5] || '/' };
  }
  return null;
}

/** The user of a name or number, or null when there is none. */
export async function lookUpUser(name: string): Promise<User | null> {
  // A box without the file has no local users; getent has the last word.
  const local = findUser(await readFile('/etc/passwd', 'utf8').catch(() => ''), name);
  if (local !== null || !/^[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?$/.test(name)) return local;
  return new Promise((resolve) => {
    execFile('getent', ['passwd', name], { timeout: GETENT_TIMEOUT_MS }, (error, stdout) => resolve(error === null ? findUser(stdout, name) : null));
  });
}

/** Who a name of the password file is: numbers, which is all a process can be started with. */
import { readFileSync } from 'node:fs';

export interface User { uid: number; gid: number; home: string }

/** By name or number in /etc/passwd; null when nobody is called so. */
export function findUser(name: string, passwd = readFileSync('/etc/passwd', 'utf8')): User | null {
  for (const line of passwd.split('\n')) {
    const [login, , uid, gid, , home] = line.split(':');
    if (login === '' || login.startsWith('#') || uid === undefined || gid === undefined) continue;
    if (login === name || uid === name) return { uid: Number(uid), gid: Number(gid), home: home === undefined || home === '' ? '/' : home };
  }
  return null;
}

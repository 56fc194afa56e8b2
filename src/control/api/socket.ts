/**
 * The unix socket's life: its directory, a stale socket left by a kill, a living one of another daemon, its mode and group. Whoever can
 * write to the socket can ask the router anything, so it is never open wider than 0660, not even for a moment.
 */
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { request } from 'node:http';
import type { Server } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { constants } from 'node:os';
import { ConfigErrors } from '../../base/error.js';
import type { SystemError } from '../../base/error.js';
import { DEFAULT_GROUP, lookUpGroup } from './group.js';

/** Owner and group may read and write, nobody else. */
export const SOCKET_MODE = 0o660;
/** The longest path a unix socket can have on Linux, without its closing zero. */
export const SOCKET_PATH_MAX_BYTES = 107;
/** How long a living daemon may take to tell its pid. */
const PID_TIMEOUT_MS = 1000;

/** A mistake in the configuration that only shows when it is applied: the place is the file as a whole. */
function configError(file: string, path: string, found: string, allowed: string): ConfigErrors {
  return new ConfigErrors([{ file, line: 0, column: 0, path, found, allowed }], []);
}

/** A Node-shaped system error of our own. */
function systemError(code: 'EADDRINUSE' | 'ENOTSOCK', syscall: string, path: string, message: string): SystemError {
  return Object.assign(new Error(message), { code, errno: -constants.errno[code], syscall, path });
}

/** Node's errors about unix sockets do not have their path where those about files have it. */
function placed(error: NodeJS.ErrnoException, path: string): NodeJS.ErrnoException {
  error.path ??= path;
  return error;
}

type Probe = 'living' | 'stale' | 'absent';

/** Who is behind the path: somebody who accepts, nobody, or no socket at all. */
function probe(path: string): Promise<Probe> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('connect', () => { socket.destroy(); resolve('living'); });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.destroy();
      if (error.code === 'ECONNREFUSED') resolve('stale');
      else if (error.code === 'ENOENT') resolve('absent');
      // EAGAIN: its backlog is full, so it is alive though not well.
      else if (error.code === 'EAGAIN') resolve('living');
      else reject(placed(error, path));
    });
  });
}

/** The pid of the weir that answers on the path, or null when whoever answers does not say. */
function askPid(path: string): Promise<number | null> {
  return new Promise((resolve) => {
    const query = request({ socketPath: path, path: '/api/v1/status', agent: false, timeout: PID_TIMEOUT_MS }, (answer) => {
      const pid = Number(answer.headers['weir-pid']);
      answer.resume();
      resolve(Number.isInteger(pid) && pid > 0 ? pid : null);
    });
    query.on('timeout', () => query.destroy());
    query.on('error', () => resolve(null));
    query.on('close', () => resolve(null));
    query.end();
  });
}

/** A directory and those above it. Not by mkdir's own `recursive`, which tries for ever where nothing can be made although all above is there (/proc). */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  makeDirectory(dirname(path));
  try {
    mkdirSync(path, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Make room for our socket at `path`: its directory exists and nothing stands in its place. Throws when something does that must stay. */
async function clear(path: string): Promise<void> {
  makeDirectory(dirname(path));
  const before = lstatSync(path, { throwIfNoEntry: false });
  if (before === undefined) return;
  if (!before.isSocket()) throw systemError('ENOTSOCK', 'listen', path, `${path} exists and is not a socket; it was left as it is`);
  const found = await probe(path);
  if (found === 'absent') return;
  if (found === 'living') {
    const pid = await askPid(path);
    const who = pid === null ? 'another process' : `another weir (pid ${pid})`;
    throw systemError('EADDRINUSE', 'listen', path, `${who} already listens on ${path}; stop it first, or set control.socket to another path`);
  }
  // Another daemon may have cleared the same stale socket and bound its own since we looked: only what we looked at is removed.
  const now = lstatSync(path, { throwIfNoEntry: false });
  if (now !== undefined && now.ino === before.ino && now.ctimeMs === before.ctimeMs) unlinkSync(path);
}

/** The gid the socket gets, or null to leave it as it is. Throws the configuration's mistake when the group named in it does not exist. */
async function chooseGroup(group: string | undefined, configFile: string): Promise<number | null> {
  if (group !== undefined) {
    const gid = await lookUpGroup(group);
    if (gid === null) {
      throw configError(configFile, 'control.group', `'${group}', which is no group of this system`, `an existing group (groupadd --system ${group} makes it)`);
    }
    return gid;
  }
  return await lookUpGroup(DEFAULT_GROUP) ?? (process.geteuid?.() === 0 ? 0 : null);
}

/** What listening came to: `groupRefused` is the error of a chown to the default group that we had no right to. */
export interface ListenResult { gid: number; groupRefused: NodeJS.ErrnoException | null }

/** Let `server` listen on the unix socket at `path`, with the right mode and group. `configFile` is where these came from. */
export async function listenOnSocket(server: Server, path: string, group: string | undefined, configFile: string): Promise<ListenResult> {
  if (Buffer.byteLength(path) > SOCKET_PATH_MAX_BYTES) {
    throw configError(configFile, 'control.socket', `a path of ${Buffer.byteLength(path)} bytes`, `at most ${SOCKET_PATH_MAX_BYTES}`);
  }
  const gid = await chooseGroup(group, configFile);
  await clear(path);
  await new Promise<void>((resolve, reject) => {
    const refuse = (error: Error): void => reject(placed(error, path));
    server.once('error', refuse);
    server.once('listening', () => { server.off('error', refuse); resolve(); });
    // Node binds within this call, so the narrow mask holds for the socket and for nothing else.
    const mask = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(mask);
    }
  });
  let groupRefused: NodeJS.ErrnoException | null = null;
  try {
    if (gid !== null) {
      try {
        chownSync(path, -1, gid);
      } catch (error) {
        // The default group is a convenience: without the right to give the socket to it, the socket stays with ours.
        if (group !== undefined) throw error;
        groupRefused = error as NodeJS.ErrnoException;
      }
    }
    chmodSync(path, SOCKET_MODE);
  } catch (error) {
    server.close();
    throw error;
  }
  return { gid: lstatSync(path).gid, groupRefused };
}

/**
 * What the commands that change an uplink or a real server have in common: their operands, the request, and the warnings that come back. A real server's
 * name is that of its virtual server, a slash, and its own, as `weir servers` and the events have it.
 */
import { Argument } from 'commander';
import type { Command } from 'commander';
import { EXIT_FAILED, EXIT_USAGE } from '../base/error.js';
import type { InstanceAnswer, RealServerStatus, ServerAnswer, UplinkAnswer, UplinkStatus } from '../control/api/types.js';
import type { Context } from './command.js';
import { defineReading, readingOptions, withClient } from './command.js';
import { CliFailure } from './failure.js';
import { plain } from './table.js';

type Kind = 'uplink' | 'server';

/** What is asked for: the word of the API, and its body. */
export interface Asked { action: 'drain' | 'undrain' | 'weight'; body?: object }

/** How it stands then, in a sentence; `name` is what the person has called it. */
export interface Descriptions {
  uplink?: (uplink: UplinkStatus) => string;
  server: (server: RealServerStatus, name: string) => string;
}

/** Add the operands `uplink NAME` or `server VS/RS`, -j and --socket. */
export function defineAction(command: Command, kinds: readonly Kind[] = ['uplink', 'server'], isOptional = false): void {
  const [kind, name] = isOptional ? ['[kind]', '[name]'] : ['<kind>', '<name>'];
  command
    .addArgument(new Argument(kind, `what it is done to${isOptional ? '; without it, this instance' : ''}`).choices(kinds))
    .argument(name, kinds.includes('uplink') ? 'its name in the configuration; a server\'s with that of its virtual server: web/web1' : 'that of its virtual server and its own: web/web1');
  defineReading(command);
}

/** Have the daemon do it, and tell how it stands then, or print the answer as the API gives it. */
export function act(context: Context, given: Record<string, unknown>, operands: readonly string[], { action, body = {} }: Asked, describe: Descriptions): Promise<number> {
  const [kind, name] = operands as [Kind, string | undefined];
  if (name === undefined) throw new CliFailure(EXIT_USAGE, `${kind}: found no name, allowed: the name of one (weir ${kind}s lists them)`);
  const options = readingOptions(given);
  const { io } = context;
  return withClient(options, async (client) => {
    const answer = kind === 'uplink'
      ? await client.post<UplinkAnswer>(`uplinks/${encodeURIComponent(name)}/${action}`, body)
      : await client.post<ServerAnswer>(`servers/${serverPath(name)}/${action}`, body);
    if (options.json) await io.write(`${JSON.stringify(answer)}\n`);
    else {
      await io.write(`${plain('uplink' in answer ? describe.uplink?.(answer.uplink) ?? '' : describe.server(answer.server, name))}\n`);
      for (const warning of answer.warnings) io.writeError(`weir: warning: ${plain(warning)}\n`);
    }
    return 0;
  });
}

/** Drain or undrain this instance as a whole, and tell what came of it. */
export function actOnInstance(context: Context, given: Record<string, unknown>, action: 'drain' | 'undrain', describe: (answer: InstanceAnswer) => string): Promise<number> {
  const options = readingOptions(given);
  const { io } = context;
  return withClient(options, async (client) => {
    const answer = await client.post<InstanceAnswer>(`instance/${action}`, {});
    if (options.json) await io.write(`${JSON.stringify(answer)}\n`);
    else {
      await io.write(`${plain(describe(answer))}\n`);
      for (const warning of answer.warnings) io.writeError(`weir: warning: ${plain(warning)}\n`);
    }
    // Somebody who is about to switch this box off must see it.
    return answer.flushError === null && answer.unclaimed.length === 0 ? 0 : EXIT_FAILED;
  });
}

/** 'web/web1' as a path of two names. */
function serverPath(name: string): string {
  const parts = name.split('/');
  if (parts.length !== 2 || parts.includes('')) {
    throw new CliFailure(EXIT_USAGE, `server: found '${name}', allowed: the name of a virtual server, a slash and the name of its server, as in web/web1 (weir servers lists them)`);
  }
  return parts.map(encodeURIComponent).join('/');
}

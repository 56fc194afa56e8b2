/**
 * The command line: reads the arguments, runs one command, turns every error into lines on standard error and an exit code.
 * Commands that need the daemon's own code get it as a table of actions from above.
 */
import { Command, CommanderError } from 'commander';
import { EXIT_OK, EXIT_USAGE } from '../base/error.js';
import type { Actions, Context } from './command.js';
import { endingOf } from './failure.js';
import type { Io } from './io.js';
import { OutputClosed } from './io.js';
import { commands } from './registry.js';

const EPILOGUE = `
weir COMMAND --help tells more of each. Reading commands take -j (JSON) and --socket PATH (or WEIR_SOCKET in the environment).

Examples:
  weir check -c weir.yaml         is the configuration sound?
  weir run -c weir.yaml           start routing
  weir status                     is all well?
  weir flows --protocol tcp -j    every TCP flow, for a script

Exit codes: 0 ok, 1 failed (status: degraded), 2 usage, 3 not running (status), 69 unavailable, 71 system, 77 no permission,
78 configuration.`;

/** Run the command line `args` (without node and the script); gives the exit code. Never throws. */
export async function runCommandLine(args: readonly string[], io: Io, actions: Actions): Promise<number> {
  const context: Context = { io, actions };
  let exitCode: number = EXIT_OK;
  // commander writes synchronously; what it says is kept until it can be waited for.
  let said = '';

  const program = new Command('weir')
    .description('A userspace router and link load balancer for Linux.')
    .version(actions.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeOut: (text) => { said += text; }, writeErr: (text) => io.writeError(text), outputError: (text, write) => write(text.replace(/^error: /, 'weir: ')) })
    .addHelpText('after', EPILOGUE);

  for (const entry of commands) {
    program.command(entry.name)
      .summary(entry.summary)
      .description(`${entry.summary[0]!.toUpperCase()}${entry.summary.slice(1)}.`)
      .helpGroup(entry.heading)
      .showHelpAfterError(`(weir ${entry.name} --help tells what there is)`);
  }
  program.showHelpAfterError('(weir --help tells what there is)');

  program.hook('preSubcommand', async (_program, command) => {
    const file = await commands.find((entry) => entry.name === command.name())!.load();
    file.define(command);
    command.action(async () => {
      exitCode = await file.run(context, command.opts<Record<string, unknown>>(), command.args);
    });
  });

  try {
    try {
      // `weir help X` is `weir X --help`, so that the file of X is loaded for it like for anything else.
      await program.parseAsync(args[0] === 'help' ? [...args.slice(1, 2), '--help'] : [...args], { from: 'user' });
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      exitCode = error.exitCode === 0 ? EXIT_OK : EXIT_USAGE;
    }
    if (said !== '') await io.write(said);
    return exitCode;
  } catch (error) {
    if (error instanceof OutputClosed) return EXIT_OK;
    const ending = endingOf(error);
    io.writeError(`${ending.lines.join('\n')}\n`);
    return ending.exitCode;
  }
}

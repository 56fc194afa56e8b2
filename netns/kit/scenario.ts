/** What a scenario of the lab is to `weir lab`: a name, options, and once it is up what a person needs to look around in it. */
import type { Host, Lab } from './lab.js';

export interface ScenarioOptions { form: 'tap' | 'raw'; peer: 'weir' | 'kernel'; weights?: readonly number[]; snat?: 'auto' | 'always' | 'never' }

export interface RunningScenario {
  readonly lab: Lab;
  /** The topology with its addresses, for a terminal. */
  readonly drawing: string;
  /** Where a person lands. */
  readonly shellHost: Host;
  /** The daemon's socket; null when the kernel routes. */
  readonly socket: string | null;
  /** Commands to try, each with what it shows. */
  readonly commands: readonly { command: string; shows: string }[];
  /** What it does, shown by real traffic; absent where the commands do. */
  show?(): Promise<string>;
  close(): void;
}

export interface Scenario {
  readonly name: string;
  readonly summary: string;
  /** Those it knows. */
  readonly options: readonly (keyof ScenarioOptions)[];
  up(options: ScenarioOptions): Promise<RunningScenario>;
}

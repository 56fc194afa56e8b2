/** Rounds of every load on every site, back and forth: A B C, B C A, C A B, … so that whatever drifts, drifts for all. */

/** Row → peer → one sample a round. */
export type Samples<P extends string> = Record<string, Record<P, number[]>>;

export interface LoadContext<P extends string> {
  seconds: number;
  /** Samples so far, by row and peer. */
  samples: (row: string, peer: P) => readonly number[];
}

export interface RoundSite<P extends string> {
  readonly peer: P;
  /** Throws when the router has ended meanwhile. */
  assertRunning(): void;
}

export interface RoundLoad<P extends string, S extends RoundSite<P>> {
  name: string;
  /** The job is done for so long, at least, on each site before any of it counts: a peer whose compiler is at work is another one than it will be. */
  warmSeconds?: number;
  /** Row → value. */
  run: (site: S, context: LoadContext<P>) => Promise<Record<string, number>>;
}

export interface RoundOptions { rounds: number; seconds: number; say: (line: string) => void }

export async function runRounds<P extends string, S extends RoundSite<P>>(sites: readonly S[], loads: readonly RoundLoad<P, S>[], options: RoundOptions): Promise<Samples<P>> {
  const samples: Samples<P> = {};
  const of = (row: string): Record<P, number[]> => (samples[row] ??= Object.fromEntries(sites.map(({ peer }) => [peer, []])) as unknown as Record<P, number[]>);
  for (let round = 0; round < options.rounds; round++) {
    for (const load of loads) {
      if (round === 0 && load.warmSeconds !== undefined) {
        for (const site of sites) await load.run(site, { seconds: Math.max(load.warmSeconds, options.seconds), samples: (row, peer) => of(row)[peer] });
      }
      const line: string[] = [];
      for (let i = 0; i < sites.length; i++) {
        const site = sites[(i + round) % sites.length];
        const values = await load.run(site, { seconds: options.seconds, samples: (row, peer) => of(row)[peer] });
        site.assertRunning();
        for (const [row, value] of Object.entries(values)) {
          of(row)[site.peer].push(value);
          line.push(`${site.peer} ${value.toPrecision(4)}`);
        }
      }
      options.say(`round ${round + 1} of ${options.rounds}  ${load.name.padEnd(17)} ${line.join('  ')}`);
    }
  }
  return samples;
}

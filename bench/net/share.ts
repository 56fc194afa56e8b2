/**
 * What sharing costs: two sites of weir on raw links, alike but that one of them writes every flow to Redis, which runs on the same machine. Flows are not
 * offloaded to the kernel, for then bulk traffic would not meet weir at all.
 */
import { Redis, REDIS_PORT } from '../../netns/kit/redis.js';
import { askDaemon } from '../../netns/kit/weir.js';
import type { Lab } from '../../netns/kit/lab.js';
import { waitFor } from '../../netns/kit/wait.js';
import type { ShareAnswer, ShareStatus } from '../../src/control/api/types.js';
import { bulkThrough, newFlowsThrough } from './loads.js';
import type { RoundLoad } from './rounds.js';
import { Site } from './site.js';

export type SharePeer = 'off' | 'on';
export const SHARE_PEERS: readonly SharePeer[] = ['off', 'on'];
const TOLD_MS = 30_000;

export class ShareSite {
  readonly peer: SharePeer;
  readonly site: Site;

  private constructor(peer: SharePeer, site: Site) {
    this.peer = peer;
    this.site = site;
  }

  static async up(lab: Lab, peer: SharePeer): Promise<ShareSite> {
    const site = await Site.up(lab, 'raw', {
      name: `share${peer}`,
      async configure(router) {
        if (peer === 'off') return {};
        await Redis.start(router);
        return { share: { store: 'redis', instance: 'bench', redis: { url: `redis://127.0.0.1:${REDIS_PORT}/0` } } };
      },
    });
    const made = new ShareSite(peer, site);
    if (peer === 'on') await waitFor(async () => (await made.status()).phase === 'running', TOLD_MS, 'weir to share');
    return made;
  }

  assertRunning(): void { this.site.assertRunning(); }

  async status(): Promise<ShareStatus> {
    const { status } = await askDaemon<ShareAnswer>(this.site.socket, 'share');
    if (status === null) throw new Error('weir has nothing to tell of sharing yet');
    return status;
  }

  /** Throws unless all that was shared in `body` has been, at least so many records of it, and nothing was given up. */
  async shares<T>(body: () => Promise<T>, leastOf: (result: T) => number): Promise<T> {
    if (this.peer === 'off') return body();
    const before = (await this.status()).counts;
    const result = await body();
    const { counts } = await waitFor(async () => {
      const status = await this.status();
      return status.queue === 0 && status.inFlight === 0 && status.journalWords === 0 ? status : null;
    }, TOLD_MS, 'weir to have told all to Redis');
    const written = counts.written - before.written, lost = counts.dropped + counts.lost - before.dropped - before.lost;
    if (written < leastOf(result) || lost > 0) throw new Error(`${written} records were written of ${leastOf(result)} flows, ${lost} were given up`);
    return result;
  }
}

export type ShareLoad = RoundLoad<SharePeer, ShareSite>;

function bulk(streams: number): ShareLoad {
  const name = `share-bulk-${streams}`;
  return { name, run: async (made, { seconds }) => ({ [name]: await made.shares(() => bulkThrough(made.site, streams, false, seconds), () => 1) }) };
}

const newFlows: ShareLoad = {
  name: 'share-new-flows',
  warmSeconds: 3,
  run: async (made, { seconds }) => ({ 'share-new-flows': (await made.shares(() => newFlowsThrough(made.site, seconds), ({ done }) => done)).perSecond }),
};

export const SHARE_LOADS: readonly ShareLoad[] = [bulk(1), bulk(4), newFlows];

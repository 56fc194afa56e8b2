/** A question for an address to one name server, by Node's own resolver bound to the local address. */
import { systemClock } from '../../base/clock.js';
import { Attempts, failed, succeeded } from './attempt.js';
import type { CheckType } from './check.js';
import { resolverFor } from './names.js';
import { phraseOf } from './reason.js';

/** A server that answers so is at work, be the name known to it or not. */
const ANSWERS: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'EFORMERR', 'ENOTIMP']);
/** Addresses a reason names. */
const ADDRESSES_MAX = 3;

export const dns: CheckType<'dns'> = {
  kind: 'dns',
  sentence: 'Asks a name server for the IPv4 address of a name; good is any answer but SERVFAIL and REFUSED, or one that holds `address` if that is given.',
  create({ server, port, name, address }, context) {
    const attempts = new Attempts();
    return {
      probe(timeoutMs, signal) {
        return attempts.run(timeoutMs, signal, (finish) => {
          const resolver = resolverFor([`${server}:${port}`], context.localAddress, timeoutMs);
          const sinceMs = systemClock.nowMs();
          resolver.resolve4(name, (error, addresses) => {
            const good = succeeded(sinceMs);
            if (error !== null) {
              const isAnswer = ANSWERS.has(error.code ?? '');
              finish(isAnswer && address === undefined ? good : failed(phraseOf(error), isAnswer ? good.latencyMs : null));
            } else if (address !== undefined && !addresses.includes(address)) {
              const told = addresses.length > ADDRESSES_MAX ? `${addresses.slice(0, ADDRESSES_MAX).join(', ')}, …` : addresses.join(', ');
              finish(failed(`the answer holds ${told}, not ${address}`, good.latencyMs));
            } else {
              finish(good);
            }
          });
          return () => { resolver.cancel(); };
        });
      },
      close() { attempts.close(); },
    };
  },
};

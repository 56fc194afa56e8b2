/** A TCP connection by the box's own socket, opened and closed again without a byte. */
import { connect } from 'node:net';
import { systemClock } from '../../base/clock.js';
import { Attempts, failed, succeeded } from './attempt.js';
import type { CheckType } from './check.js';
import { attemptByName, Name } from './names.js';
import { phraseOf } from './reason.js';

export const tcp: CheckType<'tcp'> = {
  kind: 'tcp',
  sentence: 'Opens a TCP connection and closes it again; good is that it opens.',
  create({ host, port }, context) {
    const attempts = new Attempts();
    const name = new Name(host, context);
    return {
      probe(timeoutMs, signal) {
        return attemptByName(attempts, name, timeoutMs, signal, (address, finish) => {
          const sinceMs = systemClock.nowMs();
          const socket = connect({ host: address, port, ...(context.localAddress === undefined ? {} : { localAddress: context.localAddress }) });
          socket.once('connect', () => { finish(succeeded(sinceMs)); });
          // Stays on: an error after the end is nobody's.
          socket.on('error', (error) => { finish(failed(phraseOf(error))); });
          return () => { socket.destroy(); };
        });
      },
      close() { attempts.close(); },
    };
  },
};

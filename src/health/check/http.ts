/**
 * A GET by Node's own client, with TLS and names as they are in life: SNI, Host and the certificate go by the URL, or by the host the server is to
 * be asked as; the connection to the address the URL's name resolves to, over the same way. Redirects are answers like any other and are not followed: what is checked is this server.
 */
import { request as requestPlain } from 'node:http';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { request as requestTls } from 'node:https';
import { isIP } from 'node:net';
import { systemClock } from '../../base/clock.js';
import { Attempts, failed, succeeded } from './attempt.js';
import type { Finish } from './attempt.js';
import type { CheckContext, CheckType, ProbePlanOf } from './check.js';
import { attemptByName, Name } from './names.js';
import { phraseOf } from './reason.js';

/** Of a body only so much is read. */
export const BODY_LIMIT_BYTES = 65_536;

const ports: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

export const http: CheckType<'http'> = {
  kind: 'http',
  sentence: 'Gets a URL by HTTP or HTTPS; good is a status within `status` and, if `body` is given, that text within the first 64 KiB of the body. Redirects are not followed.',
  create(plan, context) {
    const attempts = new Attempts();
    const url = new URL(plan.url);
    // A URL writes an IPv6 address in brackets.
    const name = new Name(url.hostname.replaceAll(/^\[|\]$/g, ''), context);
    return {
      probe(timeoutMs, signal) {
        return attemptByName(attempts, name, timeoutMs, signal, (address, finish) => {
          const sinceMs = systemClock.nowMs();
          const request = get(url, name.host, address, plan, context);
          request.once('response', (response) => { judge(response, plan, sinceMs, finish); });
          // Stays on: an error after the end is nobody's.
          request.on('error', (error) => { finish(failed(phraseOf(error))); });
          request.once('close', () => { finish(failed('connection closed')); });
          request.end();
          return () => { request.destroy(); };
        });
      },
      close() { attempts.close(); },
    };
  },
};

function get(url: URL, host: string, address: string, plan: ProbePlanOf<'http'>, context: CheckContext): ClientRequest {
  const isTls = url.protocol === 'https:';
  const options = {
    host: address, port: url.port === '' ? ports[url.protocol] : Number(url.port), path: `${url.pathname}${url.search}`, method: 'GET',
    // One connection for one probe: a kept one would say that the path was there once.
    agent: false as const,
    headers: { Host: plan.host ?? url.host, 'User-Agent': 'weir', Accept: '*/*', Connection: 'close' },
    ...(url.username === '' ? {} : { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` }),
    ...(context.localAddress === undefined ? {} : { localAddress: context.localAddress }),
  };
  // RFC 6066 §3: SNI bears names only. The certificate is held against the name, or against the address where there is no name.
  const name = plan.host ?? host;
  return isTls ? requestTls({ ...options, servername: isIP(name) === 0 ? name : '', rejectUnauthorized: plan.verify }) : requestPlain(options);
}

function judge(response: IncomingMessage, plan: ProbePlanOf<'http'>, sinceMs: number, finish: Finish): void {
  const status = response.statusCode ?? 0;
  const good = succeeded(sinceMs);
  if (!plan.status.some(({ first, last }) => status >= first && status <= last)) {
    finish(failed(`status ${status}`, good.latencyMs));
    return;
  }
  if (plan.body === undefined) {
    finish(good);
    return;
  }
  const wanted = Buffer.from(plan.body);
  let readBytes = 0;
  /** The end of what was read, shorter than the text: it may begin there. */
  let tail: Buffer = Buffer.alloc(0);
  response.on('data', (chunk: Buffer) => {
    const part = Buffer.concat([tail, chunk.subarray(0, BODY_LIMIT_BYTES - readBytes)]);
    readBytes += chunk.length;
    if (part.includes(wanted)) finish(good);
    else if (readBytes >= BODY_LIMIT_BYTES) finish(failed(`no '${plan.body}' in the first ${BODY_LIMIT_BYTES} bytes of the body`, good.latencyMs));
    else tail = part.subarray(Math.max(0, part.length - (wanted.length - 1)));
  });
  response.once('end', () => { finish(failed(`no '${plan.body}' in the body`, good.latencyMs)); });
  response.on('error', (error) => { finish(failed(phraseOf(error), good.latencyMs)); });
}

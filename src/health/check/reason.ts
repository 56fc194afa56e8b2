/** Why something failed, in a few words people use, out of the errors of the system, of TLS and of the resolver. */

/** Errors of connect(2), bind(2) and execve(2), of Node's TLS and of its resolver. */
const PHRASES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection closed',
  ECONNABORTED: 'connection aborted',
  ETIMEDOUT: 'timed out',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  EHOSTDOWN: 'host down',
  ENETDOWN: 'network down',
  EADDRNOTAVAIL: 'the local address is not there',
  EADDRINUSE: 'no local port free',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files',
  ENOBUFS: 'no buffers',
  ENOMEM: 'no memory',
  EAGAIN: 'too many processes',
  EACCES: 'not permitted',
  EPERM: 'not permitted',
  ENOENT: 'no such file',
  ENOEXEC: 'not a program',
  ENOTDIR: 'no such file',
  E2BIG: 'the command line is too long',
  ENOTFOUND: 'no such name',
  ENODATA: 'the name has no address',
  ESERVFAIL: 'the server failed (SERVFAIL)',
  EREFUSED: 'the server refused to answer (REFUSED)',
  EFORMERR: 'the server found the question malformed (FORMERR)',
  ENOTIMP: 'the server does not answer such questions (NOTIMP)',
  ETIMEOUT: 'timed out',
  EBADRESP: 'a malformed answer',
  EBADNAME: 'a malformed name',
  CERT_HAS_EXPIRED: 'the certificate has expired',
  CERT_NOT_YET_VALID: 'the certificate is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'the certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'the certificate ends in a self-signed one nobody knows',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'the certificate is signed by nobody known',
  UNABLE_TO_GET_ISSUER_CERT: 'the certificate is signed by nobody known',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'the certificate is signed by nobody known',
  ERR_TLS_CERT_ALTNAME_INVALID: 'the certificate is for another name',
  HPE_INVALID_CONSTANT: 'the answer is not HTTP',
  HPE_INVALID_VERSION: 'the answer is not HTTP',
  HPE_HEADER_OVERFLOW: 'the answer has too many headers',
};

/** What OpenSSL says when it is spoken to in another language. */
const NOT_TLS: readonly string[] = ['wrong version number', 'packet length too long'];

/** Longest text of an error that has no phrase here. */
const TEXT_LIMIT = 120;

/** One phrase; an error no phrase is known for says its own first line. */
export function phraseOf(error: unknown): string {
  if (!(error instanceof Error)) return oneLine(String(error));
  const code = (error as NodeJS.ErrnoException).code;
  if (code !== undefined && PHRASES[code] !== undefined) return PHRASES[code];
  // OpenSSL's own words stand in the midst of where it was and what it is made of.
  const tls = /:SSL routines:[^:]*:([^:]+):/.exec(error.message)?.[1];
  if (tls !== undefined) return NOT_TLS.includes(tls) ? 'the answer is not TLS' : `TLS failed: ${oneLine(tls)}`;
  // Several addresses were tried: the first one's error is as good as the last one's.
  if (error instanceof AggregateError && error.errors.length > 0) return phraseOf(error.errors[0]);
  return oneLine(error.message === '' ? (code ?? error.name) : error.message);
}

/** The first line of a text, without what would disturb a terminal, cut to a length. */
export function oneLine(text: string, limit = TEXT_LIMIT): string {
  const line = (text.trim().split(/[\r\n]/, 1)[0] ?? '').replaceAll(/[^\P{C}]/gu, '?');
  return line.length > limit ? `${line.slice(0, limit - 1)}…` : line;
}

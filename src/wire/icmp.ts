/** ICMP (RFC 792). An error quotes the packet it is about; a query is answered by the type in REPLY_OF. */
import { checksum, fold, sum } from './checksum.js';

/** Type, code, checksum and the four bytes that depend on the type. */
export const ICMP_HEADER = 8;
export const ICMP_CHECKSUM_OFFSET = 2;
/** Identifier of a query, for those types that have one. */
export const ICMP_ID_OFFSET = 4;
export const ICMP_SEQUENCE_OFFSET = 6;

export const ECHO_REPLY = 0;
export const DESTINATION_UNREACHABLE = 3;
export const SOURCE_QUENCH = 4;
export const REDIRECT = 5;
export const ECHO_REQUEST = 8;
export const TIME_EXCEEDED = 11;
export const PARAMETER_PROBLEM = 12;
export const TIMESTAMP_REQUEST = 13;
export const TIMESTAMP_REPLY = 14;

export function type(view: DataView, at: number): number { return view.getUint8(at); }
export function code(view: DataView, at: number): number { return view.getUint8(at + 1); }
export function identifier(view: DataView, at: number): number { return view.getUint16(at + 4); }
export function sequence(view: DataView, at: number): number { return view.getUint16(at + 6); }

export function isError(icmpType: number): boolean {
  return icmpType === DESTINATION_UNREACHABLE || icmpType === TIME_EXCEEDED || icmpType === PARAMETER_PROBLEM
    || icmpType === SOURCE_QUENCH || icmpType === REDIRECT;
}

/** Whether the type is one of those that are asked and answered, and so open flows. */
export function isQuery(icmpType: number): boolean { return isRequest(icmpType) || isReply(icmpType); }
export function isRequest(icmpType: number): boolean { return icmpType === ECHO_REQUEST || icmpType === TIMESTAMP_REQUEST; }
export function isReply(icmpType: number): boolean { return icmpType === ECHO_REPLY || icmpType === TIMESTAMP_REPLY; }

export function checksumIsRight(view: DataView, at: number, length: number): boolean {
  return fold(sum(view, at, length)) === 0xffff;
}

/**
 * Where the quote of an error ends. RFC 4884 §4.5 gives its length in words in the sixth octet; what follows is an extension structure with a
 * checksum of its own, which is left as it is. 0, as RFC 792 has it, or more than there is: the quote goes on to the end. Senders that do not pad
 * to the 128 octets the RFC asks for are taken at their word. Nor does a quote go on beyond what the quoted header says is there.
 */
export function quoteEnd(view: DataView, at: number, end: number): number {
  const from = at + ICMP_HEADER;
  const stated = view.getUint8(at + 5) * 4;
  let quoteEndAt = stated > 0 && from + stated <= end ? from + stated : end;
  if (quoteEndAt - from >= 4) quoteEndAt = Math.min(quoteEndAt, from + view.getUint16(from + 2));
  return quoteEndAt;
}

export function writeChecksum(view: DataView, at: number, length: number): void {
  view.setUint16(at + ICMP_CHECKSUM_OFFSET, 0);
  view.setUint16(at + ICMP_CHECKSUM_OFFSET, checksum(view, at, length));
}

/**
 * Numbers and times as people read them. Only text output uses these: JSON carries plain numbers with the unit in the field's name.
 */

/** 1234567 → '1,234,567'. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=([0-9]{3})+$)/g, ',');
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'] as const;

const RATE_UNITS = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s'] as const;

/** A number in powers of 1000, three significant digits. */
function formatScaled(number: number, units: readonly string[]): string {
  let value = number;
  let unit = 0;
  // 999.5 would be rounded to a four-digit 1000.
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** '999 B', '1.50 kB', '12.3 MB'. */
export function formatBytes(bytes: number): string { return formatScaled(bytes, BYTE_UNITS); }

/** '999 bit/s', '1.50 kbit/s', '12.3 Mbit/s'. */
export function formatRate(bps: number): string { return formatScaled(bps, RATE_UNITS); }

/** A round trip: '0.83 ms', '12.4 ms', '340 ms', '1.20 s'. */
export function formatLatency(latencyMs: number): string {
  if (latencyMs >= 999.5) return `${(latencyMs / 1000).toFixed(2)} s`;
  return `${latencyMs.toFixed(latencyMs >= 99.95 ? 0 : latencyMs >= 9.995 ? 1 : 2)} ms`;
}

/** The two largest units: '850 ms', '12 s', '4m 05s', '3h 07m', '5d 03h'. A moment that lies ahead by a clock's whim counts as now. */
export function formatDuration(durationMs: number): string {
  const ms = Math.max(0, durationMs);
  if (ms < 1000) return `${Math.floor(ms)} ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const two = (value: number): string => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${two(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${two(minutes % 60)}m`;
  return `${Math.floor(hours / 24)}d ${two(hours % 24)}h`;
}

/** 0.7493 → '74.9 %'. */
export function formatShare(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** A part of a whole: '1.2 %', and 0 of nothing is '0.0 %'. */
export function formatPart(part: number, whole: number): string {
  return formatShare(whole > 0 ? part / whole : 0);
}

/** Unix time as local time: '2026-01-31 09:05:07.042'. */
export function formatTime(atMs: number): string {
  const at = new Date(atMs);
  const pad = (value: number, width = 2): string => String(value).padStart(width, '0');
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} `
    + `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${pad(at.getMilliseconds(), 3)}`;
}

/** Address and port as one word; a port of 0 is no port. IPv6 goes in brackets (RFC 3986 §3.2.2). */
export function formatEndpoint(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** 1 → '1 flow', 2 → '2 flows'. */
export function formatPlural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** The plot: nanoseconds a packet costs in the pipeline, against the number of flows, one line per size of frame. */
import type { PipelineResult } from '../micro/pipeline.js';
import { countName, sizeName } from './rows.js';

const WIDTH = 760;
const HEIGHT = 420;
const LEFT = 70;
const RIGHT = 130;
const TOP = 50;
const BOTTOM = 60;
const COLOURS = ['#0b6e99', '#c4541a', '#4d7c2f', '#7a4fa3'];

/** A round number at or above `value`, for the axis. */
function ceiling(value: number): number {
  const magnitude = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5, 10].find((step) => step * magnitude >= value) ?? 10) * magnitude;
}

/** @param caption the machine, in one line. */
export function plot(results: readonly PipelineResult[], caption: string): string {
  const flows = [...new Set(results.map((r) => r.flows))].sort((a, b) => a - b);
  const sizes = [...new Set(results.map((r) => r.frameBytes))].sort((a, b) => a - b);
  const top = ceiling(Math.max(...results.map((r) => r.nsPerPacket)));
  const [low, high] = [Math.log2(flows[0]), Math.log2(flows.at(-1)!)];
  const x = (count: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * (Math.log2(count) - low)) / Math.max(1, high - low);
  const y = (ns: number): number => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * ns) / top;
  const parts: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${LEFT}" y="20" font-size="15">What a packet costs in weir's pipeline</text>`,
    `<text x="${LEFT}" y="38" fill="#666" font-size="11">${caption.replace(/&/g, '&amp;').replace(/</g, '&lt;')}</text>`,
  ];
  for (let i = 0; i <= 5; i++) {
    const ns = (top * i) / 5;
    parts.push(`<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(ns)}" y2="${y(ns)}" stroke="#ddd"/>`, `<text x="${LEFT - 8}" y="${y(ns) + 4}" text-anchor="end">${Math.round(ns)}</text>`);
  }
  for (const count of flows) parts.push(`<text x="${x(count)}" y="${HEIGHT - BOTTOM + 20}" text-anchor="middle">${countName(count)}</text>`);
  parts.push(
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 15}" text-anchor="middle">established flows</text>`,
    `<text x="18" y="${(TOP + HEIGHT - BOTTOM) / 2}" text-anchor="middle" transform="rotate(-90 18 ${(TOP + HEIGHT - BOTTOM) / 2})">nanoseconds per packet</text>`);
  sizes.forEach((size, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const line = results.filter((r) => r.frameBytes === size).sort((a, b) => a.flows - b.flows);
    parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="2" points="${line.map((r) => `${x(r.flows).toFixed(1)},${y(r.nsPerPacket).toFixed(1)}`).join(' ')}"/>`);
    for (const r of line) parts.push(`<circle cx="${x(r.flows).toFixed(1)}" cy="${y(r.nsPerPacket).toFixed(1)}" r="3" fill="${colour}"/>`);
    parts.push(`<rect x="${WIDTH - RIGHT + 20}" y="${TOP + 10 + i * 22}" width="12" height="12" fill="${colour}"/>`, `<text x="${WIDTH - RIGHT + 38}" y="${TOP + 20 + i * 22}">${sizeName(size)}</text>`);
  });
  return `${parts.join('\n')}\n</svg>\n`;
}

/** Shared by the configuration's tests: texts in, lines out. */
import { ConfigErrors, formatConfigError, formatConfigWarning } from '../../../src/base/error.js';
import type { Plan } from '../../../src/base/plan.js';
import { compileConfig } from '../../../src/control/config/load.js';

export interface Outcome { plan: Plan | undefined; errors: string[]; warnings: string[] }

/** The outcome of texts given in order as weir.yaml, 1.yaml, 2.yaml, … Anything thrown but ConfigErrors passes through and fails the test. */
export function compile(...texts: string[]): Outcome {
  const sources = texts.map((text, index) => ({ file: index === 0 ? 'weir.yaml' : `${index}.yaml`, text }));
  try {
    const { plan, warnings } = compileConfig(sources, { generation: 7, seed: 42 });
    return { plan, errors: [], warnings: warnings.map(formatConfigWarning) };
  } catch (error) {
    if (!(error instanceof ConfigErrors)) throw error;
    return { plan: undefined, errors: error.errors.map(formatConfigError), warnings: error.warnings.map(formatConfigWarning) };
  }
}

/** A configuration with one of everything, without errors and without warnings. */
export const WHOLE = `links:
  lan: { type: tap, device: weir-lan, addresses: [10.0.1.1/24] }
  wan: { type: raw, device: eth1, addresses: [203.0.113.2/24] }
  host: { type: tun, device: weir0, addresses: [100.64.0.1/30], peer: 100.64.0.2, defaultRoute: true }
routes:
  default: { to: 0.0.0.0/0, group: internet }
uplinks:
  isp: { link: wan, gateway: 203.0.113.1 }
groups:
  internet: { uplinks: [isp] }
`;

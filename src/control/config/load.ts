/**
 * The configuration as the rest of weir asks for it: a file's name goes in, a plan and warnings come out, or one
 * ConfigErrors with every mistake. Reads FILE, then FILE.d/*.yaml in the order of their bytes.
 */
import { randomInt } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigErrors, isSystemError, type ConfigWarning } from '../../base/error.js';
import type { Plan } from '../../base/plan.js';
import { crossCheck } from './cross-check.js';
import { Findings, type Place } from './findings.js';
import { parseSources, type Source } from './parse.js';
import { makePlan, type PlanOptions } from './plan.js';
import { checkReach } from './reach-check.js';
import { Secrets } from './secret.js';
import { checkRecordNames } from './share-check.js';
import { validate } from './validate.js';

export interface LoadedConfig {
  plan: Plan;
  warnings: ConfigWarning[];
}

/** A configuration of ten thousand links is a tenth of this. */
const FILE_BYTES_MAX = 16 * 1024 * 1024;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file',
  EACCES: 'a file that may not be read',
  EPERM: 'a file that may not be read',
  EISDIR: 'a directory',
  ENOTDIR: 'a path that leads through something that is not a directory',
  ELOOP: 'symbolic links that lead in a circle',
};

function reason(error: unknown): string {
  if (!isSystemError(error)) throw error;
  return `${REASONS[error.code] ?? 'a file that cannot be read'} (${error.code})`;
}

function whole(file: string, fileIndex: number): Place {
  return { file, fileIndex, line: 0, column: 0 };
}

function readSource(file: string, fileIndex: number, findings: Findings): Source {
  try {
    const bytes = readFileSync(file);
    if (bytes.length > FILE_BYTES_MAX) {
      findings.error(whole(file, fileIndex), [], `${bytes.length} bytes`, `at most ${FILE_BYTES_MAX} bytes`);
    } else {
      return { file, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
    }
  } catch (error) {
    if (error instanceof TypeError && 'code' in error && error.code === 'ERR_ENCODING_INVALID_ENCODED_DATA') {
      findings.error(whole(file, fileIndex), [], 'bytes that are not UTF-8', 'YAML in UTF-8');
    } else {
      findings.error(whole(file, fileIndex), [], reason(error), 'a YAML file that can be read');
    }
  }
  return { file, text: undefined };
}

/** The drop-ins beside a file, in order. Hidden files are editors' leftovers; any other name that is not read is told. */
function dropIns(file: string, findings: Findings): string[] {
  const directory = `${file}.d`;
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if (isSystemError(error) && error.code === 'ENOENT') return [];
    const found = isSystemError(error) && error.code === 'ENOTDIR' ? 'a file' : reason(error).replace('a file', 'a directory');
    findings.error(whole(directory, 1), [], found, 'a directory of drop-ins, *.yaml');
    return [];
  }
  const visible = names.filter((name) => !name.startsWith('.'));
  visible.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const yaml = visible.filter((name) => name.endsWith('.yaml'));
  for (const name of visible) {
    if (!yaml.includes(name)) findings.warning(whole(join(directory, name), yaml.length + 1), [], 'not read: only *.yaml is');
  }
  return yaml.map((name) => join(directory, name));
}

/** Texts to plan; of the disk only files of passwords are read. The first is the main file, the others its drop-ins in order. */
export function compileConfig(sources: readonly Source[], options: PlanOptions, findings: Findings = new Findings()): LoadedConfig {
  const incomplete = findings.failed;
  const tree = parseSources(sources, findings);
  // With a drop-in directory that could not be read, the same holds as for a file: what refers to it would look wrong.
  if (tree !== undefined && !incomplete) {
    const values = validate(tree, findings);
    const secrets = new Secrets();
    crossCheck(values, secrets, findings);
    if (!findings.failed) {
      const plan = makePlan(values, secrets, options);
      checkReach(values, plan, findings);
      checkRecordNames(values, plan, findings);
      if (!findings.failed) return { plan, warnings: findings.warnings() };
    }
  }
  throw new ConfigErrors(findings.errors(), findings.warnings());
}

function readSources(file: string, findings: Findings): Source[] {
  return [file, ...dropIns(file, findings)].map((name, index) => readSource(name, index, findings));
}

/** The files of a configuration, in order, unread. Throws ConfigErrors when one of them cannot be had. */
export function readConfig(file: string): Source[] {
  const findings = new Findings();
  const sources = readSources(file, findings);
  if (findings.failed) throw new ConfigErrors(findings.errors(), findings.warnings());
  return sources;
}

/** Read, check and plan. Throws ConfigErrors and nothing else for whatever is wrong with the files. */
export function loadConfig(file: string, options: Partial<PlanOptions> = {}): LoadedConfig {
  const findings = new Findings();
  const sources = readSources(file, findings);
  return compileConfig(sources, { generation: options.generation ?? 1, seed: options.seed ?? randomInt(2 ** 32) }, findings);
}

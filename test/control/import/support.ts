/** Shared by the imports' tests: a foreign file in, its golden result beside it. */
import { readFileSync, writeFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import { ConfigErrors, formatConfigError } from '../../../src/base/error.js';
import { formatRemark, importText, type Format, type ImportOptions } from '../../../src/control/import/index.js';
import { Notes } from '../../../src/control/import/imported.js';
import { importKeepalived } from '../../../src/control/import/keepalived.js';
import { writeYaml } from '../../../src/control/import/yaml.js';
import { compile } from '../config/support.js';

export interface Result { yaml: string; remarks: string[]; errors: string[] }

/** Import a text called `name`. What is printed has to be sound, so that is seen to here, once for all tests. */
export function run(format: Format, name: string, text: string, options: Partial<ImportOptions> = {}): Result {
  try {
    const { yaml, remarks } = importText(format, name, text, { links: [], ...options });
    assert.equal(compile(...(options.into ?? []).map((source) => source.text!), yaml).errors, [], `of ${JSON.stringify(text)}:\n${yaml}`);
    return { yaml, remarks: remarks.map(formatRemark), errors: [] };
  } catch (error) {
    if (!(error instanceof ConfigErrors)) throw error;
    return { yaml: '', remarks: [], errors: error.errors.map(formatConfigError) };
  }
}

/** What an import makes of a text before the configuration's own checks see it, in one text with its remarks and mistakes. Hundreds of these take a moment. */
export function draft(text: string): { all: string; remarks: string[] } {
  const notes = new Notes('c');
  const { head, sections } = importKeepalived(text, notes, { links: [] }, 'c');
  const remarks = notes.remarks().map(formatRemark);
  return { all: [writeYaml('c', head, sections), ...remarks, notes.errorCount].join('\n'), remarks };
}

export function file(name: string): string {
  return readFileSync(new URL(name, import.meta.url), 'utf8');
}

/** Compare the result of the file NAME with golden/RESULT.txt: remarks, then the configuration. With UPDATE_GOLDEN=1 in the environment write it instead. */
export function golden(format: Format, name: string, result: string, options: Partial<ImportOptions> = {}): void {
  const { yaml, remarks, errors } = run(format, name, file(name), options);
  assert.equal(errors, []);
  const text = `${remarks.map((line) => `${line}\n`).join('')}---\n${yaml}`;
  const place = new URL(`golden/${result}.txt`, import.meta.url);
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(place, text);
  assert.fixture(text, readFileSync(place, 'utf8'), result);
}

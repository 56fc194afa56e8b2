/**
 * Other balancers' configurations turned into weir's: everything else in this folder is how. What is made of a file is read by the configuration's
 * own checks before anybody sees it; a server, virtual router or route they refuse is left out and told, and what they refuse otherwise is an error.
 */
import { ConfigErrors, type ConfigError } from '../../base/error.js';
import { compileConfig } from '../config/load.js';
import { importBng } from './bng.js';
import { NOWHERE, Notes, type Draft, type ImportOptions, type Imported } from './imported.js';
import { importIpvsadm } from './ipvsadm.js';
import { importKeepalived } from './keepalived.js';
import { isEntries, writeYaml, type Entry } from './yaml.js';

export { formatRemark, type ImportOptions, type Imported, type LinkOption, type MarkOption, type Remark } from './imported.js';

/** What can be read, by the names the command line has for them. */
export const FORMATS = ['ipvsadm', 'keepalived', 'bng'] as const;
export type Format = (typeof FORMATS)[number];

const IMPORTERS: Readonly<Record<Format, (text: string, notes: Notes, options: ImportOptions, file: string) => Draft>> = {
  ipvsadm: importIpvsadm, keepalived: importKeepalived, bng: importBng,
};
const HOLDS: Readonly<Record<Format, string>> = { ipvsadm: 'what ipvsadm -Sn prints has', keepalived: 'what a keepalived.conf has', bng: 'what a bng.conf has' };
/** What is left out, and told, when the configuration's own checks refuse it. Nothing else depends on these. */
const SPARED: readonly string[] = ['virtualServers', 'vrrp', 'routes'];

/** No file can be called so, nor can a drop-in. */
const RESULT = '\0result';

/** The entry an error's path leads to, as deep as entries with a place go, with the list it stands in. */
function entryAt(sections: Entry[], path: string): { list: Entry[]; entry: Entry; source: NonNullable<Entry['source']> } | undefined {
  let list = sections;
  let found: ReturnType<typeof entryAt>;
  for (const step of path.split('.')) {
    const entry = list.find(({ key }) => key === step.replace(/\[\d+\]$/, ''));
    if (entry === undefined) break;
    if (entry.source !== undefined) found = { list, entry, source: entry.source };
    if (!isEntries(entry.value)) break;
    list = entry.value as Entry[];
  }
  return found;
}

/** The same mistake, at the place in the foreign file that it comes from. */
function moved(error: ConfigError, file: string, sections: Entry[]): ConfigError {
  if (error.file !== RESULT) return error;
  const { line, column, file: own = file } = entryAt(sections, error.path)?.source ?? { line: 0, column: 0 };
  return { ...error, file: own, line, column };
}

/** Turn `text`, read from `file`, into a configuration. Throws ConfigErrors with every mistake when it is not what it should be. */
export function importText(format: Format, file: string, text: string, options: ImportOptions): Imported {
  const notes = new Notes(file);
  const { into = [] } = options;
  const { head, sections } = IMPORTERS[format](text, notes, options, file);
  if (text.trim() === '') notes.error(NOWHERE, 'nothing', HOLDS[format]);
  notes.check();
  for (;;) {
    const yaml = writeYaml(file, head, sections);
    try {
      compileConfig([...into, { file: RESULT, text: yaml }], { generation: 1, seed: 0 });
      return { yaml, remarks: notes.remarks() };
    } catch (error) {
      if (!(error instanceof ConfigErrors)) throw error;
      const refused = error.errors.map((one) => ({ one, ...(one.file === RESULT && SPARED.includes(one.path.split('.')[0]) ? entryAt(sections, one.path) : undefined) }));
      for (const { one, list, entry, source } of refused) {
        if (list === undefined || entry === undefined || source === undefined) throw new ConfigErrors(error.errors.map((each) => moved(each, file, sections)), []);
        const index = list.indexOf(entry);
        if (index >= 0) list.splice(index, 1);
        // Nothing but an empty list is wrong with the whole of them, and what they were has been told.
        notes.leftOut(source, source.what, one.path.endsWith('.realServers') ? 'it has no real server left' : `it would be ${one.path}: found ${one.found}, allowed: ${one.allowed}`);
      }
    }
  }
}

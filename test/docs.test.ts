/**
 * The documents: what is made from the code is up to date, the heads of the stages tell the truth, links lead somewhere, commands exist, the
 * first configuration is one, and the examples of extending.md compile and pass their tests in a copy of the tree.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rows } from '../scripts/generate-config-docs.js';
import { head, packetPathDocs, PACKET_PATH, receivePath, referredTo, verdictNames } from '../scripts/generate-docs.js';
import { scenarios } from '../netns/registry.js';
import { SCHEDULER_DOCS, schedulerDocs } from '../scripts/generate-scheduler-docs.js';
import { SCHEDULERS } from '../src/balance/scheduler/registry.js';
import { VERDICTS } from '../src/base/verdict.js';
import { commands } from '../src/cli/registry.js';
import { loadConfig } from '../src/control/config/index.js';
import { SCHEMA } from '../src/control/config/schema.js';
import type { Key, Section } from '../src/control/config/schema.js';
import { KINDS, STATEMENTS, WHOLE } from '../src/control/import/bng-parse.js';
import { OPTIONS } from '../src/control/import/ipvsadm.js';
import { NEEDED_COMMANDS } from '../src/share/scripts.js';
import { LOADER } from './support/loader.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Every document of the repository. */
const DOCUMENTS = [
  'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'src/README.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
];
const STAGES = receivePath().map((step) => step.name);

/** A document without its blocks of code, where a line that looks like Markdown is not. */
const prose = (text: string): string => text.replaceAll(/^```[\s\S]*?^```$/gm, '');

/** Code without comments. */
const code = (path: string): string => read(path).replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '');

/** Runs something with a directory that is gone afterwards. */
function withDirectory<T>(use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), 'weir-docs-'));
  const remove = (): void => rmSync(directory, { recursive: true, force: true });
  process.on('exit', remove);
  try {
    return use(directory);
  } finally {
    remove();
    process.off('exit', remove);
  }
}

test(`${PACKET_PATH} is what the code says: npx tsx scripts/generate-docs.ts writes it`, () => {
  const here = read(PACKET_PATH), made = packetPathDocs(here);
  const wanted = made.split('\n');
  // The first lines that differ say enough; the whole of it is long.
  assert.equal(here.split('\n').filter((line, i) => line !== wanted[i]).slice(0, 3), []);
  assert.is(here, made);
});

test(`${SCHEDULER_DOCS} is what the schedulers say and measure: npx tsx scripts/generate-scheduler-docs.ts writes it`, () => {
  const here = read(SCHEDULER_DOCS);
  assert.is(here, schedulerDocs(here));
});

test(`${SCHEDULER_DOCS} has a law of shares for every scheduler`, () => {
  const [, laws] = /^## Laws of shares\n([\s\S]*?)^## /m.exec(read(SCHEDULER_DOCS)) ?? [];
  assert.ok(laws !== undefined);
  for (const { name } of SCHEDULERS) assert.ok(new RegExp(`^\\|[^|]*\`${name}\``, 'm').test(laws), name);
});

test('docs/sharing.md gives a user of Redis what its tests run with', () => {
  const [rules] = /^ACL SETUSER .*$/m.exec(read('docs/sharing.md')) ?? [''];
  assert.equal([...rules.matchAll(/ \+(\S+)/g)].map(([, command]) => command), NEEDED_COMMANDS);
});

test('every stage of the path has its section, in the order of the path, and its file', () => {
  const sections = [...read(PACKET_PATH).matchAll(/^## (\w+)\n\n<!-- begin stage (\w+) -->$/gm)];
  assert.equal(sections.map(([, heading]) => heading), STAGES);
  assert.equal(sections.map(([, , made]) => made), STAGES);
  for (const name of STAGES) assert.ok(existsSync(join(ROOT, `src/stage/${name}.ts`)), name);
});

test('the head of every stage has its form: what it reads, writes and drops with', () => {
  for (const name of STAGES) {
    const { drops, reads, writes } = head(name);
    assert.ok(drops !== null && reads !== null && writes !== null, `src/stage/${name}.ts: "Reads: … . Writes: … . Drops: … ." was not found`);
    assert.ok(read(`src/stage/${name}.ts`).startsWith(`/**\n * ${name} — `), `src/stage/${name}.ts does not open with its name`);
  }
});

test('every verdict a head names exists', () => {
  const known = new Set<string>(VERDICTS.map((row) => row.name));
  const unknown = STAGES.flatMap((name) => [...head(name).dropNames, ...verdictNames(head(name).stopsWith ?? '')].filter((verdict) => !known.has(verdict)).map((verdict) => `${name}: ${verdict}`));
  assert.equal(unknown, []);
});

test('every drop is named by the head of some stage', () => {
  const named = new Set(STAGES.flatMap((name) => head(name).dropNames));
  assert.equal(VERDICTS.filter((row) => row.kind === 'drop' && !named.has(row.name)).map((row) => row.name), []);
});

const DROPS = new Set<string>(VERDICTS.filter((row) => row.kind === 'drop').map((row) => row.name));
const STAGE_FILES = STAGES.map((name) => `src/stage/${name}.ts`);

/** Drops a file's code can give. */
const dropsOf = (file: string): string[] => [...code(file).matchAll(/\bV\.([A-Z0-9_]+)\b/g)].map(([, verdict]) => verdict).filter((verdict) => DROPS.has(verdict));

/** Files a file imports code from, other stages left out: a stage does not call another one. */
function importsOf(file: string): string[] {
  return [...code(file).matchAll(/^import (?!type\b)[^;]*? from '(\.[^']+)\.js';$/gm)]
    .map(([, path]) => relative(ROOT, join(ROOT, dirname(file), `${path}.ts`)))
    .filter((path) => /^src\/(?:stage|table|alg)\//.test(path) && !STAGE_FILES.includes(path) && path !== 'src/stage/router.ts');
}

/** Everything a stage's file uses, whatever the number of steps to it. */
function helpersOf(file: string, seen = new Set<string>()): Set<string> {
  for (const path of importsOf(file)) {
    if (seen.has(path)) continue;
    seen.add(path);
    helpersOf(path, seen);
  }
  // A route's refusal is put into the route when the plan is read; fates are met through the router, which has the sweep as well.
  if (file === 'src/stage/route.ts') for (const path of ['src/table/route.ts', 'src/stage/fate.ts']) seen.add(path);
  // The election is known to `ingress` by its contract alone.
  if (file === 'src/stage/ingress.ts') seen.add('src/vrrp/virtual-routers.ts');
  return seen;
}

for (const name of STAGES) {
  test(`the head of ${name} names the drops its code gives, and no others`, () => {
    const named = head(name).dropNames;
    const own = [`src/stage/${name}.ts`, ...referredTo(name).map((other) => `src/stage/${other}.ts`)].flatMap(dropsOf);
    const possible = [...own, ...[...helpersOf(`src/stage/${name}.ts`)].flatMap(dropsOf)];
    assert.equal(
      { missing: own.filter((verdict) => !named.includes(verdict)), 'never given': named.filter((verdict) => !possible.includes(verdict)) },
      { missing: [], 'never given': [] },
    );
  });
}

test('what a helper of stages can drop with is named by a stage that uses it', () => {
  const missing: string[] = [];
  for (const helper of new Set(STAGE_FILES.flatMap((file) => [...helpersOf(file)]))) {
    const users = STAGES.filter((name) => helpersOf(`src/stage/${name}.ts`).has(helper));
    for (const verdict of dropsOf(helper)) if (!users.some((name) => head(name).dropNames.includes(verdict))) missing.push(`${helper}: ${verdict}, used by ${users.join(', ')}`);
  }
  assert.equal(missing, []);
});

/** What a link can lead to within a document: its headings, as they are turned into anchors, and the anchors set by hand. */
function anchors(path: string): string[] {
  const text = prose(read(path));
  return [
    ...[...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-')),
    ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id),
  ];
}

test('every link between documents leads to a file that exists, and to an anchor in it', () => {
  const broken: string[] = [];
  for (const path of DOCUMENTS) {
    for (const [, target] of prose(read(path)).matchAll(/\]\(([^()\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [file, anchor] = target.split('#');
      const to = file === '' ? path : relative(ROOT, join(ROOT, dirname(path), file));
      if (!existsSync(join(ROOT, to))) broken.push(`${path}: ${target}`);
      else if (anchor !== undefined && !anchors(to).includes(anchor)) broken.push(`${path}: ${target}: no such anchor`);
    }
  }
  assert.equal(broken, []);
});

test('no document has two anchors of one name', () => {
  for (const path of DOCUMENTS.filter((name) => name !== 'CHANGELOG.md')) {
    const all = anchors(path);
    assert.equal(all.filter((anchor, i) => all.indexOf(anchor) !== i), [], path);
  }
});

test('every file a document names in code type exists', () => {
  const missing: string[] = [];
  for (const path of DOCUMENTS) {
    for (const [, name] of prose(read(path)).matchAll(/`((?:src|test|netns|native|conf|scripts|bench|docs|bin)\/[\w./-]+)`/g)) {
      if (!/NAME|FILE/.test(name) && !existsSync(join(ROOT, name)) && name !== 'bench/out/bench.json' && name !== 'bench/out/pipeline.svg') missing.push(`${path}: ${name}`);
    }
  }
  assert.equal(missing, []);
});

test('every npm script and every command of weir that a document names exists', () => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const unknown: string[] = [];
  for (const path of DOCUMENTS) {
    const text = read(path);
    for (const [, name] of text.matchAll(/\bnpm run ([\w-]+)/g)) if (scripts[name] === undefined) unknown.push(`${path}: npm run ${name}`);
    for (const [, name] of text.matchAll(/(?:`|\$ |bin\/)weir ([a-z]+)/g)) if (!commands.some((command) => command.name === name)) unknown.push(`${path}: weir ${name}`);
  }
  assert.equal(unknown, []);
  const readme = read('README.md');
  for (const { name } of commands) assert.ok(new RegExp(`\\b(?:weir )?${name}\\b`).test(readme), `README.md does not name ${name}`);
});

test('every scenario of the lab is told of in README.md and in operating.md, with a configuration that is there', () => {
  const readme = read('README.md');
  const [, section] = /^## Scenarios\n([\s\S]*)/m.exec(read('docs/operating.md')) ?? [];
  assert.ok(section !== undefined);
  const rows = [...section.matchAll(/^\| `([a-z-]+)` \|.*\(\.\.\/(conf\/[a-z-]+\.yaml)\)/gm)].map(([, name, file]) => ({ name, file }));
  assert.equal(rows.map(({ name }) => name), scenarios.map(({ name }) => name));
  for (const { name, file } of rows) {
    assert.ok(readme.includes(`| \`${name}\` |`), `README.md does not list the lab ${name}`);
    assert.equal(loadConfig(join(ROOT, file), { seed: 1 }).warnings, [], file);
  }
});

test('the first configuration in README.md is one, without errors and without warnings', () => {
  const yaml = /^```yaml\n([\s\S]*?)^```$/m.exec(read('README.md'))?.[1];
  assert.ok(yaml !== undefined);
  withDirectory((directory) => {
    const file = join(directory, 'weir.yaml');
    writeFileSync(file, yaml);
    const { plan, warnings } = loadConfig(file, { seed: 1 });
    assert.equal(warnings, []);
    assert.equal(plan.uplinks.map(({ name, weight, snat }) => [name, weight, ...snat]), [['isp1', 3, '203.0.113.2'], ['isp2', 1, '198.51.100.2']]);
    const counts = `${plan.links.length} links, ${plan.uplinks.length} uplinks, 1 group, 1 route`;
    assert.ok(read('README.md').includes(`weir.yaml: sound: ${counts}`), counts);
  });
});

/** Every key of a section by its path, as docs/config.md has it: 'links.NAME.addresses'. */
function keyPaths(): Map<string, Key> {
  return new Map((Object.entries(SCHEMA) as [string, Section<unknown>][]).flatMap(([name, section]) =>
    (Object.entries(section.keys) as [string, Key][]).flatMap(([key, schema]) => rows(`${name}.${section.named ? 'NAME.' : ''}${key}`, schema))));
}

test('coming-from.md: every key it names exists, with a value that is allowed', () => {
  const keys = keyPaths();
  const wrong: string[] = [];
  let found = 0;
  for (const [, row] of read('docs/coming-from.md').matchAll(/^\| .* \| (.*) \|$/gm)) {
    for (const [, text] of row.matchAll(/`([^`]+)`/g)) {
      if (/^(?:weir |-)/.test(text)) continue;
      const [path, value] = text.split(': ');
      const inServer = `virtualServers.NAME.${path}`;
      // A section, the name of a thing, or a key.
      if (path in SCHEMA || (path.endsWith('.NAME') && [...keys.keys()].some((key) => key.startsWith(`${inServer}.`)))) continue;
      const key = keys.get(inServer) ?? keys.get(path);
      found++;
      if (key === undefined) wrong.push(`${text}: no such key`);
      else if (value !== undefined && key.choices !== undefined && !key.choices.includes(value)) wrong.push(`${text}: allowed are ${key.choices.join(', ')}`);
      else if (value !== undefined && key.format === 'boolean' && !['true', 'false'].includes(value)) wrong.push(`${text}: true or false`);
    }
  }
  assert.equal(wrong, []);
  assert.ok(found > 80, `only ${found} keys were found`);
});

/** Words of keepalived.conf(5) by the heading of coming-from.md under which they stand: all of its blocks but global_defs. */
const KEEPALIVED: Readonly<Record<string, string>> = {
  virtual_server: `ip_family delay_loop lvs_sched lb_algo hashed flag-1 flag-2 flag-3 sh-port sh-fallback mh-port mh-fallback ops lvs_method lb_kind persistence_engine
    persistence_timeout persistence_granularity ha_suspend smtp_alert virtualhost snmp_name alpha omega quorum hysteresis quorum_up quorum_down sorry_server
    sorry_server_inhibit sorry_server_lvs_method retry delay_before_retry warmup inhibit_on_failure log_all_failures lvs_timeouts lvs_sync_daemon lvs_flush
    virtual_server_group SSL include`,
  real_server: 'weight uthreshold lthreshold notify_up notify_down',
  Checkers: `TCP_CHECK HTTP_GET SSL_GET SMTP_CHECK DNS_CHECK MISC_CHECK BFD_CHECK UDP_CHECK PING_CHECK FILE_CHECK connect_ip connect_port bindto bind_if bind_port fwmark
    connect_timeout url path digest status_code regex regex_no_match regex_options regex_stack regex_min_offset regex_max_offset fast_recovery enable_sni http_protocol
    helo_name type name misc_path misc_timeout misc_dynamic user payload require_reply min_reply_length max_reply_length dynamic`,
  vrrp_instance: `state interface vrf use_vmac use_vmac_addr vmac_xmit_base use_ipvlan native_ipv6 dont_track_primary track_interface track_script track_file track_process track_bfd
    mcast_src_ip unicast_src_ip mcast_dst_ip track_src_ip version check_unicast_src unicast_peer min_ttl max_ttl unicast_fault_no_peer unicast_ttl old_unicast_checksum
    garp_master_delay garp_master_repeat garp_lower_prio_delay garp_lower_prio_repeat garp_master_refresh garp_master_refresh_repeat garp_extra_if down_timer_adverts
    lower_prio_no_advert higher_prio_send_advert virtual_router_id priority advert_int authentication virtual_ipaddress virtual_ipaddress_excluded promote_secondaries
    virtual_routes virtual_rules accept no_accept nopreempt preempt preempt_delay skip_check_adv_addr strict_mode debug notify_master notify_backup notify_fault notify_stop
    notify notify_master_rx_lower_pri notify_deleted notify_priority_changes kernel_rx_buf_size linkbeat_use_polling vrrp_sync_group group global_tracking
    sync_group_tracking_weight vrrp_script script interval timeout rise fall init_fail weight reverse garp_group garp_interval gna_interval interface_up_down_delays`,
};

test('coming-from.md names every word of keepalived.conf', () => {
  const text = read('docs/coming-from.md');
  const missing = Object.entries(KEEPALIVED).flatMap(([title, words]) => {
    const [, chapter] = new RegExp(`^### ${title}$([\\s\\S]*?)^##`, 'm').exec(text)!;
    return words.split(/\s+/).filter((word) => !new RegExp(`\`${word.replaceAll('-', '\\-')}[\` ]`).test(chapter)).map((word) => `${title}: ${word}`);
  });
  assert.equal(missing, []);
});

test('coming-from.md names every option of ipvsadm and every word of a bng.conf', () => {
  const text = read('docs/coming-from.md');
  const chapter = (title: string, level: string): string => new RegExp(`^${level} ${title}$([\\s\\S]*?)(?=^#{2,${level.length}} |(?![\\s\\S]))`, 'm').exec(text)![1];
  const named = (where: string, word: string): boolean => new RegExp(`(?:\`|\\s)${word.replaceAll('-', '\\-')}(?:\`| |,)`).test(where);
  const missing: string[] = [];
  const ipvsadm = chapter('ipvsadm', '##');
  for (const [letter, name] of OPTIONS) for (const option of [...(letter === '' ? [] : [`-${letter}`]), `--${name}`]) if (!named(ipvsadm, option)) missing.push(`ipvsadm ${option}`);
  for (const kind of KINDS) for (const word of Object.keys(STATEMENTS[kind])) if (!named(chapter(kind, '###'), word)) missing.push(`${kind} ${word}`);
  for (const word of Object.keys(WHOLE)) if (!named(chapter('The whole', '###'), word)) missing.push(word);
  assert.equal(missing, []);
});

test('README.md names as absent what the configuration refuses as not there yet', () => {
  const words: Record<string, RegExp> = {
    web: /dashboard\.\*\*/,
  };
  const [, absent] = /^## Not supported \(yet\)\n([\s\S]*?)^## /m.exec(read('README.md')) ?? [];
  assert.ok(absent !== undefined);
  const sections = Object.values(SCHEMA) as Section<unknown>[];
  for (const key of sections.flatMap((section) => section.later)) {
    assert.ok(words[key] !== undefined, `${key} is refused as not there yet: README.md and this test do not know of it`);
    assert.match(absent, words[key]);
  }
  // The other way round: what is there now must not be listed as absent.
  for (const key of Object.keys(words)) {
    assert.ok(sections.some((section) => section.later.includes(key)), `${key} is there: README.md lists it as absent`);
  }
});

test('CHANGELOG.md has the version of package.json', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  assert.match(read('CHANGELOG.md'), new RegExp(`^## \\[${version.replaceAll('.', '\\.')}\\]`, 'm'));
});

test('the words of the glossary are in order, each once, each with one sentence', () => {
  const rows = [...read('docs/glossary.md').matchAll(/^\| (.+?) \| (.+) \|$/gm)].slice(1);
  const words = rows.map(([, word]) => word);
  assert.equal(words, [...new Set(words)].sort((a, b) => a.toLowerCase().localeCompare(b.toLowerCase(), 'en')));
  const known = words.flatMap((word) => word.split(', ')).map((word) => word.toLowerCase());
  for (const [, word, meaning] of rows) {
    assert.match(meaning, /^\*?[A-Z].*\.$/, word);
    for (const [, reference] of meaning.matchAll(/\*([^*]+)\*/g)) assert.ok(known.includes(reference.toLowerCase().replace(/s$/, '')) || known.includes(reference.toLowerCase()), `${word}: *${reference}* has no entry`);
  }
});

/** The steps of extending.md: whole files, changes to files, and the tests to run after them. */
type Step = { kind: 'file' | 'change'; path: string; text: string } | { kind: 'run'; tests: string[] };

function steps(text: string): Step[] {
  return [...text.matchAll(/^<!-- (file|change|run) (.+) -->\n```\w*\n([\s\S]*?)^```$/gm)].map(([, kind, what, body]): Step =>
    kind === 'run' ? { kind, tests: what.split(' ') } : { kind: kind as 'file' | 'change', path: what, text: body });
}

/** A file with a change made to it: the lines with "-" and " " must stand in it, once; those with "+" and " " take their place. */
function changed(text: string, diff: string, path: string): string {
  const lines = diff.split('\n').slice(0, -1);
  const pick = (marks: string): string => `${lines.filter((line) => marks.includes(line.charAt(0))).map((line) => line.slice(1)).join('\n')}\n`;
  const [before, after] = [pick(' -'), pick(' +')];
  assert.is(text.split(before).length, 2, `${path} does not hold, or holds more than once:\n${before}`);
  return text.replace(before, () => after);
}

test('extending.md: its examples compile and pass their tests in a copy of the tree', () => withDirectory((copy) => {
  for (const name of ['src', 'test', 'netns', 'scripts', 'bench', 'package.json', 'tsconfig.json', 'tsconfig.test.json']) {
    if (existsSync(join(ROOT, name))) cpSync(join(ROOT, name), join(copy, name), { recursive: true, filter: (path) => !path.startsWith(join(ROOT, 'bench/out')) });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const run = (...argv: string[]): string => {
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, { cwd: copy, encoding: 'utf8', timeout: 90_000, env: { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' } });
    assert.is(status, 0, `${argv.join(' ')}:\n${stdout}${stderr}`);
    return stdout;
  };
  const all = steps(read('docs/extending.md'));
  for (const step of all) {
    if (step.kind === 'run') continue;
    const path = join(copy, step.path);
    assert.is(existsSync(path), step.kind === 'change', step.path);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, step.kind === 'file' ? step.text : changed(readFileSync(path, 'utf8'), step.text, step.path));
  }
  run(join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', 'tsconfig.json', '--noEmit');
  const tests = all.flatMap((step) => step.kind === 'run' ? step.tests : []);
  assert.ok(tests.length >= 3);
  for (const name of tests) {
    const output = run('--import', 'tsx', name);
    assert.match(output, /Passed: +[1-9]/, `${name}:\n${output}`);
    assert.ok(statSync(join(copy, name)).size > 0);
  }
  const suite = run('--import', 'tsx', 'test/balance/scheduler.test.ts');
  const before = spawnSync(process.execPath, [...LOADER, 'test/balance/scheduler.test.ts'], { cwd: ROOT, encoding: 'utf8', timeout: 90_000 }).stdout;
  const count = (output: string): number => Number(/Total: +(\d+)/.exec(output)?.[1]);
  assert.ok(count(suite) > count(before), 'the shared suite runs over the new scheduler');
}));

test.run();

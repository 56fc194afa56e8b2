/** What test/support/compiled.ts registers; runs in Node's thread for loading modules, as JavaScript in build/tests/test/support. */
import { existsSync, readFileSync } from 'node:fs';
import type { LoadHook, ResolveHook } from 'node:module';
import { fileURLToPath } from 'node:url';

/** Where the compiled files are, and the sources they were made of. */
const COMPILED = new URL('../../', import.meta.url);
const ROOT = new URL('../../', COMPILED).href;
const OUTSIDE = new URL('node_modules/', ROOT).href;

/** The compiled file of a source of this checkout; null for all else. */
function compiledOf(url: string): URL | null {
  if (!url.startsWith(ROOT) || url.startsWith(OUTSIDE) || !url.endsWith('.ts')) return null;
  const compiled = new URL(`${url.slice(ROOT.length, -'.ts'.length)}.js`, COMPILED);
  return existsSync(compiled) ? compiled : null;
}

/** Imports among TypeScript files name what they become: `./x.js` is `./x.ts`. */
export const resolve: ResolveHook = (specifier, context, nextResolve) => {
  const parent = context.parentURL;
  if (parent?.endsWith('.ts') && specifier.startsWith('.') && specifier.endsWith('.js')) {
    const url = new URL(`${specifier.slice(0, -'.js'.length)}.ts`, parent).href;
    if (existsSync(fileURLToPath(url))) return { url, format: 'module', shortCircuit: true };
  }
  return nextResolve(specifier, context);
};

export const load: LoadHook = (url, context, nextLoad) => {
  const compiled = compiledOf(url);
  return compiled === null ? nextLoad(url, context) : { format: 'module', source: readFileSync(compiled), shortCircuit: true };
};

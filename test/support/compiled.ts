/**
 * Loaded first by every test file that `npm test` runs: lets Node take what scripts/compile-tests has made of a TypeScript file of this checkout, so that the
 * hundreds of processes of a run do not each compile what they load. Modules keep the addresses of their sources, and traces name the sources' lines.
 * A file run by itself (`npx tsx test/….test.ts`) does without.
 */
import { register } from 'node:module';

process.setSourceMapsEnabled(true);
register('./compiled-hooks.js', import.meta.url);

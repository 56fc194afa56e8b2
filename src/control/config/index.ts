/** The configuration's face: everything else in this folder is how. */
export { loadConfig, type LoadedConfig } from './load.js';

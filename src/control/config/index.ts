/** The configuration's face: everything else in this folder is how. */
export { loadConfig, readConfig, type LoadedConfig } from './load.js';

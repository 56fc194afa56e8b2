/** The ALGs there are, by name. */
import type { Alg, AlgName } from './alg.js';
import { ftp } from './ftp.js';
import { tftp } from './tftp.js';

export const ALGS: Readonly<Record<AlgName, Alg>> = { ftp, tftp };

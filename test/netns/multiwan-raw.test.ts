/** The suite of multiwan over weir on raw links. */
import { multiwanSuite } from './multiwan-suite.js';

multiwanSuite('raw', 'weir');

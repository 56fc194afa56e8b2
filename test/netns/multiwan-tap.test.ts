/** The suite of multiwan over weir on TAP links in bridges. */
import { multiwanSuite } from './multiwan-suite.js';

multiwanSuite('tap', 'weir');

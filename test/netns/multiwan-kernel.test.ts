/** A control of the suite itself: the kernel as the router passes the rows it can. */
import { multiwanSuite } from './multiwan-suite.js';

multiwanSuite('raw', 'kernel');

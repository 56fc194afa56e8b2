/** The scenario `one-arm` with its own configuration, and with the kernel as a control. */
import { oneArm } from './one-arm-suite.js';

oneArm('kernel', { peer: 'kernel' });
oneArm('weir', {});

/**
 * The example of BalanceNG's site taken over by `weir import bng`, the file as the page prints it, on one line: all of it is taken, `weir check` accepts
 * what comes out, and it does in the lab what the scenario's own configuration does, unchanged.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { run } from '../../netns/kit/command.js';
import type { Lab } from '../../netns/kit/lab.js';
import { WEIR } from '../../netns/kit/weir.js';
import { oneArm } from './one-arm-suite.js';

const BNG_CONF = '// configuration taken ... // BalanceNG ... modules vrrp,arp,ping,hc,master,slb,tnat,nat,rt set ipforwarding 1 interface 1 { name eth0 access raw } '
  + 'register interface 1 enable interface 1 network 1 { name "local network" addr 172.16.1.0 mask 255.255.255.0 real 172.16.1.252 virt 172.16.1.253 nat outside interface 1 } '
  + 'network 2 { name "target network" addr 10.1.1.0 mask 255.255.255.0 real 10.1.1.253 virt 10.1.1.254 nat inside interface 1 } '
  + 'register networks 1,2 enable networks 1,2 gateway { ipaddr 172.16.1.254 ping 3,8 } server 1 { ipaddr 172.16.1.10 port 80 protocol tcp targets 1,2 } '
  + 'register server 1 enable server 1 target 1 { ipaddr 10.1.1.1 port 80 protocol tcp tcpopen 80,3,10 } target 2 { ipaddr 10.1.1.2 port 80 protocol tcp tcpopen 80,2,10 } '
  + 'register targets 1,2 enable targets 1,2 // end of configuration\n';

async function imported(lab: Lab): Promise<string> {
  const from = join(lab.directory, 'bng.conf');
  const to = join(lab.directory, 'imported.yaml');
  writeFileSync(from, BNG_CONF);
  const taken = await run([WEIR, 'import', 'bng', from], { check: false });
  assert.equal([taken.code, taken.stderr], [0, ''], 'all of it is taken');
  writeFileSync(to, taken.stdout);
  const checked = await run([WEIR, 'check', '-c', to], { check: false });
  assert.equal([checked.code, checked.stderr], [0, ''], 'it is sound');
  return to;
}

oneArm("weir, BalanceNG's own file imported", { configuration: imported });

/** One https probe in a process of its own, which may trust other authorities (NODE_EXTRA_CA_CERTS is read when Node starts): argv url, name server. */
import { createCheck } from '../../../src/health/check/registry.js';

const [url, nameServer] = process.argv.slice(2);
const check = createCheck({ kind: 'http', url, status: [{ first: 200, last: 299 }], verify: true }, {
  localAddress: undefined, uplink: 0, nameServers: [nameServer], ask: () => Promise.reject(new Error('asked the data plane')),
});
process.stdout.write(JSON.stringify(await check.probe(20_000, new AbortController().signal)));
check.close();

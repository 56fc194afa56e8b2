import { runNet } from '/work/main/bench/net/run.js';
const only = process.argv.slice(2);
console.log(JSON.stringify(await runNet({ rounds: 1, seconds: 1, only, say: (l) => console.log(l) })));

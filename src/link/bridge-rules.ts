/**
 * Whether frames on the box's bridges also pass the rules it has for packets it routes (br_netfilter, which container software loads): then what comes and goes by a
 * bridged tap link is filtered, translated and tracked a second time, by rules that know nothing of weir.
 */
import { readFileSync } from 'node:fs';

/** 1 = IPv4 frames on bridges pass iptables and nftables; not there while br_netfilter is not loaded. */
export const BRIDGE_RULES_SETTING = 'net.bridge.bridge-nf-call-iptables';

/** Of the network namespace the process is in. @param root where /proc is mounted. */
export function bridgedFramesMeetRules(root = '/proc'): boolean {
  try {
    return readFileSync(`${root}/sys/${BRIDGE_RULES_SETTING.replaceAll('.', '/')}`, 'utf8').trim() !== '0';
  } catch {
    return false;
  }
}

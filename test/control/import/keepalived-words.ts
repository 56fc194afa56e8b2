/** Every word of keepalived.conf(5) with values that make sense, by the block it stands in: for tests that take each of them, and for files made of them. */

export interface Line { text: string; block?: readonly Line[] }

const lines = (text: string): Line[] => text.trim().split('\n').map((line) => {
  const [, head, inner] = /^([^{]*?)(?:\s*\{(.*)\})?$/.exec(line.trim())!;
  return inner === undefined ? { text: head } : { text: head, block: inner.split(';').map((one) => ({ text: one.trim() })).filter(({ text: word }) => word !== '') };
});

/** Words of checks at a virtual server, a real server or a checker. */
const MANNER = `
  connect_timeout 4
  retry 2
  delay_before_retry 2.5
  delay_loop 7
  warmup 3`;

const CHECKER = `${MANNER}
  alpha on
  connect_ip 10.0.1.77
  connect_port 8088
  bindto 10.0.1.2
  bind_if eth1
  bind_port 1000
  fwmark 7
  log_all_failures on`;

export const WORDS = {
  global_defs: lines(`
    notification_email { ops@example.com; root@example.com }
    notification_email_from lb@example.com
    smtp_server 192.0.2.25 25
    smtp_helo_name lb
    smtp_connect_timeout 20
    smtp_alert on
    smtp_alert_vrrp on
    smtp_alert_checker on
    no_email_faults
    router_id LB1
    script_user nobody
    enable_script_security
    vrrp_version 3
    vrrp_strict
    vrrp_mcast_group4 224.0.0.19
    vrrp_garp_master_delay 7
    vrrp_garp_master_repeat 3
    vrrp_garp_master_refresh 30
    vrrp_garp_master_refresh_repeat 2
    vrrp_garp_lower_prio_delay 3
    vrrp_garp_interval 0.1
    vrrp_skip_check_adv_addr
    vrrp_check_unicast_src
    vrrp_iptables
    vrrp_priority -10
    vrrp_notify_fifo /run/fifo
    vrrp_startup_delay 5
    vrrp_lower_prio_no_advert on
    checker_log_all_failures on
    checker_priority 2
    lvs_sync_daemon eth1 VI_1
    lvs_timeouts tcp 7200
    lvs_flush
    lvs_flush_on_stop
    enable_snmp_vrrp
    enable_traps
    enable_dbus
    process_names
    max_auto_priority 3
    dynamic_interfaces
    nftables
    startup_script /bin/true
    use_symlink_paths
    reload_repeat 1
    net_namespace blue
    linkbeat_use_polling`),
  top: lines(`
    static_rules { from 10.0.9.0/24 table 9 }
    track_group TG { group }
    vrrp_track_process P { process nginx }
    vrrp_track_file F { file /run/weight }
    bfd_instance B { neighbor_ip 192.0.2.1 }
    garp_group G { garp_interval 1 }
    linkbeat_interfaces { eth0 }
    interface_up_down_delays { eth0 1 2 }
    SSL { ca /etc/ca.pem }
    net_namespace red
    instance one
    use_pid_dir
    static_ipaddress { 10.0.1.3/24 dev eth1; 192.0.2.7/32 }
    static_routes { 10.9.0.0/16 via 10.0.1.250; 10.8.0.0/16 dev eth1 }`),
  vrrp_script: lines(`
    interval 3
    weight -30
    timeout 2
    rise 2
    fall 4
    user operator
    init_fail`),
  vrrp_instance: lines(`
    state MASTER
    state BACKUP
    priority 111
    priority 255
    advert_int 2
    advert_int 0.5
    version 3
    nopreempt
    preempt
    preempt_delay 20
    authentication { auth_type PASS; auth_pass geheim }
    authentication { auth_type AH; auth_pass geheim }
    unicast_src_ip 203.0.113.2
    mcast_src_ip 203.0.113.2
    unicast_peer { 203.0.113.3; 203.0.113.4 max_ttl 3 }
    unicast_ttl 3
    unicast_fault_no_peer
    check_unicast_src
    track_src_ip
    mcast_dst_ip 224.0.0.20
    old_unicast_checksum
    use_vmac vmac51
    vmac_xmit_base
    use_vmac_addr
    use_ipvlan
    vrf blue
    native_ipv6
    dont_track_primary
    accept
    no_accept
    strict_mode on
    virtual_ipaddress_excluded { 203.0.113.20/24; 203.0.113.21 }
    track_interface { eth1; eth0 weight 3 }
    track_interface { eth1 weight 20 }
    track_script { chk_a }
    track_script { chk_a weight 11 }
    track_file { F }
    track_process { P }
    track_bfd { B }
    garp_master_delay 8
    garp_master_repeat 2
    garp_master_refresh 40
    garp_master_refresh_repeat 2
    garp_lower_prio_delay 3
    garp_lower_prio_repeat 2
    garp_extra_if 10
    down_timer_adverts 4
    lower_prio_no_advert on
    higher_prio_send_advert on
    promote_secondaries
    virtual_routes { 10.7.0.0/16 via 10.0.1.9 }
    virtual_rules { from 10.6.0.0/16 table 3 }
    skip_check_adv_addr on
    debug 3
    notify_master /bin/true
    notify_backup "/bin/true x"
    notify_fault /bin/true
    notify_stop /bin/true
    notify_deleted /bin/true
    notify /bin/true
    notify_master_rx_lower_pri /bin/true
    notify_priority_changes on
    smtp_alert on
    kernel_rx_buf_size 100000
    linkbeat_use_polling
    garp_group G
    v3_checksum_as_v2 on
    nonsense 3`),
  virtual_ipaddress: lines(`
    203.0.113.31/24 dev eth0
    203.0.113.32/24 label eth0:1
    203.0.113.33
    203.0.113.34/24 brd 203.0.113.255 scope global
    10.0.1.34/24 dev eth1
    2001:db8::1/64`),
  vrrp_sync_group: lines(`
    notify_master /bin/true
    notify "/bin/true y"
    smtp_alert on
    global_tracking
    sync_group_tracking_weight
    track_interface { eth1 weight 9 }
    track_script { chk_a weight 8 }
    track_file { F }`),
  virtual_server: lines(`${MANNER}
    lb_algo sh
    lvs_sched mh
    lb_algo rr
    lb_algo wrr
    lb_algo nonsense
    sh-port
    sh-fallback
    mh-port
    mh-fallback
    flag-1
    flag-2
    flag-3
    hashed
    ops
    lb_kind NAT
    lb_kind DR
    lvs_method TUN
    persistence_engine sip
    persistence_timeout 90
    persistence_granularity 255.255.255.0
    protocol UDP
    ha_suspend
    smtp_alert on
    virtualhost www.example.com
    snmp_name shop
    alpha
    omega
    weight 8
    quorum 3
    hysteresis 1
    quorum_up /bin/true
    quorum_down "/bin/true z"
    ip_family inet
    nat_mask 255.255.255.0
    sorry_server 10.0.1.99 80
    sorry_server_inhibit
    sorry_server_lvs_method NAT
    inhibit_on_failure
    log_all_failures on`),
  real_server: lines(`${MANNER}
    weight 4
    weight 0
    lvs_method DR
    lvs_method NAT
    notify_up /bin/true
    notify_down "/bin/true w"
    uthreshold 100
    lthreshold 50
    smtp_alert on
    virtualhost app.example.com
    snmp_name web
    alpha on
    inhibit_on_failure
    inhibit_on_failure off
    log_all_failures on`),
  TCP_CHECK: lines(CHECKER),
  PING_CHECK: lines(CHECKER),
  SMTP_CHECK: lines(`${CHECKER}
    helo_name lb.example.com
    host { connect_port 26 }`),
  HTTP_GET: lines(`${CHECKER}
    http_protocol 1.1
    fast_recovery
    virtualhost deep.example.com
    url { path /second }`),
  SSL_GET: lines(`${CHECKER}
    enable_sni
    virtualhost deeper.example.com`),
  url: lines(`
    path /ready
    path ready
    digest 9b3a0c85a887a256d6939da88aabd8cd
    status_code 204
    status_code 200 204 300-302
    virtualhost deepest.example.com
    regex "up and well"
    regex "^(up|well)$"
    regex_no_match
    regex_options caseless
    regex_stack 1 2
    regex_min_offset 3
    regex_max_offset 30`),
  DNS_CHECK: lines(`${CHECKER}
    type A
    type MX
    name www.example.com`),
  UDP_CHECK: lines(`${CHECKER}
    payload 70696e67
    payload 00ff
    require_reply 706f6e67
    require_reply
    min_reply_length 3
    max_reply_length 9`),
  MISC_CHECK: lines(`${MANNER}
    misc_path "/usr/lib/check 'a b' c"
    misc_path "check it"
    misc_timeout 5
    misc_dynamic
    user operator
    alpha on`),
} as const satisfies Record<string, readonly Line[]>;

/** Lines with their blocks, as a file has them. */
export function write(all: readonly Line[], indent = ''): string[] {
  return all.flatMap(({ text, block }) => (block === undefined ? [`${indent}${text}`] : [`${indent}${text} {`, ...write(block, `${indent}    `), `${indent}}`]));
}

/** A file with one of everything, into whose blocks further lines are put. */
export function base(more: Partial<Record<keyof typeof WORDS, readonly Line[]>> = {}): Line[] {
  const of = (kind: keyof typeof WORDS): readonly Line[] => more[kind] ?? [];
  const checkers = (['TCP_CHECK', 'PING_CHECK', 'SMTP_CHECK', 'SSL_GET', 'DNS_CHECK', 'UDP_CHECK'] as const).filter((kind) => kind in more);
  // A script has its path once, and one is needed.
  const misc = of('MISC_CHECK');
  return [
    { text: 'global_defs', block: of('global_defs') },
    { text: 'vrrp_script chk_a', block: [{ text: 'script "/usr/bin/test -e /run/a"' }, ...of('vrrp_script')] },
    { text: 'vrrp_sync_group EDGE', block: [{ text: 'group', block: [{ text: 'VI_1' }, { text: 'VI_2' }] }, ...of('vrrp_sync_group')] },
    {
      text: 'vrrp_instance VI_1',
      block: [
        { text: 'interface eth0' }, { text: 'virtual_router_id 51' }, { text: 'track_script', block: [{ text: 'chk_a' }] }, ...of('vrrp_instance'),
        { text: 'virtual_ipaddress', block: [{ text: '203.0.113.30/24' }, ...of('virtual_ipaddress')] },
      ],
    },
    { text: 'vrrp_instance VI_2', block: [{ text: 'interface eth1' }, { text: 'virtual_router_id 52' }, { text: 'virtual_ipaddress', block: [{ text: '10.0.1.1/24' }] }] },
    {
      text: 'virtual_server 203.0.113.30 80',
      block: [
        { text: 'protocol TCP' },
        ...of('virtual_server'),
        {
          text: 'real_server 10.0.1.11 80',
          block: [
            ...of('real_server'),
            ...(checkers.length > 0 || misc.length > 0 ? [] : [{ text: 'HTTP_GET', block: [...of('HTTP_GET'), { text: 'url', block: of('url') }] }]),
            ...checkers.map((kind): Line => ({ text: kind, block: of(kind) })),
            ...(misc.length === 0 ? [] : [{ text: 'MISC_CHECK', block: misc.some(({ text }) => text.startsWith('misc_path')) ? misc : [{ text: 'misc_path /usr/lib/check' }, ...misc] }]),
          ],
        },
        { text: 'real_server 10.0.1.12 8080', block: [{ text: 'weight 2' }] },
      ],
    },
    ...of('top'),
  ];
}

{
  'targets': [
    {
      'target_name': 'weir',
      'sources': [
        'native/addon.c',
        'native/bpf.c',
        'native/error.c',
        'native/io.c',
        'native/memory.c',
        'native/netlink.c',
        'native/netns.c',
        'native/packet.c',
        'native/tun.c',
      ],
      'cflags': ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-fvisibility=hidden'],
      'defines': ['_GNU_SOURCE', 'NAPI_VERSION=8'],
    },
  ],
}

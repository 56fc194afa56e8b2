"""Frames no decent stack sends, made by scapy, which knows nothing of us: stranger.py DEVICE ROUTER-MAC VICTIM-JSON

VICTIM-JSON: near and far address and port of a TCP flow under way as seen on this wire, whether the wire is "wan" or "lan", and the router's own
address there. Every case is sent once; prints one JSON object: how many frames must be counted under which drop name.
"""
import json
import sys

from scapy.all import (ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, IPerror, IPOption_LSRR, IPOption_SSRR, Raw, UDPerror, conf, fragment, raw, sendp)

conf.verb = 0
device, router_mac, victim = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
far, near, own = victim["far"], victim["near"], victim["own"]
is_wan = victim["side"] == "wan"
# Who speaks on this wire, and to whom.
source, target = (far, near) if is_wan else (near, far)
sport, dport = (victim["farPort"], victim["nearPort"]) if is_wan else (victim["nearPort"], victim["farPort"])
ether = Ether(src="02:00:00:00:5c:a9", dst=router_mac)
ether_ip = Ether(src=ether.src, dst=router_mac, type=0x0800)
udp = UDP(sport=5353, dport=5999)


def ip(**fields):
    return IP(**{"src": source, "dst": target, **fields})


def cut(packet, length):
    """The frame with its end cut off; its headers still tell the old length."""
    return Ether(raw(ether / packet)[:14 + length])


def options(data):
    """A header with these bytes as options, checksum right."""
    padded = data + b"\0" * (-len(data) % 4)
    header = bytearray(raw(ip(ihl=5 + len(padded) // 4, len=20 + len(padded) + 8, proto=17, chksum=0))[:20]) + padded
    total = sum(int.from_bytes(header[i:i + 2], "big") for i in range(0, len(header), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    header[10:12] = (0xFFFF - total).to_bytes(2, "big")
    return ether_ip / Raw(bytes(header) + raw(udp))


# Outside: a packet that somebody else has sent. What quotes the router's own address may be about the box's stack, and is passed to it.
quote = IPerror(src="192.168.201.99" if is_wan else source, dst=far, proto=17) / UDPerror(sport=61999, dport=61998, len=20)
whole = ip(id=777) / UDP(sport=5353, dport=5999) / Raw(b"x" * 64)
pieces = fragment(whole, fragsize=24)

cases = [
    ("IP_VERSION", [ether_ip / Raw(b"\x55" + raw(ip() / udp)[1:])]),
    ("IP_HEADER_LENGTH", [ether_ip / Raw(b"\x44" + raw(ip() / udp)[1:]), ether_ip / Raw(b"\x4f" + raw(ip() / udp)[1:])]),
    ("IP_TOTAL_LENGTH", [ether / ip(len=1400) / udp, ether / ip(len=12) / udp]),
    ("IP_CHECKSUM", [ether / ip(chksum=0x1234) / udp]),
    ("SOURCE_ROUTE", [ether / ip(options=[IPOption_LSRR(routers=["198.51.100.1"])]) / udp, ether / ip(options=[IPOption_SSRR(routers=["198.51.100.1"])]) / udp,
                      options(b"\x07\x00\x04\x00"), options(b"\x01\x01\x07\xff")]),
    ("L4_TRUNCATED", [ether / ip() / UDP(sport=1, dport=2, len=4000), ether / ip() / UDP(sport=1, dport=2, len=3), ether / ip() / TCP(sport=1, dport=2, dataofs=3),
                      ether / ip() / TCP(sport=1, dport=2, dataofs=15), ether / ip(proto=6) / Raw(b"abc")]),
    ("MARTIAN_SOURCE", [ether / ip(src="127.0.0.1") / udp, ether / ip(src="0.0.0.0") / udp, ether / ip(src="240.1.1.1") / udp, ether / ip(src="224.0.0.5") / udp]),
    # The land attack: from the victim to itself.
    ("MARTIAN_SOURCE", [ether / ip(src=own, dst=own) / TCP(sport=80, dport=80, flags="S"), ether / ip(src=own, dst=own) / udp]),
    ("MARTIAN_DESTINATION", [ether / ip(dst="127.0.0.1") / udp, ether / ip(dst="240.1.1.1") / udp]),
    ("MULTICAST", [ether / ip(dst="224.0.0.251") / udp]),
    ("BROADCAST", [ether / ip(dst="255.255.255.255") / udp, Ether(src=ether.src, dst="ff:ff:ff:ff:ff:ff") / ip() / udp]),
    ("TCP_FLAGS", [ether / ip() / TCP(sport=sport, dport=dport, flags=flags) for flags in ("SF", "SR", "", "FPU", "FSRPAU")]),
    ("TCP_OUT_OF_WINDOW", [ether / ip() / TCP(sport=sport, dport=dport, flags="R", seq=(victim["sequence"] + 0x40000000 + i) % 2**32) for i in range(3)]),
    ("FRAGMENT_BAD", [ether / ip(flags="MF", frag=8191) / Raw(b"x" * 64), ether / ip(flags="MF", frag=1, id=99) / Raw(b"x" * 13)]),
    ("FRAGMENT_TINY", [ether / ip(flags="MF", id=31, proto=6) / Raw(b"x" * 8)]),
    # The first piece waits; what overlaps it throws both away.
    ("FRAGMENT_OVERLAP", [ether / pieces[0], ether / ip(id=777, proto=17, frag=1, flags="MF") / Raw(b"y" * 32)], 2),
    ("STRAY_ERROR", [ether / ip() / ICMP(type=3, code=code) / quote for code in (0, 1, 3, 13)] + [ether / ip() / ICMP(type=11) / quote]),
    ("ICMP_CHECKSUM", [ether / ip() / ICMP(type=3, code=1, chksum=0x1111) / quote]),
    ("ICMP_QUOTE", [ether / ip() / ICMP(type=3, code=1) / Raw(b"\x45" + b"\0" * 9), ether / ip() / ICMP(type=3, code=1) / Raw(b"x" * 60)]),
    ("ICMP_REDIRECT", [ether / ip() / ICMP(type=5, code=1, gw="198.51.100.66") / quote]),
    ("ICMP_SOURCE_QUENCH", [ether / ip() / ICMP(type=4) / quote]),
    ("ICMP_TYPE", [ether / ip() / ICMP(type=kind) for kind in (9, 10, 40, 255)]),
    ("STRAY_REPLY", [ether / ip() / ICMP(type=0, id=4242)]),
    ("VLAN_TAGGED", [ether / Dot1Q(vlan=7) / ip() / udp]),
    ("ETHERTYPE", [Ether(src=ether.src, dst=router_mac, type=0x88CC) / Raw(b"x" * 40)]),
    ("ARP_MALFORMED", [Ether(src=ether.src, dst=router_mac) / ARP(hwlen=7, pdst=own), Ether(src=ether.src, dst=router_mac) / ARP(op=77, psrc="192.168.201.99", pdst=own)]),
]
if not is_wan:
    cases.append(("SPOOFED_SOURCE", [ether / ip(src="198.51.100.77") / udp, ether / ip(src="203.0.113.10") / udp]))
    cases.append(("MIDSTREAM", [ether / ip() / TCP(sport=61000, dport=61001, flags=flags, seq=5, ack=6) for flags in ("A", "PA", "FA", "SA")]))

counted = {}
for name, frames, *weight in cases:
    counted[name] = counted.get(name, 0) + (weight[0] if weight else len(frames))
    sendp(frames, iface=device)
print(json.dumps(counted))

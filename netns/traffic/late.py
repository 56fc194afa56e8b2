"""A host whose answers to echo requests come late, in place of the kernel's: late.py [UNANSWERED]

Each request is answered when the next one has come, so that how late an answer is hangs on nobody's clock; the one of the sequence number
UNANSWERED never is. Says `ready` when it listens.
"""
import socket
import struct
import sys

ECHO_REQUEST = 8


def checksum(data):
    data += b'\0' * (len(data) % 2)
    total = sum(struct.unpack(f'!{len(data) // 2}H', data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def answer(request):
    reply = b'\0\0\0\0' + request[4:]
    return reply[:2] + struct.pack('!H', checksum(reply)) + reply[4:]


unanswered = int(sys.argv[1]) if len(sys.argv) > 1 else None
wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
print('ready', flush=True)
waiting = None
while True:
    packet, (sender, _) = wire.recvfrom(65535)
    message = packet[(packet[0] & 15) * 4:]
    if message[0] != ECHO_REQUEST:
        continue
    if waiting is not None:
        wire.sendto(*waiting)
    sequence = struct.unpack('!H', message[6:8])[0]
    waiting = None if sequence == unanswered else (answer(message), (sender, 0))

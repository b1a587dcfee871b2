#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""1,000 idle NVMe/TCP connections (500 hosts with an admin and an I/O queue each): the memory each
costs the daemon, and that nothing runs for them.   nvmf_idle.py [BUILD_DIR]
TAP on stdout."""

import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

N_HOSTS = 500
MAX_BYTES_EACH = 32 << 10
NQN = b"nqn.2016-06.io.spdk:idle"


def recv(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(n - len(data))
        assert part, "the target closed the connection"
        data += part
    return data


def capsule(sock, sqe, data=b""):
    """One command; (DW0, status)."""
    sock.sendall(struct.pack("<BBBBI", 4, 0, 72, 72 if data else 0, 72 + len(data)) + sqe + data)
    resp = recv(sock, 24)
    return struct.unpack_from("<I", resp, 8)[0], struct.unpack_from("<H", resp, 22)[0]


def connect(port, host, qid, cntlid):
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(struct.pack("<BBBBIHBBI", 0, 0, 128, 0, 128, 0, 0, 0, 0) + bytes(112))
    recv(sock, 128)
    data = bytearray(1024)
    data[0:16] = struct.pack("<QQ", host + 1, 7)
    data[16:18] = struct.pack("<H", cntlid)
    data[256:256 + len(NQN)] = NQN
    name = b"nqn.2016-06.io.spdk:host%d" % host
    data[512:512 + len(name)] = name
    sqe = bytearray(64)
    sqe[0:5] = bytes([0x7F, 0x40, 1, 0, 1])
    sqe[32:40] = struct.pack("<IBBBB", len(data), 0, 0, 0, 1)
    sqe[40:47] = struct.pack("<HHHB", 0, qid, 31 if qid == 0 else 127, 0)
    dw0, status = capsule(sock, bytes(sqe), bytes(data))
    assert status == 0, f"Connect: status {status:#x}"
    if qid == 0:  # CC.EN, I/O entry sizes
        sqe = bytearray(64)
        sqe[0:5] = bytes([0x7F, 0x40, 2, 0, 0])
        sqe[44:56] = struct.pack("<IQ", 0x14, 1 | 6 << 16 | 4 << 20)
        assert capsule(sock, bytes(sqe))[1] == 0
    return sock, dw0


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return int([line for line in f if line.startswith("VmRSS")][0].split()[1]) << 10


def cpu_ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def main():
    ashlar = os.path.join(sys.argv[1] if len(sys.argv) > 1 else "build", "ashlar")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sock")
        daemon = subprocess.Popen([ashlar, "serve", "-r", path], stderr=subprocess.DEVNULL)

        def rpc(method, params=None):
            cmd = [ashlar, "rpc", "-r", path, method] + ([json.dumps(params)] if params else [])
            return json.loads(subprocess.run(cmd, check=True, capture_output=True).stdout)

        try:
            while not os.path.exists(path):
                time.sleep(0.05)
            nqn = NQN.decode()
            address = {"trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": "0"}
            rpc("bdev_malloc_create", {"name": "m", "num_blocks": 1024, "block_size": 512})
            rpc("nvmf_create_transport", {"trtype": "TCP"})
            rpc("nvmf_create_subsystem", {"nqn": nqn, "allow_any_host": True})
            rpc("nvmf_subsystem_add_ns", {"nqn": nqn, "namespace": {"bdev_name": "m"}})
            rpc("nvmf_subsystem_add_listener", {"nqn": nqn, "listen_address": address})
            port = int(rpc("nvmf_subsystem_get_listeners", {"nqn": nqn})[0]["address"]["trsvcid"])
            before = resident(daemon.pid)
            socks = []
            for host in range(N_HOSTS):
                admin, cntlid = connect(port, host, 0, 0xFFFF)
                io, _ = connect(port, host, 1, cntlid)
                socks += [admin, io]
            time.sleep(3)  # spare memory is given back after a second without commands
            each = (resident(daemon.pid) - before) // len(socks)
            ticks = cpu_ticks(daemon.pid)
            time.sleep(3)
            ticks = cpu_ticks(daemon.pid) - ticks
            n = len(rpc("nvmf_subsystem_get_qpairs", {"nqn": nqn}))
            print("1..3")
            print(f"{'ok' if n == 2 * N_HOSTS else 'not ok'} 1 - {n} queues are connected")
            print(f"{'ok' if each < MAX_BYTES_EACH else 'not ok'} 2 - {each} bytes for each connection")
            print(f"{'ok' if ticks <= 1 else 'not ok'} 3 - {ticks} ticks of CPU in 3 s")
            return 0 if n == 2 * N_HOSTS and each < MAX_BYTES_EACH and ticks <= 1 else 1
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)


if __name__ == "__main__":
    sys.exit(main())

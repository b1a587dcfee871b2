#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Incremental backup over NBD: the dirty bitmap since a snapshot is exactly what was written after
it, also when more snapshots are taken while a client is connected. usage: incremental.py [ASHLAR]"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

ASHLAR = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build/ashlar")
CLUSTER = 65536
try:
    import nbd
except ImportError:
    print("python3-libnbd is missing")
    sys.exit(77)
if not shutil.which("nbdinfo"):
    print("nbdinfo is missing")
    sys.exit(77)


def rpc(sock, method, **params):
    p = subprocess.run([ASHLAR, "rpc", "-r", sock, method, json.dumps(params)], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    return json.loads(p.stdout)


def runs(h, context, length):
    found = []

    def extent(name, offset, entries, err):
        if name == context:
            for i in range(0, len(entries), 2):
                found.append((entries[i], entries[i + 1]))
        return 0

    h.block_status(length, 0, extent)
    dirty, pos = set(), 0
    for n, state in found:
        for c in range(pos // CLUSTER, (pos + n) // CLUSTER):
            if state:
                dirty.add(c)
        pos += n
    assert pos >= length, (pos, length)
    return dirty


def main():
    with tempfile.TemporaryDirectory() as d:
        sock, disk, nsock = f"{d}/rpc.sock", f"{d}/disk", f"{d}/nbd.sock"
        with open(disk, "wb") as f:
            f.truncate(64 << 20)
        daemon = subprocess.Popen([ASHLAR, "serve", "-r", sock, "--disk", disk], stderr=subprocess.DEVNULL)
        try:
            for _ in range(200):
                p = subprocess.run([ASHLAR, "rpc", "-r", sock, "spdk_get_version"], capture_output=True)
                if p.returncode == 0:
                    break
            rpc(sock, "bdev_lvol_create_lvstore", bdev_name=disk, lvs_name="tank", cluster_sz=CLUSTER)
            rpc(sock, "bdev_lvol_create", lvs_name="tank", lvol_name="v", size_in_mib=8, thin_provision=True)
            rpc(sock, "nbd_listen", uri=f"unix://{nsock}")
            rpc(sock, "nbd_add_export", bdev="tank/v", name="v")
            uri = f"nbd+unix:///v?socket={nsock}"
            h = nbd.NBD()
            h.connect_uri(uri)
            for c in (0, 1, 5):
                h.pwrite(b"\x11" * CLUSTER, c * CLUSTER)
            rpc(sock, "bdev_lvol_snapshot", lvol_name="tank/v", snapshot_name="s1")
            for c in (1, 7):
                h.pwrite(b"\x22" * 512, c * CLUSTER)
            h1 = nbd.NBD()
            h1.add_meta_context("qemu:dirty-bitmap:since-s1")
            h1.add_meta_context("base:allocation")
            h1.connect_uri(uri)
            assert h1.can_meta_context("qemu:dirty-bitmap:since-s1")
            assert runs(h1, "qemu:dirty-bitmap:since-s1", 8 << 20) == {1, 7}
            rpc(sock, "bdev_lvol_snapshot", lvol_name="tank/v", snapshot_name="s2")
            h.pwrite(b"\x33" * 512, 9 * CLUSTER)
            # a connection that was there before keeps counting from the same snapshot
            assert runs(h1, "qemu:dirty-bitmap:since-s1", 8 << 20) == {1, 7, 9}
            h2 = nbd.NBD()
            h2.add_meta_context("qemu:dirty-bitmap:since-s2")
            h2.connect_uri(uri)
            assert runs(h2, "qemu:dirty-bitmap:since-s2", 8 << 20) == {9}
            # the snapshot goes: everything counts as dirty rather than too little
            rpc(sock, "bdev_lvol_delete", name="tank/s2")
            assert runs(h1, "qemu:dirty-bitmap:since-s1", 8 << 20) == {1, 7, 9}
            assert len(runs(h2, "qemu:dirty-bitmap:since-s2", 8 << 20)) == (8 << 20) // CLUSTER
            out = subprocess.run(["nbdinfo", "--list", "--json", f"nbd+unix:///?socket={nsock}"],
                                 capture_output=True, text=True, check=True).stdout
            assert "qemu:dirty-bitmap:since-s1" in out and "since-s2" not in out, out
            print("1 passed, 0 failed")
        finally:
            daemon.terminate()
            daemon.wait()


main()

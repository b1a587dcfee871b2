#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""File systems over a power cut: ext4, xfs and btrfs on volumes of one pool, files written with
fsync, everything that reaches the pool's disk recorded, and the record played back to its flushes.

At each chosen flush the disk is made as a power cut just then may leave it: with all that had been
written by then, or with nothing but what a flush had made safe. The pool on it is checked, each
volume is copied out, mounted (the file system replays its journal), every file whose fsync had
returned by then is compared, and fsck must find nothing.

  fs_crash.py [BUILD_DIR] [--points N] [--rounds N] [--fs ext4,xfs,btrfs] [--seed N]
              [--guest PROGRAM]
--points   of the flushes, spread over all (default 8; 0: every one)
--guest    a program that boots a Linux guest, as tests/guest/guest-run: the file systems are then
           mounted there, over NBD with that kernel's client; else here, on loop devices over
           `ashlar mount`
TAP on stdout; 77: this machine cannot do it."""

import argparse
import ctypes
import hashlib
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

ENTRY = struct.Struct("<QQQQQiBBxx")
READ, WRITE, UNMAP, FLUSH, WRITE_ZEROES = range(5)
FUA = 1
LIBC = ctypes.CDLL(None, use_errno=True)
PUNCH = 3
DISK_BYTES = 2 << 30
SIZES = {"ext4": "64M", "xfs": "320M", "btrfs": "160M"}
MKFS = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"], "btrfs": ["mkfs.btrfs", "-q", "-f"]}
FSCK = {"ext4": ["e2fsck", "-fn"], "xfs": ["xfs_repair", "-n"], "btrfs": ["btrfs", "check", "--readonly"]}

GUEST = r"""
modprobe nbd
n=0
for fs in $FS; do
    modprobe $fs 2>/dev/null
    nbd-client 10.0.2.2 $PORT -N $fs /dev/nbd$n -b 512 >/dev/null 2>&1 || { echo "FAILED nbd-client"; exit 1; }
    mkdir -p /mnt/$fs
    mount -t $fs /dev/nbd$n /mnt/$fs || { echo "FAILED mount of $fs"; exit 1; }
    n=$((n + 1))
done
for i in $(seq $ROUNDS); do
    for fs in $FS; do
        f=/mnt/$fs/file$i
        head -c $((RANDOM * 4 + 1)) /dev/urandom >$f
        head -c 9000 /dev/urandom >/mnt/$fs/noise
        sync $f /mnt/$fs || { echo "FAILED sync on $fs"; exit 1; }
        echo "FSYNCED $fs file$i $(sha256sum <$f)"
    done
done
for fs in $FS; do umount /mnt/$fs || exit 1; done
for d in $(seq 0 $((n - 1))); do nbd-client -d /dev/nbd$d >/dev/null; done
echo DONE
"""


class Trouble(Exception):
    pass


def run(*cmd, timeout=120):
    p = subprocess.run(cmd, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    if p.returncode:
        raise Trouble(f"$ {' '.join(cmd)}: {p.returncode}\n{p.stdout[-2000:]}{p.stderr[-2000:]}")
    return p.stdout


def skip(why):
    print(f"1..0 # SKIP {why}")
    sys.exit(77)


class World:
    def __init__(self, args, folder):
        self.args, self.dir = args, folder
        self.ashlar = os.path.realpath(os.path.join(args.build, "ashlar"))
        self.sock = os.path.join(folder, "rpc")
        self.disk = os.path.join(folder, "disk.img")
        self.daemon = self.log = None
        self.files = {fs: {} for fs in args.fs}  # name: [digest, safe from, touched at or None]

    def path(self, *parts):
        return os.path.join(self.dir, *parts)

    def rpc(self, method, **params):
        return json.loads(run(self.ashlar, "rpc", "-r", self.sock, method, json.dumps(params)))

    def cli(self, *args):
        return run(self.ashlar, *args, "-r", self.sock)

    def seq(self):
        return self.rpc("bdev_log_seq", name="log0")

    def start(self):
        with open(self.disk, "wb") as f:
            f.truncate(DISK_BYTES)
        log = open(self.path("daemon.log"), "w", encoding="utf-8")  # pylint: disable=consider-using-with
        cmd = [self.ashlar, "serve", "-r", self.sock]
        if self.args.guest:
            cmd += ["--nbd", "tcp://127.0.0.1:0"]
        self.daemon = subprocess.Popen(cmd, stdout=log, stderr=subprocess.STDOUT)  # pylint: disable=consider-using-with
        for _ in range(400):
            if os.path.exists(self.sock):
                break
            time.sleep(0.05)
        self.rpc("bdev_aio_create", name="disk", filename=self.disk, block_size=512)
        self.rpc("bdev_log_create", name="log0", base_bdev_name="disk")
        self.rpc("bdev_lvol_create_lvstore", bdev_name="log0", lvs_name="tank", cluster_sz=65536)
        for fs in self.args.fs:
            self.cli("volume", "create", "tank/" + fs, SIZES[fs])

    def stop(self):
        if self.daemon and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            self.daemon.wait(60)

    # --------------------------------------------------------------- files

    def is_safe(self, fs, name, digest):
        self.files[fs][name] = [digest, self.seq(), None]

    def work_one(self, fs, root, i, rng):
        """A file with fsync, beside others without; some old ones go or get another name."""
        safe = [n for n, f in self.files[fs].items() if f[2] is None]
        if len(safe) > 4 and rng.random() < 0.3:
            old = rng.choice(safe)
            self.files[fs][old][2] = self.seq()
            if rng.random() < 0.5:
                os.unlink(os.path.join(root, old))
            else:
                os.rename(os.path.join(root, old), os.path.join(root, "moved"))
        with open(os.path.join(root, "noise"), "ab") as f:
            f.write(rng.randbytes(rng.randrange(1, 60000)))
        name, data = f"file{i}", rng.randbytes(rng.randrange(1, 200000))
        fd = os.open(os.path.join(root, name), os.O_CREAT | os.O_WRONLY)
        for at in range(0, len(data), 30000):
            os.write(fd, data[at:at + 30000])
        os.fsync(fd)
        os.close(fd)
        fd = os.open(root, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        self.is_safe(fs, name, hashlib.sha256(data).hexdigest())

    def work_here(self):
        rng = random.Random(self.args.seed)
        mounted, loops = [], []
        os.mkdir(self.path("m"))
        try:
            for fs in self.args.fs:
                self.cli("mount", "tank/" + fs, self.path("m"))
                loop = run("losetup", "-f", "--show", "--direct-io=on", self.path("m", fs)).strip()
                loops.append(loop)
                run(*MKFS[fs], loop)
                os.mkdir(self.path(fs))
                run("mount", "-t", fs, loop, self.path(fs))
                mounted.append(self.path(fs))
            for i in range(self.args.rounds):
                for fs in self.args.fs:
                    self.work_one(fs, self.path(fs), i, rng)
                if i % 10 == 5:
                    for fs in self.args.fs:
                        self.cli("snapshot", "create", "tank/" + fs, f"s{i}-{fs}")
                if i % 10 == 9:
                    for fs in self.args.fs:
                        self.cli("snapshot", "delete", "--yes", f"tank/s{i - 4}-{fs}")
        finally:
            for m in mounted:
                subprocess.run(["umount", m], check=False)
            for loop in loops:
                subprocess.run(["losetup", "-d", loop], check=False)
        time.sleep(0)  # the loop devices let go of the files when their last user has
        for fs in self.args.fs:
            for _ in range(100):
                if subprocess.run([self.ashlar, "umount", "-r", self.sock, self.path("m")], capture_output=True,
                                  check=False).returncode == 0:
                    break
                time.sleep(0.1)
            break

    def work_in_guest(self):
        port = None
        for fs in self.args.fs:
            image = self.path("mkfs.img")
            with open(image, "wb") as f:
                f.truncate(int(SIZES[fs][:-1]) << 20)
            run(*MKFS[fs], image)
            run(self.ashlar, "export", "add", "-r", self.sock, "tank/" + fs, "--name", fs)
            listeners = self.rpc("nbd_get_listeners") if port is None else None
            if listeners:
                port = listeners[0].rsplit(":", 1)[1].rstrip("/")
            run("nbdcopy", "--flush", image, f"nbd://127.0.0.1:{port}/{fs}")
        script = self.path("guest.sh")
        with open(script, "w", encoding="utf-8") as f:
            f.write(f"FS='{' '.join(self.args.fs)}' PORT={port} ROUNDS={self.args.rounds}\n{GUEST}")
        p = subprocess.Popen([self.args.guest, "-t", "600", "-s", script], stdout=subprocess.PIPE,  # pylint: disable=consider-using-with
                             stderr=subprocess.STDOUT, text=True, errors="replace")
        said = []
        for line in p.stdout:
            said.append(line)
            words = line.split()
            if line.startswith("FSYNCED"):
                self.is_safe(words[1], words[2], words[3])
        code = p.wait()
        if code == 125:
            skip("the guest cannot be set up: " + "".join(said[-1:]).strip())
        if code or not any(s.startswith("DONE") for s in said):
            raise Trouble(f"the guest ended with {code}:\n" + "".join(said[-20:]))

    # -------------------------------------------------------------- replay

    def read_log(self):
        entries = []
        with open(self.path("log"), "rb") as f:
            while head := f.read(ENTRY.size):
                seq, done, offset, length, n_data, rc, kind, flags = ENTRY.unpack(head)
                at = f.tell()
                f.seek(n_data, 1)
                if kind not in (WRITE, UNMAP, WRITE_ZEROES, FLUSH) or (kind == WRITE and n_data != length):
                    raise Trouble(f"cannot play back an entry of type {kind}")
                if done and rc == 0:
                    entries.append((done, seq, kind, flags, offset, length, at))
        return sorted(entries)

    def apply(self, image, entry):
        _, _, kind, _, offset, length, at = entry
        if kind == FLUSH:
            return
        if kind != WRITE:
            if LIBC.fallocate64(image.fileno(), PUNCH, ctypes.c_int64(offset), ctypes.c_int64(length)):
                raise Trouble(f"no hole at {offset}, {length} bytes: {os.strerror(ctypes.get_errno())}")
            return
        self.log.seek(at)
        os.pwrite(image.fileno(), self.log.read(length), offset)

    def check_volume(self, fs, point):
        raw, mnt = self.path("vol.img"), self.path("check")
        if os.path.exists(raw):
            os.unlink(raw)
        run(self.ashlar, "copy", "--disk", self.path("cut.img"), "tank/" + fs, raw)
        must = {n: f for n, f in self.files[fs].items() if f[1] <= point and (f[2] is None or f[2] > point)}
        if not must:
            return 0  # perhaps no file system yet
        os.makedirs(mnt, exist_ok=True)
        options = "loop,nouuid" if fs == "xfs" else "loop"
        run("mount", "-t", fs, "-o", options, raw, mnt)
        try:
            for name, (digest, _, _) in must.items():
                with open(os.path.join(mnt, name), "rb") as f:
                    if hashlib.sha256(f.read()).hexdigest() != digest:
                        raise Trouble(f"{fs}: {name}, whose fsync had returned, holds something else")
        except OSError as e:
            raise Trouble(f"{fs}: {e}") from e
        finally:
            run("umount", mnt)
        run(*FSCK[fs], raw)
        return len(must)

    def play(self):
        """Yields (flush, what the disk has then, files compared)."""
        entries = self.read_log()
        self.log = open(self.path("log"), "rb")  # pylint: disable=consider-using-with
        flushes = [e for e in entries if e[2] == FLUSH]
        n = len(flushes)
        first_file = min((f[1] for files in self.files.values() for f in files.values()), default=0)
        first = next((i for i, e in enumerate(flushes) if e[0] >= first_file), 0)
        step = 1 if not self.args.points else max(1, (n - first) // self.args.points)
        chosen = set(range(n - 1, first - 1, -step))
        base, n_base, safe_before = self.path("base.img"), 0, 0
        with open(base, "wb") as f:
            f.truncate(DISK_BYTES)
        for i, flush in enumerate(flushes):
            safe_before = max(safe_before, flush[1])
            with open(base, "r+b", buffering=0) as image:
                while n_base < len(entries) and entries[n_base][0] < safe_before:
                    self.apply(image, entries[n_base])
                    n_base += 1
            if i not in chosen:
                continue
            only_safe = i // step % 2 == 0
            run("cp", "--sparse=auto", base, self.path("cut.img"))
            with open(self.path("cut.img"), "r+b", buffering=0) as image:
                for e in entries[n_base:]:
                    if e[0] <= flush[0] and (not only_safe or e[3] & FUA):
                        self.apply(image, e)
            yield i, only_safe, flush[0], n


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("build", nargs="?", default="build")
    p.add_argument("--points", type=int, default=8)
    p.add_argument("--rounds", type=int, default=12)
    p.add_argument("--fs", default="ext4,xfs,btrfs")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--guest")
    args = p.parse_args()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    args.fs = args.fs.split(",")
    if os.geteuid() or not os.path.exists("/dev/loop-control"):
        skip("wants root and loop devices")
    if not args.guest and not os.access("/dev/fuse", os.W_OK):
        skip("no usable /dev/fuse")
    with open("/proc/filesystems", encoding="utf-8") as f:
        known = f.read().split()
    for fs in list(args.fs):
        if fs not in known and subprocess.run(["modprobe", fs], capture_output=True, check=False).returncode:
            print(f"# this kernel has no {fs}")
        elif not shutil.which(MKFS[fs][0]) or not shutil.which(FSCK[fs][0]):
            print(f"# no programs for {fs}")
        else:
            continue
        args.fs.remove(fs)
    if not args.fs:
        skip("none of the file systems can be had here")
    n_bad = n_tests = n_files = 0
    with tempfile.TemporaryDirectory() as folder:
        w = World(args, folder)
        try:
            w.start()
            if args.guest:
                w.work_in_guest()
            else:
                w.work_here()
            w.rpc("bdev_log_save", name="log0", filename=w.path("log"))
            w.stop()
            for i, only_safe, point, n_flushes in w.play():
                n_tests += 1
                name = f"flush {i + 1} of {n_flushes}, {'what is safe' if only_safe else 'all that was written'}"
                try:
                    if any(f[1] <= point for files in w.files.values() for f in files.values()):
                        run(w.ashlar, "check", w.path("cut.img"))
                        n = sum(w.check_volume(fs, point) for fs in args.fs)
                    else:
                        n = 0
                    n_files += n
                    print(f"ok {n_tests} - {name}: {n} files", flush=True)
                except Trouble as e:
                    n_bad += 1
                    print(f"not ok {n_tests} - {name}")
                    print("".join(f"# {line}\n" for line in str(e).splitlines()), end="")
        except Trouble as e:
            n_bad += 1
            n_tests += 1
            print(f"not ok {n_tests} - the recording")
            print("".join(f"# {line}\n" for line in str(e).splitlines()), end="")
            with open(w.path("daemon.log"), encoding="utf-8", errors="replace") as f:
                print("".join("# " + line for line in f.readlines()[-10:]), end="")
        finally:
            if w.daemon and w.daemon.poll() is None:
                w.daemon.kill()
    if n_bad:
        print(f"# again: tests/integration/fs_crash.py --points {args.points} --rounds {args.rounds} --seed {args.seed}")
    print(f"# {', '.join(args.fs)}: {n_tests} flushes played back, {n_files} files compared")
    print(f"1..{n_tests}")
    return 1 if n_bad or not n_files else 0


if __name__ == "__main__":
    sys.exit(main())

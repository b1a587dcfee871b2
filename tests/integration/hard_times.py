#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A daemon in bad company: stopped and continued under load, its disk file cut, removed or made
unreadable, a thousand clients that talk rubbish, and too little memory. What is asked for each time:
it goes on or says clearly why not; nothing acknowledged is lost; no descriptor is left behind.

  hard_times.py [BUILD_DIR] [--clients N] [--seed N] [--soak SECONDS]
--soak   instead: load, snapshots and clients for so long; memory and descriptors must not grow
TAP on stdout; 77: a program is missing."""

import argparse
import json
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

try:
    import nbd
except ImportError:
    print("1..0 # SKIP no python3-libnbd")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
VERIFY = os.path.join(HERE, "..", "tools", "nbd_verify.py")


class Trouble(Exception):
    pass


class Daemon:
    def __init__(self, ashlar, folder, memory=None):
        self.ashlar, self.dir, self.memory = ashlar, folder, memory
        self.sock, self.nbd, self.disk = (os.path.join(folder, n) for n in ("rpc", "nbd", "disk.img"))
        self.p = None

    def cli(self, *args, may_fail=False):
        p = subprocess.run([self.ashlar, *args], capture_output=True, text=True, timeout=120, check=False)
        if p.returncode and not may_fail:
            raise Trouble(f"ashlar {' '.join(args)}: {p.returncode} {p.stderr.strip()}")
        return p

    def make(self, size="1G"):
        with open(self.disk, "wb") as f:
            f.truncate({"1G": 1 << 30, "64M": 64 << 20}[size])
        self.cli("pool", "create", "--disk", self.disk, "tank", self.disk, "--cluster-size", "64K")
        self.cli("volume", "create", "--disk", self.disk, "tank/seq", "32M", "--thin")

    def start(self, *args, exports=("tank/seq",)):
        if os.path.exists(self.nbd):
            os.unlink(self.nbd)
        cmd = [self.ashlar, "serve", "-r", self.sock, "--disk", self.disk, "--nbd", "unix://" + self.nbd]
        for e in exports:
            cmd += ["--export", e]
        limit = (lambda: resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))) if self.memory else None
        log = open(os.path.join(self.dir, "daemon.log"), "w", encoding="utf-8")  # pylint: disable=consider-using-with
        self.p = subprocess.Popen(cmd + list(args), stdout=log, stderr=subprocess.STDOUT, preexec_fn=limit)  # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        for _ in range(400):
            if os.path.exists(self.nbd) and self.answers():
                return True
            if self.p.poll() is not None:
                return False
            time.sleep(0.05)
        return False

    def answers(self):
        return subprocess.run([self.ashlar, "ls", "-r", self.sock], capture_output=True, check=False,
                              timeout=60).returncode == 0

    def log(self):
        with open(os.path.join(self.dir, "daemon.log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def alive(self):
        if self.p.poll() is not None:
            raise Trouble(f"the daemon has ended with {self.p.returncode}:\n{self.log()[-1500:]}")

    def fds(self):
        return len(os.listdir(f"/proc/{self.p.pid}/fd"))

    def rss_kib(self):
        with open(f"/proc/{self.p.pid}/status", encoding="utf-8") as f:
            return int(re.search(r"VmRSS:\s*(\d+)", f.read()).group(1))

    def stop(self):
        """Its exit code."""
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
        return self.p.wait(60)

    def kill(self):
        if self.p and self.p.poll() is None:
            self.p.kill()
            self.p.wait()

    def uri(self, name="tank/seq"):
        return f"nbd+unix:///{name}?socket={self.nbd}"


def verify(d, state, mode, *more, **kw):
    return subprocess.Popen(["/usr/bin/python3", VERIFY, mode, d.uri(), state, *more], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, **kw)


def check_verify(d, state):
    p = verify(d, state, "verify")
    out, _ = p.communicate(timeout=120)
    if p.returncode:
        raise Trouble(out[-1500:])


# ------------------------------------------------------------------- stops

def stopped(d, args):
    """SIGSTOP and SIGCONT in the middle of a load."""
    state = os.path.join(d.dir, "state")
    rng = random.Random(args.seed)
    d.make()
    d.start()
    load = verify(d, state, "write", str(args.seed))
    for _ in range(10):
        time.sleep(rng.random() / 8)
        d.p.send_signal(signal.SIGSTOP)
        time.sleep(rng.random() / 8)
        d.p.send_signal(signal.SIGCONT)
    d.alive()
    if not d.answers():
        raise Trouble("it does not answer after SIGCONT")
    d.kill()
    load.wait(60)
    if not d.start():
        raise Trouble("it does not start again: " + d.log()[-800:])
    check_verify(d, state)
    if d.stop():
        raise Trouble("no clean end")


# -------------------------------------------------------------------- disks

def read_all(d):
    """0, or the errno of the first read that fails."""
    h = nbd.NBD()
    h.connect_uri(d.uri())
    try:
        for at in range(0, h.get_size(), 1 << 20):
            h.pread(1 << 20, at)
    except nbd.Error as e:
        return e.errnum or 5
    return 0


def fill(d, byte):
    h = nbd.NBD()
    h.connect_uri(d.uri())
    for at in range(0, h.get_size(), 1 << 20):
        h.pwrite(bytes([byte]) * (1 << 20), at)
    h.flush()
    h.shutdown()


def cut_disk(d, _):
    """The disk file becomes shorter: I/O there fails, the daemon stays; longer again, the pool opens
    or tells what is wrong with it."""
    d.make("64M")
    d.start()
    fill(d, 0x5a)
    os.truncate(d.disk, 20 << 20)
    if read_all(d) != 5:
        raise Trouble("reads of what was cut off do not fail with EIO")
    d.alive()
    if not d.answers():
        raise Trouble("it does not answer")
    d.stop()
    p = d.cli("check", d.disk, may_fail=True)
    if p.returncode not in (1, 2, 3, 4) or not p.stdout + p.stderr:
        raise Trouble(f"the cut disk counts as sound: {p.returncode} {p.stdout}")
    started = d.start()
    if started and d.answers() and read_all(d) == 0:
        raise Trouble("a volume whose data was cut off reads without an error")
    d.kill()


def removed_disk(d, _):
    """The disk file is unlinked: nobody notices, until the next start, which says so."""
    d.make("64M")
    d.start()
    fill(d, 0x33)
    os.rename(d.disk, d.disk + ".away")
    fill(d, 0x44)
    if read_all(d):
        raise Trouble("reads fail")
    if d.stop():
        raise Trouble("no clean end")
    if d.start():
        raise Trouble("it serves a disk that is not there")
    if "disk.img" not in d.log():
        raise Trouble("it does not name the file that it misses: " + d.log())
    os.rename(d.disk + ".away", d.disk)
    if not d.start() or read_all(d):
        raise Trouble("the file is back, and does not serve: " + d.log())
    d.stop()
    d.cli("check", d.disk)


def unreadable_disk(d, _):
    """Another process holds the file, or it is a folder: a clear refusal, nothing is changed."""
    d.make("64M")
    d.start()
    second = subprocess.run([d.ashlar, "check", d.disk], capture_output=True, text=True, check=False)
    if second.returncode == 0 or "RT_FILE_BUSY" not in second.stdout + second.stderr:
        raise Trouble(f"a busy file is not refused: {second.stdout}{second.stderr}")
    d.stop()
    os.rename(d.disk, d.disk + ".away")
    os.mkdir(d.disk)
    if d.start():
        raise Trouble("it serves a folder")
    if "disk.img" not in d.log():
        raise Trouble("it does not name what it cannot read: " + d.log())
    os.rmdir(d.disk)
    os.rename(d.disk + ".away", d.disk)
    d.cli("check", d.disk)


# ------------------------------------------------------------------ rubbish

STARTS = [b"", b"IHAVEOPT\0\0\0\1", b"\0\0\0\3IHAVEOPT\0\0\0\1\xff\xff\xff\xff", b"\0\0\0\3IHAVEOPT\0\0\0\7\0\0\0\x10",
          b'{"jsonrpc":"2.0","method":', b'{"jsonrpc":"2.0","id":1,"method":"rpc_get_methods"}', b"[" * 4000,
          b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\xff" * 64]


def talk_rubbish(path, rng):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(0.05)
    try:
        s.connect(path)
        for _ in range(rng.randrange(1, 4)):
            s.send(rng.choice(STARTS) + rng.randbytes(rng.choice([0, 1, 7, 100, 5000])))
            if rng.random() < 0.3:
                s.recv(4096)
    except OSError:
        pass
    return s


def rubbish(d, args):
    """Clients that say anything, half of them still there when others come."""
    rng = random.Random(args.seed)
    d.make("64M")
    d.start()
    fill(d, 0x21)
    if not d.answers():
        raise Trouble("it does not answer")
    n_fds = d.fds()
    held = []
    for i in range(args.clients):
        held.append(talk_rubbish(d.nbd if i % 2 else d.sock, rng))
        if len(held) > 40:
            held.pop(rng.randrange(len(held))).close()
        if i % 100 == 99:
            d.alive()
    for s in held:
        s.close()
    if read_all(d) or not d.answers():
        raise Trouble("honest clients are not served")
    for _ in range(200):
        if d.fds() <= n_fds:
            break
        time.sleep(0.05)
    if d.fds() > n_fds:
        raise Trouble(f"{d.fds() - n_fds} descriptors were left behind")
    if d.stop():
        raise Trouble("no clean end")
    d.cli("check", d.disk)


# ------------------------------------------------------------------- memory

def no_memory(d, _):
    """Address space runs out under load: requests fail or wait, the daemon lives, the pool is whole."""
    d.make("64M")
    d.start("--reactors", "1")
    with open(f"/proc/{d.p.pid}/status", encoding="utf-8") as f:
        used = int(re.search(r"VmSize:\s*(\d+)", f.read()).group(1)) << 10
    d.stop()
    outcomes = []
    for extra in (1 << 20, 4 << 20, 16 << 20, 64 << 20):
        d.memory = used + extra
        if not d.start("--reactors", "1"):
            if d.p.poll() is None or d.p.returncode < 0 or not d.log().strip():
                raise Trouble(f"+{extra >> 20} MiB: it ends with {d.p.returncode}, without a word")
            outcomes.append("refuses")
            continue
        state = os.path.join(d.dir, f"state{extra}")
        loads = []
        for k in range(6):
            try:
                h = nbd.NBD()
                h.connect_uri(d.uri())
                loads.append(h)
                for at in range(16):
                    h.pwrite(bytes([k + 1]) * (1 << 20), at << 20)
            except nbd.Error:
                pass
        d.alive()
        del loads
        for _ in range(100):
            if d.answers():
                break
            d.alive()
        else:
            raise Trouble("it does not answer any more")
        outcomes.append("serves")
        d.kill()
        d.memory = None
        if not d.start() or read_all(d):
            raise Trouble("the pool is not whole afterwards")
        d.stop()
        d.cli("check", d.disk)
        del state
    d.memory = None
    if "serves" not in outcomes:
        raise Trouble(f"it never serves: {outcomes}")


# --------------------------------------------------------------------- soak

def soak(d, args):
    """Memory and descriptors are where they were after the first fifth."""
    d.make()
    d.start()
    state = os.path.join(d.dir, "state")
    end = time.monotonic() + args.soak
    ended = threading.Event()

    def churn():
        i = 0
        while not ended.is_set():
            i += 1
            d.cli("snapshot", "create", "-r", d.sock, "tank/seq", f"s{i}", may_fail=True)
            d.cli("snapshot", "delete", "-r", d.sock, "--yes", f"tank/s{i}", may_fail=True)
            d.cli("volume", "create", "-r", d.sock, f"tank/v{i}", "8M", may_fail=True)
            d.cli("volume", "delete", "-r", d.sock, "--yes", f"tank/v{i}", may_fail=True)
            talk_rubbish(d.nbd, random.Random(i)).close()

    thread = threading.Thread(target=churn)
    thread.start()
    load = verify(d, state, "write", str(args.seed))
    samples = []
    try:
        while time.monotonic() < end:
            time.sleep(min(5, args.soak / 20))
            d.alive()
            samples.append((d.rss_kib(), d.fds()))
    finally:
        ended.set()
        thread.join()
    first = samples[len(samples) // 5:2 * len(samples) // 5] or samples
    last = samples[-max(1, len(samples) // 5):]
    rss = [max(s[0] for s in part) for part in (first, last)]
    fds = [max(s[1] for s in part) for part in (first, last)]
    d.kill()
    load.wait(60)
    d.start()
    check_verify(d, state)
    d.stop()
    print(f"# soak: {args.soak} s, memory {rss[0]} -> {rss[1]} KiB, descriptors {fds[0]} -> {fds[1]}")
    if rss[1] > rss[0] * 1.1 + 4096:
        raise Trouble("memory grows")
    if fds[1] > fds[0] + 2:
        raise Trouble("descriptors grow")


def main():
    p = argparse.ArgumentParser(usage=__doc__)
    p.add_argument("build", nargs="?", default=os.path.join(HERE, "..", "..", "build"))
    p.add_argument("--clients", type=int, default=1000)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--soak", type=int)
    p.add_argument("--only")
    args = p.parse_args()
    ashlar = os.path.realpath(os.path.join(args.build, "ashlar"))
    cases = [soak] if args.soak else [stopped, cut_disk, removed_disk, unreadable_disk, rubbish, no_memory]
    cases = [c for c in cases if args.only in (None, c.__name__)]
    n_bad = 0
    for i, case in enumerate(cases, 1):
        name = case.__doc__.split(":")[0].split("\n")[0].rstrip(".")
        with tempfile.TemporaryDirectory() as folder:
            d = Daemon(ashlar, folder)
            try:
                case(d, args)
                print(f"ok {i} - {name}", flush=True)
            except (Trouble, nbd.Error, OSError, subprocess.SubprocessError, json.JSONDecodeError) as e:
                n_bad += 1
                print(f"not ok {i} - {name}")
                print("".join(f"# {line}\n" for line in f"{type(e).__name__} {e}".splitlines()), end="")
                print(f"# again: tests/integration/hard_times.py --only {case.__name__} --seed {args.seed}", flush=True)
            finally:
                d.kill()
    print(f"1..{len(cases)}")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())

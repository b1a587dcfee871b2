#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Contents of logical volumes on disks that lvm2 and the kernel made, against the sums that the
kernel read: lvm_contents.py [BUILD]; of mirrors and raids also without some of their PVs. Types that
are not opened yet must say so; nothing is written to a disk that is only read. Then writes: what is
written to linear, striped, raid0 and raid1 LVs is read back, lands nowhere else, and reaches an NBD client.
Prints TAP."""

import glob
import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, sys.argv[1] if len(sys.argv) > 1 else "build")
ASHLAR = os.path.join(BUILD, "ashlar")
GOLDEN = os.path.join(ROOT, "tests", "golden")
# thin volumes, COW snapshots and caches come later
NOT_YET = {"lin_cow", "bcow", "sn1", "sn2", "sparse", "t1", "t1s1", "t1s2", "t1s2s", "t2", "t3", "extc", "c1",
           "c1s", "slow"}
# data on a PV that is not among the images
PARTIAL = {"vgmiss/ond", "vgmiss/span"}
n = n_failed = 0


def case(ok, what, why=""):
    global n, n_failed
    n += 1
    n_failed += not ok
    print(f"{'ok' if ok else 'not ok'} {n} - {what}", flush=True)
    for line in why.splitlines() if not ok else []:
        print("# " + line)


def sha256(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def ashlar(*args):
    p = subprocess.run([ASHLAR, *args], capture_output=True, text=True, timeout=120)
    return p.returncode, p.stdout + p.stderr


def uri(lv, pvs, more=""):
    return f"lvm:///{lv}?pvs={','.join(pvs)}{more}"


def unpack(files, folder):
    out = []
    for f in sorted(files):
        to = os.path.join(folder, os.path.basename(f)[:-4])
        subprocess.run(["zstd", "-q", "-d", "--long=27", "--sparse", "-f", f, "-o", to], check=True)
        out.append(to)
    return out


def cases():
    for m in sorted(glob.glob(GOLDEN + "/lvm2/*.json")):
        with open(m, encoding="utf-8") as f:
            lvs = json.load(f)["lv_content_sha256_read_through_kernel"]
        yield os.path.basename(m)[:-5], {lv: d["sha256"] for lv, d in lvs.items()}, glob.glob(m[:-5] + ".pv*.img.zst")
    for m in sorted(glob.glob(GOLDEN + "/lvm2-kernel/*.manifest.json")):
        with open(m, encoding="utf-8") as f:
            d = json.load(f)
        lvs = {f"{v['vg']}/{v['lv']}": v["sha256"] for v in d["lvs"] if v["readable"]}
        yield d["case"], lvs, glob.glob(m[:-len("manifest.json")] + "*.img.zst")


def contents(folder):
    for name, lvs, files in cases():
        pvs = unpack(files, folder)
        before = [sha256(p) for p in pvs]
        for lv, want in sorted(lvs.items()):
            out = os.path.join(folder, "out")
            rc, text = ashlar("copy", uri(lv, pvs, "&read_only"), out)
            if lv.split("/")[1] in NOT_YET:
                case(rc != 0 and "LVM_LV_TYPE" in text, f"{name} {lv} is refused", text)
            elif lv in PARTIAL:
                case(rc != 0 and "LVM_LV_PARTIAL" in text, f"{name} {lv} is not there as a whole", text)
            else:
                have = sha256(out) if rc == 0 else text
                case(have == want, f"{name} {lv}", f"{have}, not {want}")
            if os.path.exists(out):
                os.unlink(out)
        case(before == [sha256(p) for p in pvs], f"{name}: the disks are as they were")
        for p in pvs:
            os.unlink(p)


def writes(folder):
    """Every second 4 KiB of an LV; the others, and all other LVs, stay."""
    for name, lv, others in (("lvm2/striped", "vgstr/s3", ["vgstr/s2", "vgstr/s256", "vgstr/span"]),
                             ("lvm2/linear-tags", "vgone/alpha", ["vgone/gamma", "vgone/delta"]),
                             ("lvm2-kernel/a2-raid-cache", "vgr/r0", ["vgr/r1", "vgr/r5", "vgr/r10", "vgr/mcore"]),
                             ("lvm2-kernel/a2-raid-cache", "vgr/r1", ["vgr/r0", "vgr/r4", "vgr/r10", "vgr/mlog"])):
        pvs = unpack(glob.glob(f"{GOLDEN}/{name}.*.img.zst"), folder)
        old, new, got = (os.path.join(folder, x) for x in ("old", "new", "got"))
        sums = {}
        for o in others:
            ashlar("copy", uri(o, pvs), got)
            sums[o] = sha256(got)
            os.unlink(got)
        ashlar("copy", uri(lv, pvs), old)
        shutil.copyfile(old, new)
        rng = random.Random(name)
        with open(new, "r+b") as f:
            for at in range(0, os.path.getsize(old), 8192):
                f.seek(at)
                f.write(rng.randbytes(4096))
        rc, text = ashlar("copy", new, uri(lv, pvs))
        os.path.exists(got) and os.unlink(got)
        rc2, text2 = ashlar("copy", uri(lv, pvs), got)
        case(rc == 0 and rc2 == 0 and sha256(got) == sha256(new), f"{name}: {lv} is written", text + text2)
        os.unlink(got)
        for o in others:
            ashlar("copy", uri(o, pvs), got)
            case(sha256(got) == sums[o], f"{name}: {o} is as it was")
            os.unlink(got)
        for i in range(3 if lv == "vgr/r1" else 0):
            rc, text = ashlar("copy", uri(lv, pvs[i:i + 1]), got)
            case(rc == 0 and sha256(got) == sha256(new), f"{name}: {lv} is the same on leg {i}", text)
            os.unlink(got)
        for f in [old, new, *pvs]:
            os.unlink(f)


def refused(folder):
    pvs = unpack(glob.glob(f"{GOLDEN}/lvm2/mirror-raid1.pv*.img.zst"), folder)
    src = os.path.join(folder, "src")
    with open(src, "wb") as f:
        f.truncate(8 << 20)
    before = [sha256(p) for p in pvs]
    rows = [("an old mirror is not written to", ["copy", src, uri("vgmir/mdisk", pvs)], "read-only"),
            ("nor a raid1 without a leg", ["copy", src, uri("vgmir/r1", pvs[1:])], "read-only"),
            ("no such LV", ["copy", uri("vgmir/none", pvs), src + "2"], "LVM_LV_NOT_FOUND"),
            ("no such VG", ["copy", uri("vgx/r1", pvs), src + "2"], "LVM_LV_NOT_FOUND"),
            ("a part of an LV", ["copy", uri("vgmir/r1_rimage_0", pvs), src + "2"], "LVM_LV_TYPE"),
            ("no devices", ["copy", "lvm:///vgmir/r1", src + "2"], "BDEV_URI_INVALID"),
            ("no LV in the path", ["copy", uri("vgmir", pvs), src + "2"], "BDEV_URI_INVALID"),
            ("a device that is not there", ["copy", uri("vgmir/r1", ["/nowhere"]), src + "2"], "nowhere")]
    for what, args, word in rows:
        rc, text = ashlar(*args)
        case(rc != 0 and word in text, what, text)
    case(before == [sha256(p) for p in pvs], "nothing of it has changed the disks")


def rmeta_at(leg):
    """Byte of the superblock of a leg of vga/mir, by the kernel's table."""
    with open(f"{GOLDEN}/lvm2-kernel/a1-basic.vga.dmtable", encoding="utf-8") as f:
        line = next(x for x in f if x.startswith(f"vga-mir_rmeta_{leg}:"))
    return int(line.split()[-1]) * 512


def patch(path, at, data):
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(data)


def raid(folder):
    """What superblocks say of legs counts."""
    with open(f"{GOLDEN}/lvm2-kernel/a1-basic.manifest.json", encoding="utf-8") as f:
        want = next(v["sha256"] for v in json.load(f)["lvs"] if v["lv"] == "mir")
    with open(f"{GOLDEN}/lvm2-kernel/a1-basic.vga.dmtable", encoding="utf-8") as f:
        image0 = next(int(x.split()[-1]) * 512 for x in f if x.startswith("vga-mir_rimage_0:"))
    out = os.path.join(folder, "out")
    files = glob.glob(f"{GOLDEN}/lvm2-kernel/a1-basic.*.img.zst")

    def read(change):
        pvs = unpack(files, folder)
        change(pvs)
        os.path.exists(out) and os.unlink(out)
        rc, text = ashlar("copy", uri("vga/mir", pvs, "&read_only"), out)
        return sha256(out) if rc == 0 else text

    def spoil(pvs):
        patch(pvs[0], image0, b"x" * 4096)

    def fail_first(pvs):  # the other leg's superblock says so, and is newer
        spoil(pvs)
        with open(pvs[1], "rb") as f:
            f.seek(rmeta_at(1) + 16)
            events = int.from_bytes(f.read(8), "little")
        patch(pvs[1], rmeta_at(1) + 16, (events + 1).to_bytes(8, "little") + (1).to_bytes(8, "little"))

    def recovering(pvs):
        spoil(pvs)
        patch(pvs[0], rmeta_at(0) + 32, (0).to_bytes(8, "little"))

    def stale(pvs):
        spoil(pvs)
        patch(pvs[0], rmeta_at(0) + 16, (1).to_bytes(8, "little"))

    case(read(spoil) != want, "raid1: the first leg is read")
    for what, change in (("that has failed", fail_first), ("that was being rebuilt", recovering),
                         ("that fell behind", stale)):
        have = read(change)
        case(have == want, f"raid1: a leg {what} is not read", have)
    for what, at, data in (("another level", 48, b"\5\0\0\0"), ("another number of legs", 8, b"\3\0\0\0"),
                           ("an unknown feature", 144, b"\1\0\0\0"), ("a reshape under way", 60, b"\1\0\0\0")):
        have = read(lambda pvs, at=at, data=data: patch(pvs[0], rmeta_at(0) + at, data))
        case("LVM_RAID" in have, f"raid1: a superblock with {what} is refused", have)


def legs_of(lv):
    """PVs (0 ..) of the legs of an LV of a2-raid-cache, by the kernel's tables: PV n is 254:16(n+1)."""
    with open(f"{GOLDEN}/lvm2-kernel/a2-raid-cache.vgr.dmtable", encoding="utf-8") as f:
        return {int(x.split("image_")[1].split(":")[0]): int(x.split("254:")[1].split()[0]) // 16 - 1
                for x in f if x.startswith((f"vgr-{lv}_rimage_", f"vgr-{lv}_mimage_"))}


def can_read(lv, lost):
    """May an LV be read without these of its legs?"""
    if lv == "r0":
        return not lost
    if lv.startswith("m"):  # the first leg of an old mirror is what is read
        return 0 not in lost
    if lv == "r1":
        return len(lost) < 3
    if lv == "r10":
        return not {0, 1} <= lost and not {2, 3} <= lost
    return len(lost) <= (2 if lv == "r6" else 1)


def degraded(folder):
    """Each raid LV without one PV, and without two: all of it, or none."""
    with open(f"{GOLDEN}/lvm2-kernel/a2-raid-cache.manifest.json", encoding="utf-8") as f:
        lvs = {v["lv"]: v["sha256"] for v in json.load(f)["lvs"] if v["lv"][0] in "rm"}
    pvs = unpack(glob.glob(f"{GOLDEN}/lvm2-kernel/a2-raid-cache.*.img.zst"), folder)
    before = [sha256(p) for p in pvs]
    out = os.path.join(folder, "out")
    case(sorted(lvs) == ["mcore", "mlog", "r0", "r1", "r10", "r4", "r5", "r6"], "the raid LVs are known")
    for lv, want in sorted(lvs.items()):
        legs = legs_of(lv)
        sets = [s for k in (1, 2) for s in itertools.combinations(range(5), k)]
        for gone in [s for s in sets if set(s) <= set(legs.values())]:
            rc, text = ashlar("copy", uri(f"vgr/{lv}", [p for i, p in enumerate(pvs) if i not in gone], "&read_only"), out)
            have = sha256(out) if rc == 0 else text
            os.path.exists(out) and os.unlink(out)
            without = f"vgr/{lv} without PV {' and '.join(map(str, gone))}"
            if can_read(lv, {leg for leg, pv in legs.items() if pv in gone}):
                case(have == want, without, have)
            else:
                case("LVM_LV_PARTIAL" in have, without + " is refused", have)
    case(before == [sha256(p) for p in pvs], "nothing of it has changed the disks")
    for p in pvs:
        os.unlink(p)


def served(folder):
    """An LV by NBD, and a write by that way."""
    if not shutil.which("qemu-img"):
        return
    pvs = unpack(glob.glob(f"{GOLDEN}/lvm2/striped.pv*.img.zst"), folder)
    sock, ctl = os.path.join(folder, "nbd"), os.path.join(folder, "ctl")
    p = subprocess.Popen([ASHLAR, "serve", "-r", ctl, "--disk", uri("vgstr/span", pvs), "--nbd", f"unix://{sock}",
                          "--export", "vgstr/span=span"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for _ in range(200):
            if os.path.exists(sock) or p.poll() is not None:
                break
            time.sleep(0.05)
        image = f"nbd+unix:///span?socket={sock}"
        got = os.path.join(folder, "got")
        q = subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "raw", image, got], capture_output=True, text=True)
        with open(f"{GOLDEN}/lvm2/striped.json", encoding="utf-8") as f:
            want = json.load(f)["lv_content_sha256_read_through_kernel"]["vgstr/span"]["sha256"]
        case(q.returncode == 0 and sha256(got) == want, "an NBD client reads it", q.stderr)
        q = subprocess.run(["qemu-io", "-f", "raw", "-c", "write -P 0x5a 1M 3M", "-c", "flush", image],
                           capture_output=True, text=True)
        q2 = subprocess.run(["qemu-io", "-f", "raw", "-c", "read -P 0x5a 1M 3M", image], capture_output=True, text=True)
        case(q.returncode == 0 and q2.returncode == 0 and "fail" not in q2.stdout, "and writes it", q.stderr + q2.stdout)
    finally:
        p.terminate()
        p.wait(20)
    case(p.returncode == 0, "the daemon ends well", p.stdout.read())


def main():
    if not shutil.which("zstd"):
        print("1..0 # SKIP no zstd")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        contents(folder)
        writes(folder)
        refused(folder)
        raid(folder)
        degraded(folder)
        served(folder)
    print(f"1..{n}")
    return n_failed != 0


if __name__ == "__main__":
    sys.exit(main())

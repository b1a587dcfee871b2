#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Disks that SPDK wrote, through the command line: `look` lists what SPDK listed, `copy` reads what
SPDK read, `check` returns, and none of them changes a byte or the time of the file, on dirty disks
too. Then a copy is opened for writing (`run`) and closed: `check` finds it sound, and what it holds is
the same.

Usage: tests/integration/golden_cli.py [CASE...]     ($ASHLAR: the binary)"""

import glob
import hashlib
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ASHLAR = os.environ.get("ASHLAR", os.path.join(ROOT, "build", "ashlar"))
GOLDEN = os.path.join(ROOT, "tests/golden/spdk")


def file_sha(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            h.update(block)
    return h.hexdigest()


def stream_sha(cmd):
    """SHA-256 of a program's output; None and its last words when it fails."""
    h = hashlib.sha256()
    with subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as p:
        for block in iter(lambda: p.stdout.read(1 << 20), b""):
            h.update(block)
        err = p.stderr.read().decode()
        return (h.hexdigest(), "") if p.wait() == 0 else (None, err)


def pattern_complaint(cmd):
    """Blocks must be zero or hold their own place (README of the disks: Write pattern). For the one
    case whose sizes are no powers of two, where SPDK's reading back is not what was written."""
    data = subprocess.run(cmd, stdout=subprocess.PIPE, check=True).stdout
    n = 0
    for at in range(0, len(data), 4096):
        block = data[at:at + 4096]
        if block.count(0) == len(block):
            continue
        n += 1
        if block != block[:32] * 128 or block[17:31] != b"@%013x" % at:
            return f"the block at {at} holds {block[:32]!r}"
    return "" if n else "nothing in it"


def uri(path, image):
    text = f"aio://{path}?blk_size={image['block_size']}"
    return text + (f"&uuid={image['bdev_uuid']}" if image.get("bdev_uuid") else "")


def run_case(case, folder):
    """Yields complaints; returns how many volumes were compared."""
    with open(os.path.join(GOLDEN, case + ".json"), encoding="utf-8") as f:
        m = json.load(f)
    disks, problems, n = [], [], 0
    for image in m["images"]:
        path = os.path.join(folder, image["file"].removesuffix(".zst"))
        subprocess.run(["zstd", "-q", "-d", "--long=27", "--sparse", "-f",
                        os.path.join(GOLDEN, image["file"]), "-o", path], check=True)
        image["path"] = path
        image["mtime"] = os.stat(path).st_mtime_ns
        if not image.get("absent_when_truth_was_taken"):
            disks.append(image)
    store = next(i for i in m["images"] if i["role"] != "external snapshot")
    args = [a for i in sorted(disks, key=lambda i: i is store)
            for a in ("--disk", uri(i["path"], i))]
    look = subprocess.run([ASHLAR, "look", "-o", "json", *args[1::2]], capture_output=True, text=True)
    if look.returncode:
        return [f"look: {look.stderr}"], 0
    seen = next(d for d in json.loads(look.stdout)["disks"] if store["path"] in d["path"])
    flag = store.get("super_clean_flag")
    if flag is not None and m["truth"].get("stores") and seen.get("clean") is not bool(flag):
        problems.append(f"look: clean is {seen.get('clean')}")
    volumes = {v["uuid"]: v for v in seen.get("volumes", [])}
    for lvol in m["truth"].get("lvols", []):
        name = lvol.get("alias") or f"{lvol['lvs']['name']}/{lvol['name']}"
        v = volumes.get(lvol["uuid"])
        if not v or v["name"] != lvol["name"]:
            problems.append(f"look does not show {name}")
            continue
        if (v["state"] == "degraded") != bool(lvol.get("no_bdev")):
            problems.append(f"{name}: state {v['state']}")
        want = lvol.get("sha256")
        if not want or lvol.get("no_bdev") or lvol.get("read_error"):
            continue
        if case == "cluster-192k-512":
            err = pattern_complaint([ASHLAR, "copy", *args, name, "-"])
            problems += [f"{name}: {err}"] if err else []
            n += 1
            continue
        got, err = stream_sha([ASHLAR, "copy", *args, name, "-"])
        n += 1
        if got != want:
            problems.append(f"{name}: " + (err.strip() or f"SHA-256 {got}, SPDK read {want}"))
    for image in m["images"]:
        check = subprocess.run([ASHLAR, "check", uri(image["path"], image)], capture_output=True, text=True)
        if check.returncode not in (0, 1, 3):
            problems.append(f"check ends with {check.returncode}: {check.stderr}")
        if file_sha(image["path"]) != image["sha256_raw"]:
            problems.append(f"{image['path']} has changed")
        if os.stat(image["path"]).st_mtime_ns != image["mtime"]:
            problems.append(f"{image['path']} was written to")
    problems += reopened(case, m, args, store)
    return problems, n


def reopened(case, m, args, store):
    """Complaints about the disk (of the test's own folder) after it was opened for writing."""
    lvols = [v for v in m["truth"].get("lvols", []) if v.get("sha256") and not v.get("no_bdev") and
             not v.get("read_error")]
    if not lvols:
        return []
    lvol = lvols[-1]
    name = lvol.get("alias") or f"{lvol['lvs']['name']}/{lvol['name']}"
    p = subprocess.run([ASHLAR, "run", *args, name, "--", "true"], capture_output=True, text=True)
    if p.returncode:
        return [f"run on {name}: {p.stderr}"]
    p = subprocess.run([ASHLAR, "check", uri(store["path"], store)], capture_output=True, text=True)
    if p.returncode:
        return [f"check after run: {p.stdout}{p.stderr}"]
    if case == "cluster-192k-512":
        return []
    got, err = stream_sha([ASHLAR, "copy", *args, name, "-"])
    return [] if got == lvol["sha256"] else [f"{name} after run: {err.strip() or got}"]


def main():
    cases = sys.argv[1:] or sorted(os.path.basename(p)[:-5] for p in glob.glob(GOLDEN + "/*.json"))
    n_failed = n_volumes = 0
    print(f"1..{len(cases)}")
    for i, case in enumerate(cases, 1):
        with tempfile.TemporaryDirectory(prefix="ashlar-golden-") as folder:
            problems, n = run_case(case, folder)
        n_volumes += n
        n_failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {i} - {case} # {n} volumes", flush=True)
        for p in problems:
            print("#   " + p.replace("\n", "\n#   "))
    print(f"# {len(cases) - n_failed} passed, {n_failed} failed, 0 skipped; {n_volumes} volumes compared")
    return 1 if n_failed or not n_volumes else 0


if __name__ == "__main__":
    sys.exit(main())

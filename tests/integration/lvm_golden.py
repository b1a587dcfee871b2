#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reports of the LVM commands over disks that lvm2 wrote, field by field against what lvm2 reported
(tests/golden/lvm2/*.json), and the plain tables byte for byte.   lvm_golden.py ASHLAR GOLDEN IMAGES [CASE...]

The images are given names as long as those of the devices they were on, so tables are as wide."""

import json
import os
import subprocess
import sys
import tempfile

# A file has no device numbers.
NOT_OURS = {"pv_major", "pv_minor"}
n_values = n_tables = 0
failures = []


def run(cwd, ashlar, *args):
    env = dict(os.environ, TZ="UTC")
    p = subprocess.run([ashlar, "lvm", *args], cwd=cwd, capture_output=True, text=True, env=env)
    return p.returncode, p.stdout.replace("dev0/", "/dev/"), p.stderr.replace("dev0/", "/dev/")


def same_rows(case, what, want, have, keys):
    """Rows may come in any order."""
    def key(row):
        return tuple(row.get(k, "") for k in keys)
    global n_values
    want, have = sorted(want, key=key), sorted(have, key=key)
    if [key(r) for r in want] != [key(r) for r in have]:
        failures.append(f"{case} {what}: rows are {[key(r) for r in have]}, not {[key(r) for r in want]}")
        return
    for w, h in zip(want, have):
        for field in sorted(set(w) | set(h)):
            if field in NOT_OURS:
                continue
            n_values += 1
            if w.get(field, h.get(field) if h.get(field) in ("", "-1", "unknown") else "(absent)") != h.get(field):
                failures.append(f"{case} {what} {key(w)}: {field} is {h.get(field)!r}, not {w.get(field)!r}")


def reports(case, ashlar, cwd, manifest, devices):
    for what, sets, keys in (("pvs", "pv_all,vg_name", ("pv_uuid",)), ("vgs", "vg_all", ("vg_uuid",)),
                             ("lvs", "lv_all,vg_name,seg_all", ("lv_uuid", "seg_start"))):
        rc, out, err = run(cwd, ashlar, what, *(["-a"] if what != "pvs" else []), "--devices", devices,
                           "--reportformat", "json", "--units", "b", "--nosuffix", "-o", sets)
        if rc != manifest["reports"][what + "_rc"]:
            failures.append(f"{case} {what}: exit code {rc}: {err}")
        rows = json.loads(out)["report"][0][what[:-1]]
        asked = manifest["reports"][what]
        same_rows(case, what, asked, rows, keys)


def table(case, ashlar, cwd, what, want, devices):
    global n_tables
    args = {"lvs": ["lvs", "-a", "-o", "+devices"], "vgs": ["vgs"], "pvs": ["pvs"],
            "lvdisplay": ["lvdisplay", "-m"], "vgdisplay": ["vgdisplay", "-v"], "pvdisplay": ["pvdisplay", "-m"]}[what]
    rc, out, err = run(cwd, ashlar, *args, "--devices", devices)
    if rc == 2:
        return  # not there yet
    n_tables += 1
    # Warnings were recorded among the output.
    lines = [l for l in want.split("\n") if not l.startswith("  WARNING") and l != "  Retrying metadata scan."]
    if out.rstrip("\n") != "\n".join(lines).rstrip("\n"):
        failures.append(f"{case} table {what}:\n--- have\n{out}--- want\n" + "\n".join(lines))


def main():
    ashlar, golden, images = os.path.abspath(sys.argv[1]), sys.argv[2], os.path.abspath(sys.argv[3])
    n_cases = 0
    for name in sorted(os.listdir(golden)):
        case = name[:-5]
        if not name.endswith(".json") or (len(sys.argv) > 4 and case not in sys.argv[4:]):
            continue
        with open(os.path.join(golden, name), encoding="utf-8") as f:
            manifest = json.load(f)
        n_cases += 1
        with tempfile.TemporaryDirectory() as cwd:
            os.mkdir(os.path.join(cwd, "dev0"))
            devices = []
            for image in manifest["images"]:
                shown = image["device_name_in_reports"].replace("/dev/", "dev0/")
                os.symlink(os.path.join(images, image["file"][:-4]), os.path.join(cwd, shown))
                devices.append(shown)
            reports(case, ashlar, cwd, manifest, ",".join(devices))
            for what, want in manifest["text_output"].items():
                table(case, ashlar, cwd, what, want, ",".join(devices))
    for f in failures[:60]:
        print("# " + f)
    print(f"{n_cases} cases, {n_values} values and {n_tables} tables compared, {len(failures)} differences")
    return 1 if failures or not n_values or not n_tables else 0


if __name__ == "__main__":
    sys.exit(main())

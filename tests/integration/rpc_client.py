#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A plain JSON-RPC client, and with it a walk through SPDK's methods as clients use them.

As a library:  c = Rpc("/var/tmp/spdk.sock"); c.call("bdev_get_bdevs", name="x")
As a test:     rpc_client.py SERVER_BINARY [ARG...]   starts it with "-s SOCKET" appended
               rpc_client.py --socket PATH            uses a server that runs already
Codes and results are those of docs/spec/spdk-jsonrpc.md section 7 and Appendix C.
"""
import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20


class RpcError(Exception):
    def __init__(self, error):
        super().__init__("%d %s" % (error["code"], error["message"]))
        self.code = error["code"]
        self.message = error["message"]
        self.data = error.get("data", {})


class Rpc:
    """One connection. Replies may come in any order: they are matched by id."""

    def __init__(self, path, timeout=60):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")
        self.next_id = 0
        self.waiting = {}

    def send(self, method, params=None):
        self.next_id += 1
        req = {"jsonrpc": "2.0", "id": self.next_id, "method": method}
        if params is not None:
            req["params"] = params
        self.sock.sendall(json.dumps(req).encode())
        return self.next_id

    def line(self):
        line = self.file.readline()
        if not line:
            raise EOFError("the server has closed the connection")
        return json.loads(line)

    def result(self, req_id):
        while req_id not in self.waiting:
            reply = self.line()
            self.waiting[reply["id"]] = reply
        reply = self.waiting.pop(req_id)
        if "error" in reply:
            raise RpcError(reply["error"])
        return reply["result"]

    def call(self, method, **params):
        return self.result(self.send(method, params or None))

    def batch(self, calls):
        """calls: [(method, params)]; replies by position."""
        first = self.next_id + 1
        self.next_id += len(calls)
        reqs = [{"id": first + i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
        self.sock.sendall(json.dumps(reqs).encode())
        replies = {r["id"]: r for r in self.line()}
        return [replies[first + i] for i in range(len(calls))]

    def close(self):
        self.file.close()
        self.sock.close()


# ---------------------------------------------------------------------- tests

failures = []


def check(what, good, seen=None):
    if not good:
        failures.append(what)
        print("FAILED: %s%s" % (what, "" if seen is None else " (%r)" % (seen,)))


def refuse(c, code, message, method, **params):
    """The call must fail with this code and (a part of) this message."""
    what = "%s %s" % (method, params)
    try:
        seen = c.call(method, **params)
    except RpcError as e:
        check(what, e.code == code and message in e.message, (e.code, e.message, e.data))
        check(what + ": has a reason", "reason" in e.data, e.data)
        return
    check(what + " should fail", False, seen)


DECODE = "spdk_json_decode_object failed"


def volume(c, name):
    found = [v for v in c.call("bdev_lvol_get_lvols") if v["alias"] == name or v["uuid"] == name]
    return found[0] if found else None


def lvol(c, name):
    return c.call("bdev_get_bdevs", name=name)[0]["driver_specific"]["lvol"]


def test_transport(path):
    c = Rpc(path)
    ids = [c.send("spdk_get_version") for _ in range(2000)]
    check("2000 pipelined", all("version" in c.result(i) for i in ids))
    replies = c.batch([("spdk_get_version", {}), ("no_such_method", {}), ("bdev_get_bdevs", {})])
    check("batch", replies[1]["error"]["code"] == -32601 and "result" in replies[2], replies)
    many = [Rpc(path) for _ in range(62)]
    for k, other in enumerate(many):
        other.send("spdk_get_version")
    check("many connections", all("result" in o.line() for o in many))
    for other in many:
        other.close()
    # the client ends its stream: what runs is still answered
    half = Rpc(path)
    half.send("bdev_get_bdevs", {"name": "no such device", "timeout": 300})
    half.send("spdk_get_version")
    half.sock.shutdown(socket.SHUT_WR)
    codes = sorted(half.line().get("error", {}).get("code", 0) for _ in range(2))
    check("half-close", codes == [-110, 0] and half.file.readline() == b"", codes)
    # not JSON: told, then closed
    bad = Rpc(path)
    bad.sock.sendall(b'{"id":1,"method":"spdk_get_version"} garbage ' + b"x" * 100000)
    lines = [bad.line(), bad.line()]
    check("parse error", {l.get("error", {}).get("code") for l in lines} == {None, -32700}, lines)
    check("closed after it", bad.file.readline() == b"")
    # a client that goes away in the middle harms nobody
    gone = Rpc(path)
    gone.send("bdev_get_bdevs", {"name": "no such device", "timeout": 300})
    gone.close()
    check("still there", "version" in c.call("spdk_get_version"))
    c.close()


def test_generic(c):
    names = c.call("rpc_get_methods", current=True)
    check("rpc_get_methods", "bdev_lvol_create" in names and "framework_start_init" not in names)
    subsystems = [s["subsystem"] for s in c.call("framework_get_subsystems")]
    check("subsystems", subsystems.index("iobuf") < subsystems.index("bdev"))
    config = c.call("framework_get_config", name="bdev")
    check("config ends with the wait", config[-1] == {"method": "bdev_wait_for_examine"}, config)
    check("config of a volume", all("lvol" not in e["method"] for e in config), config)
    for level in ("ERROR", "DEBUG", "INFO"):
        c.call("log_set_print_level", level=level)
        check("log level", c.call("log_get_print_level") == level)


def test_stores(c):
    c.call("bdev_malloc_create", name="disk", num_blocks=64 * MIB // 512, block_size=512)
    refuse(c, -19, "No such device", "bdev_lvol_create_lvstore", bdev_name="none", lvs_name="s")
    refuse(c, -22, "Invalid argument", "bdev_lvol_create_lvstore", bdev_name="disk", lvs_name="")
    refuse(c, -22, "Invalid argument", "bdev_lvol_create_lvstore", bdev_name="disk",
           lvs_name="x" * 64)
    refuse(c, -22, "Invalid argument", "bdev_lvol_create_lvstore", bdev_name="disk", lvs_name="s",
           cluster_sz=0)
    refuse(c, -32602, "Invalid argument", "bdev_lvol_create_lvstore", bdev_name="disk",
           lvs_name="s", cluster_sz=1000)
    refuse(c, -32603, DECODE, "bdev_lvol_create_lvstore", bdev_name="disk", lvs_name="s",
           clear_method="wipe")
    refuse(c, -32603, DECODE, "bdev_lvol_create_lvstore", bdev_name="disk")
    uuid = c.call("bdev_lvol_create_lvstore", bdev_name="disk", lvs_name="s", cluster_sz=MIB)
    refuse(c, -1, "Operation not permitted", "bdev_lvol_create_lvstore", bdev_name="disk",
           lvs_name="t")
    c.call("bdev_malloc_create", name="disk2", num_blocks=16 * MIB // 512, block_size=512)
    refuse(c, -17, "File exists", "bdev_lvol_create_lvstore", bdev_name="disk2", lvs_name="s")
    s = c.call("bdev_lvol_get_lvstores", lvs_name="s")
    check("one store", len(s) == 1 and s[0]["uuid"] == uuid and s[0]["base_bdev"] == "disk", s)
    check("its members", list(s[0]) == ["uuid", "name", "base_bdev", "total_data_clusters",
                                        "free_clusters", "block_size", "cluster_size",
                                        "max_growable_size"], s)
    check("its sizes", s[0]["cluster_size"] == MIB and s[0]["block_size"] == 512 and
          s[0]["total_data_clusters"] == s[0]["free_clusters"], s)
    check("by UUID", c.call("bdev_lvol_get_lvstores", uuid=uuid) == s)
    check("all", c.call("bdev_lvol_get_lvstores") == s)
    refuse(c, -22, "Invalid argument", "bdev_lvol_get_lvstores", uuid=uuid, lvs_name="s")
    refuse(c, -19, "No such device", "bdev_lvol_get_lvstores", uuid="nonsense")
    refuse(c, -19, "No such device", "bdev_lvol_get_lvstores", lvs_name="none")
    refuse(c, -2, "Lvol store none not found", "bdev_lvol_rename_lvstore", old_name="none",
           new_name="x")
    check("same name", c.call("bdev_lvol_rename_lvstore", old_name="s", new_name="s") is True)
    check("rename", c.call("bdev_lvol_rename_lvstore", old_name="s", new_name="tank") is True)
    c.call("bdev_lvol_create_lvstore", bdev_name="disk2", lvs_name="small", cluster_sz=MIB)
    refuse(c, -32602, "File exists", "bdev_lvol_rename_lvstore", old_name="tank",
           new_name="small")
    check("grow", c.call("bdev_lvol_grow_lvstore", lvs_name="tank") is True)
    refuse(c, -19, "No such device", "bdev_lvol_grow_lvstore", lvs_name="none")
    refuse(c, -22, "Invalid argument", "bdev_lvol_grow_lvstore")
    return uuid


def test_volumes(c, store):
    new = "bdev_lvol_create"
    refuse(c, -22, "Invalid argument", new, lvol_name="v", size_in_mib=1)
    refuse(c, -22, "Invalid argument", new, lvol_name="v", size_in_mib=1, uuid=store,
           lvs_name="tank")
    refuse(c, -19, "No such device", new, lvol_name="v", size_in_mib=1, lvs_name="none")
    refuse(c, -22, "Invalid argument", new, lvol_name="", size_in_mib=1, lvs_name="tank")
    refuse(c, -22, "Invalid argument", new, lvol_name="a/b", size_in_mib=1, lvs_name="tank")
    refuse(c, -32603, DECODE, new, lvol_name="v", lvs_name="tank")
    refuse(c, -32603, DECODE, new, lvol_name="v", lvs_name="tank", size=1, size_in_mib=1)
    refuse(c, -32602, "No space left on device", new, lvol_name="v", lvs_name="tank",
           size_in_mib=1000)
    v = c.call(new, lvol_name="v", size_in_mib=4, lvs_name="tank")
    refuse(c, -17, "File exists", new, lvol_name="v", size_in_mib=4, lvs_name="tank")
    check("thick", volume(c, v)["num_allocated_clusters"] == 4, volume(c, v))
    t = c.call(new, lvol_name="thin", size=10 * MIB - 1, uuid=store, thin_provision=True,
               clear_method="none")
    info = volume(c, "tank/thin")
    check("thin", info == {"alias": "tank/thin", "uuid": t, "name": "thin",
                           "is_thin_provisioned": True, "is_snapshot": False, "is_clone": False,
                           "is_esnap_clone": False, "is_degraded": False,
                           "num_allocated_clusters": 0, "lvs": {"name": "tank", "uuid": store}},
          info)
    b = c.call("bdev_get_bdevs", name="tank/thin")[0]
    check("its device", b["name"] == t and b["aliases"] == ["tank/thin"] and
          b["product_name"] == "Logical Volume" and b["num_blocks"] == 10 * MIB // 512 and
          b["supported_io_types"]["flush"], b)
    # sizes
    check("resize", c.call("bdev_lvol_resize", name="tank/thin", size_in_mib=12) is True)
    check("resize in bytes", c.call("bdev_lvol_resize", name=t, size=14 * MIB) is True)
    check("size", c.call("bdev_get_bdevs", name=t)[0]["num_blocks"] == 14 * MIB // 512)
    refuse(c, -19, "No such device", "bdev_lvol_resize", name="none", size_in_mib=1)
    refuse(c, -32603, DECODE, "bdev_lvol_resize", name=t)
    refuse(c, -32602, "No space left on device", "bdev_lvol_resize", name=v, size_in_mib=1000)
    # names
    check("rename", c.call("bdev_lvol_rename", old_name="tank/thin", new_name="web") is True)
    refuse(c, -32602, "File exists", "bdev_lvol_rename", old_name="tank/web", new_name="web")
    refuse(c, -32602, "File exists", "bdev_lvol_rename", old_name=t, new_name="v")
    refuse(c, -19, "No such device", "bdev_lvol_rename", old_name="tank/thin", new_name="x")
    check("new alias", c.call("bdev_get_bdevs", name="tank/web")[0]["name"] == t)
    # listing
    check("lists", c.call("bdev_lvol_get_lvols", lvs_uuid=store) ==
          c.call("bdev_lvol_get_lvols", lvs_name="tank") ==
          c.call("bdev_lvol_get_lvols", uuid=store))
    check("other store", c.call("bdev_lvol_get_lvols", lvs_name="small") == [])
    refuse(c, -22, "Invalid argument", "bdev_lvol_get_lvols", lvs_uuid=store, lvs_name="tank")
    refuse(c, -19, "No such device", "bdev_lvol_get_lvols", lvs_name="none")
    return v, t


def test_snapshots(c, v, t):
    refuse(c, -19, "No such device", "bdev_lvol_snapshot", lvol_name="none", snapshot_name="s")
    refuse(c, -19, "No such device", "bdev_lvol_snapshot", lvol_name="disk", snapshot_name="s")
    s = c.call("bdev_lvol_snapshot", lvol_name=v, snapshot_name="s1",
               xattrs={"user_created": "true", "snapshot_timestamp": "2026-01-01T00:00:00Z"})
    check("snapshot owns the data", lvol(c, s)["num_allocated_clusters"] == 4 and
          lvol(c, s)["snapshot"] and lvol(c, s)["clones"] == ["v"], lvol(c, s))
    check("the volume is its clone", lvol(c, v)["clone"] and
          lvol(c, v)["base_snapshot"] == "s1" and lvol(c, v)["num_allocated_clusters"] == 0)
    refuse(c, -32602, "File exists", "bdev_lvol_snapshot", lvol_name=v, snapshot_name="s1")
    refuse(c, -32602, "Invalid argument", "bdev_lvol_snapshot", lvol_name=s, snapshot_name="s2")
    refuse(c, -32603, DECODE, "bdev_lvol_snapshot", lvol_name=v, snapshot_name="s2", xattrs=5)
    refuse(c, -32603, DECODE, "bdev_lvol_snapshot", lvol_name=v, snapshot_name="s2",
           xattrs={"a": 1})
    # attributes
    get = "bdev_lvol_get_xattr"
    check("xattr of a snapshot", c.call(get, name=s, xattr_name="user_created") == "true")
    check("set", c.call("bdev_lvol_set_xattr", name=v, xattr_name="k", xattr_value="w\u00e9") is True)
    check("get", c.call(get, name="tank/v", xattr_name="k") == "w\u00e9")
    refuse(c, -32603, "No such file or directory", get, name=v, xattr_name="none")
    refuse(c, -19, "No such device", get, name="none", xattr_name="k")
    refuse(c, -19, "No such device", "bdev_lvol_set_xattr", name="none", xattr_name="k",
           xattr_value="")
    refuse(c, -32602, "Invalid argument", "bdev_lvol_set_xattr", name=v, xattr_name="uuid",
           xattr_value="x")
    # checksum and map
    refuse(c, -19, "No such device", "bdev_lvol_get_snapshot_checksum", name=s)
    m = c.call("bdev_lvol_get_fragmap", name=s)
    check("fragmap", m == {"cluster_size": MIB, "num_clusters": 4, "num_allocated_clusters": 4,
                           "fragmap": base64.b64encode(b"\x0f").decode()}, m)
    m = c.call("bdev_lvol_get_fragmap", name=v, offset=MIB, size=2 * MIB)
    check("part of a map", m["num_clusters"] == 2 and m["num_allocated_clusters"] == 0, m)
    refuse(c, -32602, "Invalid argument", "bdev_lvol_get_fragmap", name=v, offset=1)
    refuse(c, -32602, "Invalid argument", "bdev_lvol_get_fragmap", name=v, size=5 * MIB)
    refuse(c, -19, "No such device", "bdev_lvol_get_fragmap", name="none")
    # clones
    refuse(c, -32602, "Invalid argument", "bdev_lvol_clone", snapshot_name=v, clone_name="c")
    refuse(c, -19, "No such device", "bdev_lvol_clone", snapshot_name="none", clone_name="c")
    k = c.call("bdev_lvol_clone", snapshot_name="tank/s1", clone_name="c")
    refuse(c, -32602, "File exists", "bdev_lvol_clone", snapshot_name=s, clone_name="c")
    check("two clones", sorted(lvol(c, s)["clones"]) == ["c", "v"])
    refuse(c, -32603, "Operation not permitted", "bdev_lvol_delete", name=s)
    # parents
    check("inflate", c.call("bdev_lvol_inflate", name=k) is True)
    check("inflated", lvol(c, k)["num_allocated_clusters"] == 4 and not lvol(c, k)["clone"])
    refuse(c, -32602, "Invalid argument", "bdev_lvol_decouple_parent", name=k)
    check("decouple", c.call("bdev_lvol_decouple_parent", name=v) is True)
    check("decoupled", not lvol(c, v)["clone"])
    for method in ("inflate", "decouple_parent", "detach_parent", "set_read_only", "delete"):
        refuse(c, -19, "No such device", "bdev_lvol_" + method, name="none")
    d = c.call("bdev_lvol_clone", snapshot_name=s, clone_name="d")
    refuse(c, -32602, "File exists", "bdev_lvol_set_parent", lvol_name=d, parent_name=s)
    refuse(c, -19, "No such device", "bdev_lvol_set_parent", lvol_name=d, parent_name="none")
    refuse(c, -32602, "Invalid argument", "bdev_lvol_set_parent", lvol_name=d, parent_name=t)
    check("detach", c.call("bdev_lvol_detach_parent", name=d) is True)
    check("detached", not lvol(c, d)["clone"])
    check("set parent", c.call("bdev_lvol_set_parent", lvol_name=d, parent_name=s) is True)
    check("has it", lvol(c, d)["base_snapshot"] == "s1")
    refuse(c, -32602, "No such device", "bdev_lvol_set_parent_bdev", lvol_name=d,
           parent_name="none")
    # shallow copy
    c.call("bdev_malloc_create", name="copy", num_blocks=4 * MIB // 512, block_size=512)
    op = c.call("bdev_lvol_start_shallow_copy", src_lvol_name=s, dst_bdev_name="copy")
    for _ in range(200):
        state = c.call("bdev_lvol_check_shallow_copy", operation_id=op["operation_id"])
        if state["state"] != "in progress":
            break
        time.sleep(0.02)
    check("copied", state == {"copied_clusters": 4, "total_clusters": 4, "state": "complete"},
          state)
    refuse(c, -19, "No such device", "bdev_lvol_check_shallow_copy", operation_id=4000000)
    refuse(c, -19, "No such device", "bdev_lvol_start_shallow_copy", src_lvol_name="none",
           dst_bdev_name="copy")
    refuse(c, -32602, "No such device", "bdev_lvol_start_shallow_copy", src_lvol_name=s,
           dst_bdev_name="none")
    # a snapshot with one clone may go: the clone takes the data
    check("delete", c.call("bdev_lvol_delete", name=s) is True)
    check("taken over", lvol(c, d)["num_allocated_clusters"] == 4 and not lvol(c, d)["clone"])
    check("read-only", c.call("bdev_lvol_set_read_only", name=k) is True)
    refuse(c, -32602, "Operation not permitted", "bdev_lvol_resize", name=k, size_in_mib=8)


def test_external(c):
    c.call("bdev_malloc_create", name="esnap", num_blocks=4 * MIB // 512, block_size=512)
    clone = "bdev_lvol_clone_bdev"
    refuse(c, -32602, "lvs does not exist", clone, bdev="esnap", lvs_name="none", clone_name="e")
    refuse(c, -32602, "bdev does not exist", clone, bdev="none", lvs_name="tank", clone_name="e")
    refuse(c, -32602, "bdev is an lvol in same lvs", clone, bdev="tank/v", lvs_name="tank",
           clone_name="e")
    e = c.call(clone, bdev="esnap", lvs_name="tank", clone_name="e")
    check("esnap clone", lvol(c, e)["esnap_clone"] and volume(c, e)["is_esnap_clone"], lvol(c, e))
    c.call("bdev_lvol_delete", name=e)


def test_own(c):
    p = [x for x in c.call("pool_list") if x["name"] == "tank"][0]
    check("pool_list", p["cluster_bytes"] == MIB and p["free_bytes"] <= p["capacity_bytes"], p)
    names = {v["name"] for v in c.call("volume_list", pool="tank")}
    check("volume_list", {"v", "web", "c", "d"} <= names, names)
    x = c.call("volume_info", name="tank/v")["xattrs"]
    check("volume_info", x == {"k": "w\u00e9"}, x)
    c.call("bdev_malloc_create", name="disk3", num_blocks=16 * MIB // 512, block_size=512)
    p = c.call("pool_create", bdev="disk3", name="p3", cluster_size="1MiB")
    check("pool_create", p["name"] == "p3" and p["base_bdev"] == "disk3", p)
    c.call("bdev_lvol_create", lvs_name="p3", lvol_name="x", size_in_mib=1)
    check("pool_export", c.call("pool_export", name="p3") is True)
    refuse(c, -17, "File exists", "pool_create", bdev="disk3", name="p4")
    p = c.call("pool_import", bdev="disk3")
    check("pool_import", p["name"] == "p3" and p["n_volumes"] == 1 and not p["was_dirty"], p)
    check("pool_rename", c.call("pool_rename", name="p3", new_name="p5") is True)
    check("pool_set", c.call("pool_set", name="p5", warn_percent=50) is True)
    check("pool_destroy", c.call("pool_destroy", name="p5") is True)
    check("tasks", any(t["name"] == "ashlar_tasks" for t in c.call("ashlar_tasks")))


def test_end(c, store):
    check("delete store", c.call("bdev_lvol_delete_lvstore", uuid=store) is True)
    check("its volumes went", c.call("bdev_lvol_get_lvols") == [])
    refuse(c, -19, "No such device", "bdev_lvol_delete_lvstore", uuid=store)
    refuse(c, -22, "Invalid argument", "bdev_lvol_delete_lvstore")
    for name in ("disk", "disk2", "disk3", "copy", "esnap"):
        check("delete " + name, c.call("bdev_malloc_delete", name=name) is True)
    check("nothing left", c.call("bdev_get_bdevs") == [], c.call("bdev_get_bdevs"))


def save_config(c):
    """As rpc.py's save_config does it."""
    return {"subsystems": [{"subsystem": s["subsystem"],
                            "config": c.call("framework_get_config", name=s["subsystem"])}
                           for s in c.call("framework_get_subsystems")]}


def load_config(c, config):
    """As rpc.py's load_config does it: run what can be run, start, run the rest."""
    known = c.call("rpc_get_methods")
    rest = [dict(e) for s in config["subsystems"] for e in s["config"] or []]
    check("all methods are known", all(e["method"] in known for e in rest))
    while rest:
        now = c.call("rpc_get_methods", current=True)
        able = [e for e in rest if e["method"] in now]
        for e in able:
            c.result(c.send(e["method"], e.get("params")))
        rest = [e for e in rest if e["method"] not in now]
        if "framework_start_init" in now:
            c.call("framework_start_init")
        elif not able:
            break


def test_config(binary, folder):
    """Save, restart, load: the same again; by a client, and by the server from the file."""
    image = os.path.join(folder, "disk.img")
    with open(image, "wb") as f:
        f.truncate(64 * MIB)
    first = start(binary, folder, [])
    c = first.rpc
    c.call("bdev_aio_create", name="disk", filename=image, block_size=4096)
    c.call("bdev_lvol_create_lvstore", bdev_name="disk", lvs_name="tank")
    c.call("bdev_lvol_create", lvs_name="tank", lvol_name="v", size_in_mib=8)
    c.call("bdev_malloc_create", name="ram", num_blocks=2048, block_size=512)
    c.call("bdev_set_qos_limit", name="ram", rw_ios_per_sec=5000, w_mbytes_per_sec=7)
    c.call("framework_set_scheduler", name="static", period=5)
    c.call("nbd_listen", uri="unix://" + os.path.join(folder, "nbd.sock"))
    c.call("nbd_add_export", bdev="tank/v", name="web", readonly=True)
    config = save_config(c)
    first.stop()
    second = start(binary, folder, ["-w"])
    load_config(second.rpc, config)
    check("loaded by the client", save_config(second.rpc) == config, save_config(second.rpc))
    second.stop()
    path = os.path.join(folder, "config.json")
    with open(path, "w") as f:
        f.write("// made by the test\n" + json.dumps(config, indent=1))
    third = start(binary, folder, ["-w", "-c", path])
    check("loaded by the server", save_config(third.rpc) == config, save_config(third.rpc))
    check("the volume came back", third.rpc.call("volume_info", name="tank/v")["state"] == "ok")
    third.stop()


class Server:
    def __init__(self, process, path):
        self.process = process
        self.path = path
        self.rpc = Rpc(path)

    def stop(self):
        check("kill", self.rpc.call("spdk_kill_instance", sig_name="SIGTERM") is True)
        check("ends cleanly", self.process.wait(30) == 0 and not os.path.exists(self.path))
        self.rpc.close()


def start(binary, folder, args):
    path = os.path.join(folder, "rpc.sock")
    process = subprocess.Popen(binary + args + ["-s", path], stdout=subprocess.PIPE)
    check("ready", process.stdout.readline() == b"ready\n")
    started.append(process)
    return Server(process, path)


started = []


def run(path):
    test_transport(path)
    c = Rpc(path)
    test_generic(c)
    store = test_stores(c)
    v, t = test_volumes(c, store)
    test_snapshots(c, v, t)
    test_external(c)
    test_own(c)
    test_end(c, store)
    c.close()


def main():
    if sys.argv[1:2] == ["--socket"]:
        run(sys.argv[2])
    else:
        with tempfile.TemporaryDirectory(prefix="ashlar-rpc-") as folder:
            try:
                server = start(sys.argv[1:], folder, [])
                run(server.path)
                server.stop()
                test_config(sys.argv[1:], folder)
            finally:
                for process in started:
                    process.kill()
                    process.wait()
    print("%d failures" % len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

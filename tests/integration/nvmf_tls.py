#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NVMe/TCP over TLS by a client that is not ours: `openssl s_client` with a key that is derived here.
It must finish the handshake, with ciphers of either hash and when it offers both, and get an ICResp
for its ICReq; with another key, identity or version of TLS it must not.   nvmf_tls.py [BUILD_DIR]
TAP on stdout."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import zlib

SUB, HOST, HOST2 = (f"nqn.2016-06.io.ashlar:{name}" for name in ("tls", "me", "long"))
BOTH = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"
IC_REQ = struct.pack("<BBBBIHBBI", 0, 0, 128, 0, 128, 0, 0, 0, 0) + bytes(112)


def expand_label(h, key, label, context):
    """HKDF-Extract without salt, then HKDF-Expand-Label to as many bytes as the hash has."""
    n = h().digest_size
    secret = hmac.new(bytes(n), key, h).digest()
    label = b"tls13 " + label
    info = struct.pack(">HB", n, len(label)) + label + bytes([len(context)]) + context
    return hmac.new(secret, info + b"\1", h).digest()


def derive(key, host):
    h, number = (hashlib.sha256, 1) if len(key) == 32 else (hashlib.sha384, 2)
    identity = f"NVMe0R{number:02} {host} {SUB}"
    retained = expand_label(h, key, b"HostNQN", host.encode())
    return identity, expand_label(h, retained, b"nvme-tls-psk", identity.encode()).hex()


def key_text(key):
    raw = key + struct.pack("<I", zlib.crc32(key))
    return f"NVMeTLSkey-1:{1 if len(key) == 32 else 2:02}:{base64.b64encode(raw).decode()}:\n"


def client(port, psk, identity, *options):
    """(ICResp or whatever came, what openssl says of the handshake)"""
    cmd = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-quiet", "-brief"]
    cmd += (["-psk", psk, "-psk_identity", identity] if psk else []) + list(options)
    p = subprocess.Popen(cmd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        p.stdin.write(IC_REQ)
        p.stdin.flush()
        data = p.stdout.read(128)  # or its end
    except BrokenPipeError:
        data = b""
    p.kill()
    return data, p.communicate()[1].decode(errors="replace")


def main():
    ashlar = os.path.join(sys.argv[1] if len(sys.argv) > 1 else "build", "ashlar")
    if not shutil.which("openssl"):
        print("1..0 # SKIP no openssl")
        return 77
    failed = n = 0

    def case(ok, name, why=""):
        nonlocal n, failed
        n += 1
        failed += not ok
        print(f"{'ok' if ok else 'not ok'} {n} - {name}", flush=True)
        if not ok:
            print("\n".join("# " + line for line in str(why).splitlines()), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "sock")
        daemon = subprocess.Popen([ashlar, "serve", "-r", path], stderr=subprocess.DEVNULL)

        def rpc(method, **params):
            cmd = [ashlar, "rpc", "-r", path, method, json.dumps(params)]
            return json.loads(subprocess.run(cmd, check=True, capture_output=True).stdout)

        try:
            while not os.path.exists(path):
                time.sleep(0.05)
            keys = {HOST: bytes(range(1, 33)), HOST2: bytes(range(48))}
            rpc("nvmf_create_transport", trtype="TCP")
            rpc("nvmf_create_subsystem", nqn=SUB)
            for i, (host, key) in enumerate(keys.items()):
                file = os.path.join(folder, f"key{i}")
                with open(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600), "w", encoding="ascii") as f:
                    f.write(key_text(key))
                rpc("keyring_file_add_key", name=f"k{i}", path=file)
                rpc("nvmf_subsystem_add_host", nqn=SUB, host=host, psk=f"k{i}")
            address = {"trtype": "TCP", "traddr": "127.0.0.1", "trsvcid": "0"}
            rpc("nvmf_subsystem_add_listener", nqn=SUB, listen_address=address, secure_channel=True)
            port = rpc("nvmf_subsystem_get_listeners", nqn=SUB)[0]["address"]["trsvcid"]

            id1, psk1 = derive(keys[HOST], HOST)
            id2, psk2 = derive(keys[HOST2], HOST2)
            for name, options in (("its cipher", ("-ciphersuites", "TLS_AES_128_GCM_SHA256")),
                                  ("both ciphers", ("-ciphersuites", BOTH)), ("what it offers by itself", ())):
                data, said = client(port, psk1, id1, "-tls1_3", *options)
                case(len(data) == 128 and data[0] == 1 and "TLS_AES_128_GCM_SHA256" in said,
                     f"s_client with the key, {name}: an ICResp", said + data.hex())
            data, said = client(port, psk1, id1, "-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384")
            case(not data and "error" in said, "a cipher that is not the key's", said)
            # s_client takes its -psk for one of SHA-256, so a key of 48 bytes cannot be right by it
            data, said = client(port, psk2, id2, "-tls1_3")
            case(not data and "error" in said, "a key of SHA-384 under SHA-256", said)
            for name, args in (("another key", (derive(bytes(32), HOST)[1], id1, "-tls1_3")),
                               ("another identity", (psk1, id1 + "x", "-tls1_3")),
                               ("the other host's identity", (psk1, id2, "-tls1_3")),
                               ("no identity of NVMe", (psk1, "Client_identity", "-tls1_3")),
                               ("no key", (None, None, "-tls1_3")), ("TLS 1.2", (psk1, id1, "-tls1_2"))):
                data, said = client(port, *args)
                case(not data and "error" in said, f"{name}: no handshake", said + data.hex())
            data, said = client(port, psk1, id1, "-tls1_3")
            case(len(data) == 128, "and after all that the key still lets in", said)
            case(daemon.poll() is None, "the daemon runs")
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(20)
    case(daemon.returncode == 0, "the daemon has ended as it should", daemon.returncode)
    print(f"1..{n}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

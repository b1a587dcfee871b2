#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""JSON-RPC over HTTP: rpc_proxy.py SERVER_BINARY   (docs/spec/spdk-jsonrpc.md 1.9)"""
import base64
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROXY = os.path.join(ROOT, "scripts", "ashlar-rpc-proxy")
AUTH = "Basic " + base64.b64encode(b"admin:s:cret").decode()
failures = []


def check(what, good, seen=None):
    if not good:
        failures.append(what)
        print("FAILED: %s (%r)" % (what, seen))


def post(url, body, auth=AUTH, **kw):
    """Status, headers, body; as a plain urllib client sees them."""
    req = urllib.request.Request(url, data=body if isinstance(body, bytes) else json.dumps(body).encode(),
                                 headers={"Authorization": auth} if auth else {}, method="POST")
    try:
        with urllib.request.urlopen(req, timeout=30, **kw) as reply:
            return reply.status, reply.headers, reply.read()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read()


def start_proxy(sock, *more):
    env = dict(os.environ, ASHLAR_RPC_PASSWORD="s:cret")
    p = subprocess.Popen([sys.executable, PROXY, "127.0.0.1", "0", "admin", "-", "-s", sock, *more],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    line = p.stdout.readline().decode()
    return p, int(line.split()[-1])


def test_calls(url):
    status, headers, body = post(url, {"id": 1, "method": "spdk_get_version"})
    reply = json.loads(body)
    check("a call", status == 200 and reply["id"] == 1 and "version" in reply["result"], reply)
    check("its headers", headers["Content-type"] == "text/html", headers)
    reply = json.loads(post(url, {"id": 1, "method": "no_such"})[2])
    check("an error of the daemon", reply["error"]["code"] == -32601, reply)
    status, _, body = post(url, [{"id": 1, "method": "bdev_get_bdevs"},
                                 {"method": "bdev_malloc_create",
                                  "params": {"name": "m1", "num_blocks": 8, "block_size": 512}},
                                 {"id": 2, "method": "no_such"}])
    check("a batch", status == 200 and {r["id"] for r in json.loads(body)} == {1, 2}, body)
    status, headers, body = post(url, {"method": "bdev_malloc_create", "params": {
        "name": "m2", "num_blocks": 8, "block_size": 512}})
    check("a notification", status == 204 and body == b"", (status, body))
    status, _, body = post(url, {"id": 9, "method": "bdev_get_bdevs"})
    check("it was run", {b["name"] for b in json.loads(body)["result"]} == {"m1", "m2"}, body)


def test_refusals(url, port):
    good = {"id": 1, "method": "spdk_get_version"}
    for auth in (None, "", "Basic", "Basic !", AUTH[:-1], AUTH + "x", "Bearer " + AUTH,
                 "Basic " + base64.b64encode(b"admin:").decode()):
        status, headers, _ = post(url, good, auth=auth)
        check("credentials %r" % auth, status == 401 and "Basic" in headers["WWW-Authenticate"],
              status)
    for body in (b"", b"{", b"nonsense", b"[" * 100000, b'{"id":1}{"id":2}', b"\xff\xfe"):
        status, _, text = post(url, body)
        check("body %r" % body[:20], status == 500 and text, (status, text))
    status, _, _ = post(url, b" " * (2 << 20))
    check("too large", status == 413, status)
    for raw in (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"\r\n",
                b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", b"Content-Length: x\r\n\r\n",
                b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
            s.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: " + AUTH.encode() + b"\r\n" + raw)
            first = s.makefile("rb").readline()
        check("raw %r" % raw, b" 500 " in first or b" 413 " in first, first)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        check("GET", b" 501 " in s.makefile("rb").readline())
    check("still serves", post(url, good)[0] == 200)


def test_chunks_and_reuse(port):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for n in range(5):  # over one connection
        text = json.dumps({"id": n, "method": "spdk_get_version", "params": None}).encode()
        pieces = (text[i:i + 7] for i in range(0, len(text), 7))
        c.request("POST", "/", body=pieces, headers={"Authorization": AUTH}, encode_chunked=True)
        reply = c.getresponse()
        check("chunked", reply.status == 200 and json.loads(reply.read())["id"] == n)
    c.close()


def test_side_by_side(url):
    """A call that waits holds up nobody."""
    waited = []

    def wait():
        start = time.monotonic()
        reply = json.loads(post(url, {"id": 1, "method": "bdev_get_bdevs",
                                      "params": {"name": "none", "timeout": 4000}})[2])
        waited.append((time.monotonic() - start, reply["error"]["code"]))

    threads = [threading.Thread(target=wait) for _ in range(8)]
    for t in threads:
        t.start()
    check("meanwhile", post(url, {"id": 2, "method": "spdk_get_version"})[0] == 200 and not waited,
          waited)
    for t in threads:
        t.join()
    check("all were answered", len(waited) == 8 and all(c == -110 for _, c in waited), waited)


def test_tls(folder, sock):
    pem = os.path.join(folder, "both.pem")
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                           "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj",
                           "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                           pem, "-out", pem + ".crt"], capture_output=True, check=False)
    if made.returncode:
        print("no openssl: TLS is not tried")
        return
    with open(pem, "ab") as out, open(pem + ".crt", "rb") as crt:
        out.write(crt.read())
    proxy, port = start_proxy(sock, "-c", pem)
    try:
        with socket.create_connection(("127.0.0.1", port)):  # says nothing: others go on
            context = ssl.create_default_context(cafile=pem + ".crt")
            status, _, body = post("https://127.0.0.1:%d/" % port,
                                   {"id": 1, "method": "spdk_get_version"}, context=context)
            check("TLS", status == 200 and b"version" in body, status)
    finally:
        proxy.terminate()
        proxy.wait()


def main():
    with tempfile.TemporaryDirectory(prefix="ashlar-proxy-") as folder:
        sock = os.path.join(folder, "rpc.sock")
        proxy, port = start_proxy(sock)
        url = "http://127.0.0.1:%d/" % port
        server = None
        try:
            status, _, text = post(url, {"id": 1, "method": "spdk_get_version"})
            check("no daemon", status == 500 and sock.encode() in text, (status, text))
            server = subprocess.Popen([*sys.argv[1:], "-s", sock], stdout=subprocess.PIPE,
                                      stderr=subprocess.DEVNULL)
            check("ready", server.stdout.readline().strip() == b"ready")
            test_calls(url)
            test_refusals(url, port)
            test_chunks_and_reuse(port)
            test_side_by_side(url)
            test_tls(folder, sock)
            proxy.send_signal(signal.SIGINT)
            check("ends by SIGINT", proxy.wait(10) == 0)
        finally:
            for p in (proxy, server):
                if p and p.poll() is None:
                    p.terminate()
                    p.wait(10)
    print("%d failures" % len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

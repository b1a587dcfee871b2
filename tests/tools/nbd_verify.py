#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Numbered blocks on an NBD export: is every write there whose flush was acknowledged?

  nbd_verify.py write URI STATE SEED    write until the server goes away
  nbd_verify.py verify URI STATE        exit 1 when a block holds less than it must

Every block of 4 KiB holds its own place and a number that only grows, repeated through the block.
STATE (a text file, written by us alone) says for each block the number that the last acknowledged
flush (or a write with FUA) made safe, and the highest number ever sent. After a power cut or kill a
block holds a number between the two, as a whole. verify also writes down what it found: from then
on that is the least."""

import json
import os
import random
import struct
import sys

import nbd

BLOCK = 4096
UNIT = struct.Struct("<QQ")  # place, number


def block_of(at, number):
    return UNIT.pack(at, number) * (BLOCK // UNIT.size)


class State:
    def __init__(self, path):
        self.path, self.safe, self.sent = path, {}, {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                doc = json.load(f)
            self.safe = {int(k): v for k, v in doc["safe"].items()}
            self.sent = {int(k): v for k, v in doc["sent"].items()}

    def save(self):
        with open(self.path + ".new", "w", encoding="utf-8") as f:
            json.dump({"safe": self.safe, "sent": self.sent}, f)
        os.replace(self.path + ".new", self.path)


def write(uri, state, seed):
    """Ends when the connection does; what is in flight then may be there or not."""
    rng = random.Random(seed)
    h = nbd.NBD()
    h.connect_uri(uri)
    n_blocks = h.get_size() // BLOCK
    number = max(state.sent.values(), default=0)
    n_flushes = 0
    try:
        while True:
            unsafe = {}
            for _ in range(rng.randrange(1, 40)):
                at, number = rng.randrange(n_blocks), number + 1
                state.sent[at] = number
                if rng.random() < 0.1:
                    h.pwrite(block_of(at, number), at * BLOCK, nbd.CMD_FLAG_FUA)
                    state.safe[at] = number
                    unsafe.pop(at, None)
                else:
                    h.pwrite(block_of(at, number), at * BLOCK)
                    unsafe[at] = number
            h.flush()
            n_flushes += 1
            state.safe.update(unsafe)
    except nbd.Error:
        pass
    state.save()
    print(f"{number} writes, {n_flushes} flushes")
    return 0


def verify(uri, state):
    h = nbd.NBD()
    h.connect_uri(uri)
    n_bad = n_later = 0
    for at in range(h.get_size() // BLOCK):
        data = bytes(h.pread(BLOCK, at * BLOCK))
        place, number = UNIT.unpack_from(data)
        least, most = state.safe.get(at, 0), state.sent.get(at, 0)
        if number == 0:
            whole = data == bytes(BLOCK)
        else:
            whole = data == block_of(at, number) and place == at
        if not whole or not least <= number <= most:
            n_bad += 1
            if n_bad <= 10:
                print(f"block {at}: number {number} of place {place}, must be {least}..{most}"
                      f"{'' if whole else ', torn or foreign'}")
        n_later += number > least
        state.safe[at] = max(least, number if whole else 0)
    print(f"{len(state.sent)} blocks verified, {n_later} beyond their flush, {n_bad} lost")
    state.save()
    h.shutdown()
    return 1 if n_bad or not state.sent else 0


def main():
    if len(sys.argv) == 5 and sys.argv[1] == "write":
        return write(sys.argv[2], State(sys.argv[3]), int(sys.argv[4]))
    if len(sys.argv) == 4 and sys.argv[1] == "verify":
        return verify(sys.argv[2], State(sys.argv[3]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())

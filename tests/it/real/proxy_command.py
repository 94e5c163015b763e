"""Relays standard input and output to a TCP port, like nc. `stuck N`: after N bytes, reads no more input."""

import os
import select
import socket
import sys

host, port, options = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
limit = int(options[options.index("stuck") + 1]) if "stuck" in options else float("inf")
peer = socket.create_connection((host, port))
taken = 0
inputs = [0, peer]
while True:
    for ready in select.select(inputs, [], [])[0]:
        if ready is peer:
            data = peer.recv(65536)
            if not data:
                sys.exit(0)
            while data:
                data = data[os.write(1, data):]
        else:
            data = os.read(0, 4096)
            if not data:
                sys.exit(0)
            peer.sendall(data)
            taken += len(data)
            if taken > limit:
                inputs.remove(0)

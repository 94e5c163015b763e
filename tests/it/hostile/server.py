#!/usr/bin/python3
"""An SSH server that breaks the protocol on purpose: server.py KIND...

Address 127.0.0.1 behaves; 127.0.1.1 misbehaves as the first KIND, 127.0.1.2 as the second, and so on, all on
one port, which is announced as "listening PORT". Each line on stdin names an address; the answer is how many
messages of each type its clients have sent, as "TYPE=COUNT TYPE=COUNT". The server ends with its stdin.
"""

import collections
import logging
import os
import random
import socket
import sys
import threading

import paramiko
from paramiko import Message

DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, SERVICE_REQUEST, SERVICE_ACCEPT, EXT_INFO = 1, 2, 3, 4, 5, 6, 7
NEWKEYS = 21
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS, USERAUTH_BANNER, USERAUTH_PK_OK = 50, 51, 52, 53, 60
USERAUTH_INFO_REQUEST, USERAUTH_INFO_RESPONSE = 60, 61
GLOBAL_REQUEST, REQUEST_SUCCESS, REQUEST_FAILURE = 80, 81, 82
OPEN, OPEN_CONFIRMATION, OPEN_FAILURE, WINDOW_ADJUST = 90, 91, 92, 93
DATA, EXTENDED_DATA, EOF, CLOSE, REQUEST, SUCCESS, FAILURE = 94, 95, 96, 97, 98, 99, 100

WINDOW = 1 << 21
PACKET = 1 << 15


class Raw(bytes):
    """Bytes that are put into a message without a length."""


class Channel:
    def __init__(self, own, theirs, window):
        self.own = own
        self.theirs = theirs
        self.stdin = bytearray()
        self.taken = 0
        self.command = None
        self.requests = []
        self.window = window
        self.changed = threading.Condition()
        self.closed = False


class Peer(paramiko.Transport):
    """One connection to a well-behaved server. Kinds of misbehaviour override what they do differently."""

    packet_max = PACKET
    # The size of the socket's receive buffer; None is the system's. The listener has it too: if a connection's buffer
    # shrank later, the kernel would drop the acknowledgements of a client that has sent more, and both would stall.
    receive_buffer = None

    def __init__(self, sock, key, seen):
        super().__init__(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.add_server_key(key)
        self.channels = {}
        self.peer_sock = sock
        read = self.packetizer.read_message

        def counted():
            kind, message = read()
            seen[kind] += 1
            return kind, message

        self.packetizer.read_message = counted
        swallow = lambda self, message: None
        self._handler_table = {
            **paramiko.Transport._handler_table,
            NEWKEYS: Peer._parse_newkeys,
            UNIMPLEMENTED: swallow,
            SERVICE_REQUEST: Peer._service_request,
            USERAUTH_REQUEST: Peer._auth_request,
            GLOBAL_REQUEST: swallow,
            REQUEST_SUCCESS: swallow,
            REQUEST_FAILURE: swallow,
            OPEN: Peer._open,
            OPEN_CONFIRMATION: swallow,
            OPEN_FAILURE: swallow,
            WINDOW_ADJUST: Peer._adjust,
            DATA: Peer._data,
            EXTENDED_DATA: swallow,
            EOF: Peer._eof,
            CLOSE: Peer._close,
            REQUEST: Peer._request,
        }

    def _ensure_authed(self, kind, message):
        return None

    # Sending.

    def tell(self, kind, *fields):
        """Sends a message: int as uint32, bool as a byte, Raw unchanged, text and bytes with their length."""
        message = Message()
        message.add_byte(bytes([kind]))
        for field in fields:
            if isinstance(field, Raw):
                message.add_bytes(field)
            elif isinstance(field, bool):
                message.add_boolean(field)
            elif isinstance(field, int):
                message.add_int(field)
            else:
                message.add_string(field)
        self._send_message(message)

    def together(self):
        """Everything sent inside `with` arrives at once: the client reads it in one read."""
        return Cork(self.peer_sock)

    def status(self, channel, status):
        self.tell(REQUEST, channel.theirs, "exit-status", False, status)

    def signal(self, channel, name, message, core=False):
        self.tell(REQUEST, channel.theirs, "exit-signal", False, name, core, message, "")

    def end(self, channel, status=0):
        self.status(channel, status)
        self.tell(EOF, channel.theirs)
        self.tell(CLOSE, channel.theirs)
        channel.closed = True

    # Events, in order of time.

    def on_keys(self):
        """The first keys are in use."""

    def on_service(self):
        self.tell(SERVICE_ACCEPT, "ssh-userauth")

    def on_auth(self, method, message):
        if method == "publickey" and not message.get_boolean():
            self.tell(USERAUTH_PK_OK, message.get_string(), message.get_string())
        else:
            self.tell(USERAUTH_SUCCESS)

    def on_open(self, channel):
        self.tell(OPEN_CONFIRMATION, channel.theirs, channel.own, WINDOW, self.packet_max)

    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        if channel.command == b"greet":
            self.greet(channel)
        if channel.command == b"requests":
            self.tell(DATA, channel.theirs, "".join(line + "\n" for line in channel.requests))
            self.end(channel)

    def on_shell(self, channel):
        """Answers each line: `requests` as command `requests` does, `exit N` by ending, others by repeating them."""
        self.tell(SUCCESS, channel.theirs)

    def on_subsystem(self, channel):
        """Only the subsystem `echo` exists: it returns its input at once."""
        known = channel.command == b"subsystem echo"
        self.tell(SUCCESS if known else FAILURE, channel.theirs)

    def on_line(self, channel, line):
        word, _, rest = line.partition(b" ")
        if word == b"exit":
            self.end(channel, int(rest or b"0"))
        elif word == b"requests":
            self.tell(DATA, channel.theirs, "".join(line + "\n" for line in channel.requests))
        else:
            self.tell(DATA, channel.theirs, line + b"\n")

    def on_request(self, channel):
        """Accepts all requests before the command; command `requests` prints their names and payloads."""
        self.tell(SUCCESS, channel.theirs)

    def greet(self, channel):
        self.tell(DATA, channel.theirs, b"hello\n")
        self.end(channel)

    def on_input(self, channel, data):
        channel.taken += len(data)
        if channel.taken >= WINDOW // 2:
            self.tell(WINDOW_ADJUST, channel.theirs, channel.taken)
            channel.taken = 0
        if channel.command == b"subsystem echo":
            self.tell(DATA, channel.theirs, data)
        while channel.command == b"shell" and not channel.closed and b"\n" in channel.stdin:
            line, _, channel.stdin = channel.stdin.partition(b"\n")
            self.on_line(channel, line)

    def on_input_end(self, channel):
        """Command `echo`: returns the whole input. A shell and a subsystem end."""
        if channel.command in (b"shell", b"subsystem echo") and not channel.closed:
            self.end(channel)
        if channel.command == b"echo":
            for at in range(0, len(channel.stdin), PACKET):
                self.tell(DATA, channel.theirs, bytes(channel.stdin[at:at + PACKET]))
            self.end(channel)

    def on_close(self, channel):
        if not channel.closed:
            self.tell(CLOSE, channel.theirs)

    # From messages to events.

    def _parse_newkeys(self, message):
        first = not self.initial_kex_done
        super()._parse_newkeys(message)
        if first:
            self.on_keys()

    def _service_request(self, message):
        self.on_service()

    def _auth_request(self, message):
        message.get_text()
        message.get_text()
        self.on_auth(message.get_text(), message)

    def _open(self, message):
        message.get_text()
        theirs = message.get_int()
        channel = Channel(len(self.channels), theirs, message.get_int())
        self.channels[channel.own] = channel
        self.on_open(channel)

    def _request(self, message):
        channel = self.channels[message.get_int()]
        name, wants_reply = message.get_text(), message.get_boolean()
        if name == "exec":
            channel.command = message.get_string()
            self.on_exec(channel)
            return
        channel.requests.append(f"{name} {message.get_remainder().hex()}")
        if name == "shell":
            channel.command = b"shell"
            self.on_shell(channel)
        elif name == "subsystem":
            channel.command = b"subsystem " + message.get_string()
            self.on_subsystem(channel)
        elif wants_reply:
            self.on_request(channel)

    def _adjust(self, message):
        channel = self.channels[message.get_int()]
        with channel.changed:
            channel.window += message.get_int()
            channel.changed.notify()

    def _data(self, message):
        channel = self.channels[message.get_int()]
        data = message.get_string()
        channel.stdin += data
        self.on_input(channel, data)

    def _eof(self, message):
        self.on_input_end(self.channels[message.get_int()])

    def _close(self, message):
        self.on_close(self.channels[message.get_int()])


class Cork:
    def __init__(self, sock):
        self.sock = sock

    def __enter__(self):
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)

    def __exit__(self, *_):
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)


def bind(peers):
    """Listeners at one port that is free at the addresses of all peers, below the ephemeral range."""
    while True:
        port = random.randrange(10_240, 32_768)
        listeners = []
        try:
            for address, peer in peers.items():
                listener = socket.socket()
                listeners.append(listener)
                if peer.receive_buffer:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, peer.receive_buffer)
                listener.bind((address, port))
                listener.listen(64)
            return port, listeners
        except OSError:
            for listener in listeners:
                listener.close()


def serve(listener, peer, key, seen):
    while True:
        sock, _ = listener.accept()
        peer(sock, key, seen).start_server(event=threading.Event())


def main():
    from kinds import KINDS

    import agent_kinds, flood_kinds, gssapi_kinds, key_scan_kinds  # They add their own.

    # Errors of connections that fail on purpose need no message.
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    logging.getLogger("paramiko").propagate = "SSHOAL_HOSTILE_LOG" in os.environ
    peers = {"127.0.0.1": Peer}
    peers.update((f"127.0.1.{at}", KINDS[name]) for at, name in enumerate(sys.argv[1:], 1))
    key = paramiko.ECDSAKey.generate()
    seen = {address: collections.Counter() for address in peers}
    port, listeners = bind(peers)
    for listener, (address, peer) in zip(listeners, peers.items()):
        threading.Thread(target=serve, args=(listener, peer, key, seen[address]), daemon=True).start()
    print("listening", port, flush=True)
    for line in sys.stdin:
        counts = dict(seen[line.strip()])
        print(*(f"{kind}={count}" for kind, count in counts.items()), flush=True)
    # Threads that are blocked in a send do not keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    sys.modules["server"] = sys.modules["__main__"]
    main()

"""Servers that lie about their host keys."""

import paramiko
from kinds import kind
from server import Peer


class Shown:
    """Signs with a key, and shows something else as its public half."""

    def __init__(self, key, shown):
        self.key = key
        self.shown = shown

    def asbytes(self):
        return self.shown

    def sign_ssh_data(self, *args):
        return self.key.sign_ssh_data(*args)


@kind("absurd-key")
class AbsurdKey(Peer):
    def get_server_key(self):
        key = super().get_server_key()
        return Shown(key, b"\0\0\0\x13ecdsa-sha2-nistp256" + b"\xff" * 64)


@kind("huge-key")
class HugeKey(Peer):
    def get_server_key(self):
        key = super().get_server_key()
        return Shown(key, key.asbytes() + bytes(200_000))


@kind("another-key-each-time")
class AnotherKeyEachTime(Peer):
    def __init__(self, sock, key, seen):
        super().__init__(sock, paramiko.ECDSAKey.generate(), seen)


@kind("key-of-another-type")
class KeyOfAnotherType(Peer):
    other = paramiko.RSAKey.generate(2048)

    def get_server_key(self):
        key = super().get_server_key()
        return Shown(key, self.other.asbytes())

"""Floods, servers that do not read, and key exchanges that cost too much."""

import hashlib
import hmac
import struct
import threading
import time

from kinds import *

UNKNOWN = 192


def payload(kind, *fields):
    """The bytes of a message, as `Peer.tell` would send it."""
    peer = type("Writer", (), {"_send_message": lambda self, message: setattr(self, "bytes", message.asbytes())})()
    Peer.tell(peer, kind, *fields)
    return peer.bytes


def storm(peer, message, count):
    """Sends the same message `count` times, much faster than `tell`: a hundred packets per call."""
    packetizer = peer.packetizer
    private = lambda name: getattr(packetizer, "_Packetizer__" + name)
    engine, etm = private("block_engine_out"), private("etm_out")
    packet = packetizer._build_packet(message)
    for _ in range(0, count, 100):
        with private("write_lock"):
            if engine is None:
                packetizer.write_all(packet * 100)
                number = private("sequence_number_out") + 100
            else:
                assert etm and private("mac_engine_out") is hashlib.sha256
                number = private("sequence_number_out")
                length, body = packet[:4], len(packet) - 4
                sealed, out = engine.update(packet[4:] * 100), []
                for at in range(0, len(sealed), body):
                    part = length + sealed[at:at + body]
                    mac = hmac.digest(private("mac_key_out"), struct.pack(">I", number) + part, "sha256")
                    out.append(part + mac)
                    number = (number + 1) & 0xFFFFFFFF
                packetizer.write_all(b"".join(out))
            packetizer._Packetizer__sequence_number_out = number


class Flooder(Peer):
    """Offers the algorithms that `storm` supports."""

    _preferred_macs = ("hmac-sha2-256-etm@openssh.com",)
    _preferred_ciphers = ("aes128-ctr",)


class Unreading(Flooder):
    """Has a small window, which fills up sooner."""

    receive_buffer = 4096

    def storm_for_ever(self, *fields):
        """Reads nothing meanwhile: the thread that reads calls it."""
        while True:
            storm(self, payload(*fields), 10_000)


# Servers that request replies and read none.


@kind("unread-before-keys")
class UnreadBeforeKeys(Unreading):
    def _send_kex_init(self):
        self.storm_for_ever(UNKNOWN, b"")


@kind("unread-before-login")
class UnreadBeforeLogin(Unreading):
    def on_auth(self, method, message):
        self.storm_for_ever(UNKNOWN, b"")


@kind("unread-unknown")
class UnreadUnknown(Unreading):
    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        self.storm_for_ever(UNKNOWN, b"")


@kind("unread-globals")
class UnreadGlobals(Unreading):
    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        self.storm_for_ever(GLOBAL_REQUEST, "x", True)


@kind("unread-requests")
class UnreadRequests(Unreading):
    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        self.storm_for_ever(REQUEST, channel.theirs, "x", True)


@kind("unread-opens")
class UnreadOpens(Unreading):
    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        self.storm_for_ever(OPEN, "x11", 1, WINDOW, PACKET, "127.0.0.1", 6000)


@kind("read-slowly")
class ReadSlowly(Flooder):
    """Requests 10,000 replies at a time, three times, and reads none of them for a while."""

    def __init__(self, *args):
        super().__init__(*args)
        self._handler_table[UNIMPLEMENTED] = ReadSlowly._answered
        self.answers = 0

    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        self.channel = channel
        self.ask()

    def ask(self):
        storm(self, payload(UNKNOWN, b""), 10_000)
        time.sleep(0.3)

    def _answered(self, message):
        self.answers += 1
        if self.answers == 30_000:
            self.greet(self.channel)
        elif self.answers % 10_000 == 0:
            self.ask()


# Floods without replies: 50,000 messages each before the command's output.


def flood_kind(name, *fields):
    """Fields that are None are replaced by the client's channel number."""

    @kind(name)
    class Flood(Flooder):
        def on_exec(self, channel):
            self.tell(SUCCESS, channel.theirs)
            threading.Thread(target=self.flood, args=(channel,), daemon=True).start()

        def flood(self, channel):
            filled = [channel.theirs if field is None else field for field in fields]
            storm(self, payload(*filled), 50_000)
            self.greet(channel)


flood_kind("flood-unknown", UNKNOWN, b"")
flood_kind("flood-empty-data", DATA, None, b"")
flood_kind("flood-empty-stderr", EXTENDED_DATA, None, 1, b"")
flood_kind("prints", DATA, None, b"printed\n")
flood_kind("flood-adjust", WINDOW_ADJUST, None, 1)
flood_kind("flood-eof", EOF, None)
flood_kind("flood-success", SUCCESS, None)
flood_kind("flood-open-failure", OPEN_FAILURE, None, 1, "no", "")
flood_kind("flood-exit-status", REQUEST, None, "exit-status", False, 0)
flood_kind("flood-exit-signal", REQUEST, None, "exit-signal", False, "TERM", False, "x" * 100, "")
flood_kind("flood-ext-info", EXT_INFO, 1, "server-sig-algs", "ssh-ed25519")
flood_kind("flood-request-success", REQUEST_SUCCESS)
flood_kind("flood-banner", USERAUTH_BANNER, "x" * 100, "")


@kind("signal-of-60-kilobytes")
def signal_of_60_kilobytes(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.signal(channel, "A" * 20_000, "ä" * 20_000)
    peer.tell(EOF, channel.theirs)
    peer.tell(CLOSE, channel.theirs)


@kind("other-stream")
def other_stream(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.tell(EXTENDED_DATA, channel.theirs, 2, b"other\n")
    peer.greet(channel)


# Channels that have ended for the client, but not for the server.


@kind("refuses-and-pours")
class RefusesAndPours(Flooder):
    """Refuses the first command, and sends 64 MiB on its channel before the second one's output."""

    first = None

    def on_exec(self, channel):
        if self.first is None:
            self.first = channel
            self.tell(FAILURE, channel.theirs)
        else:
            self.tell(SUCCESS, channel.theirs)
            threading.Thread(target=self.pour, args=(channel,), daemon=True).start()

    def pour(self, channel):
        first = self.first
        for _ in range(2048):
            with first.changed:
                first.changed.wait_for(lambda: first.window >= 0, 10)
            storm(self, payload(DATA, first.theirs, bytes(320)), 100)
        self.greet(channel)

    def on_close(self, channel):
        if channel is not self.first:
            super().on_close(channel)


@kind("refuses-and-keeps")
class RefusesAndKeeps(Peer):
    def on_exec(self, channel):
        self.tell(FAILURE, channel.theirs)

    def on_close(self, channel):
        pass


# Key exchanges.


@kind("rekeys-for-nothing")
class RekeysForNothing(Peer):
    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        threading.Thread(target=self.renew, daemon=True).start()

    def renew(self):
        while True:
            self.renegotiate_keys()


@kind("rekeys-before-login")
class RekeysBeforeLogin(RekeysForNothing):
    """Answers no login, and rekeys instead."""

    def on_auth(self, method, message):
        threading.Thread(target=self.renew, daemon=True).start()


@kind("rekeys-ten-times")
class RekeysTenTimes(Peer):
    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        threading.Thread(target=self.renew, args=(channel,), daemon=True).start()

    def renew(self, channel):
        for _ in range(10):
            self.renegotiate_keys()
        self.greet(channel)


class Names(Flooder):
    """`count` names of one letter before the key exchange that the client prefers least."""

    names = 119_000

    def __init__(self, *args):
        super().__init__(*args)
        self._preferred_kex = ("a",) * self.names + ("diffie-hellman-group14-sha256",)


KINDS["kexinit-119000"] = Names
KINDS["kexinit-15000"] = type("Names15000", (Names,), {"names": 15_000})


@kind("kexinit-119000-later")
class NamesLater(Names):
    names = 0

    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        threading.Thread(target=self.renew, args=(channel,), daemon=True).start()

    def renew(self, channel):
        self._preferred_kex = ("a",) * 119_000 + ("diffie-hellman-group14-sha256",)
        while True:
            self.renegotiate_keys()


def exchange(name):
    @kind(name)
    class Exchange(Peer):
        _preferred_kex = (name,)
        # Without primes paramiko would not offer a group exchange.
        _modulus_pack = object()


exchange("diffie-hellman-group16-sha512")
exchange("diffie-hellman-group-exchange-sha256")


class Signer:
    """A host key with a custom signature."""

    def __init__(self, key, sign):
        self.key, self.sign = key, sign

    def __getattr__(self, name):
        return getattr(self.key, name)

    def sign_ssh_data(self, data, algorithm=None):
        message = Message()
        message.add_bytes(self.sign(self.key.sign_ssh_data(data).asbytes()))
        return message


def signed(name, sign):
    @kind(name)
    class Signed(Peer):
        def __init__(self, sock, key, seen):
            super().__init__(sock, key, seen)
            self.add_server_key(Signer(key, sign))


def field(data):
    return struct.pack(">I", len(data)) + data


signed("signature-empty", lambda whole: b"")
signed("signature-no-blob", lambda whole: field(b"ecdsa-sha2-nistp256"))
signed("signature-unknown-type", lambda whole: field(b"ssh-nothing") + field(bytes(64)))
signed("signature-other-type", lambda whole: field(b"ssh-ed25519") + field(bytes(64)))
signed("signature-truncated", lambda whole: whole[:-8])
signed("signature-garbage", lambda whole: bytes(range(100)))
signed("signature-flipped", lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]))

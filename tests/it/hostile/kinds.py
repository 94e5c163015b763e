"""The kinds of misbehaviour, by name."""

import threading
import time

from server import *

KINDS = {}


def kind(name):
    """Registers a class, or a function that replaces `on_exec`."""

    def register(what):
        if not isinstance(what, type):
            what = type(name, (Peer,), {"on_exec": what})
        KINDS[name] = what
        return what

    return register


# Before the command.


def flood(peer, channel):
    for _ in range(3 * WINDOW // PACKET):
        peer.tell(DATA, channel.theirs, bytes(PACKET))


@kind("close-for-request")
class CloseForRequest(Peer):
    def on_request(self, channel):
        self.tell(CLOSE, channel.theirs)
        channel.closed = True


@kind("requests-refused")
class RequestsRefused(Peer):
    def on_request(self, channel):
        self.tell(FAILURE, channel.theirs)


@kind("request-answered-twice")
class RequestAnsweredTwice(Peer):
    def on_request(self, channel):
        self.tell(SUCCESS, channel.theirs)
        self.tell(FAILURE, channel.theirs)


@kind("output-for-request")
class OutputForRequest(Peer):
    def on_request(self, channel):
        flood(self, channel)


# Programs.


@kind("exec-refused")
def exec_refused(peer, channel):
    """A device that has only a shell."""
    peer.tell(FAILURE, channel.theirs)


@kind("programs-refused")
class ProgramsRefused(Peer):
    def on_shell(self, channel):
        self.tell(FAILURE, channel.theirs)

    on_subsystem = on_shell


@kind("programs-unanswered")
class ProgramsUnanswered(Peer):
    def on_shell(self, channel):
        pass

    on_subsystem = on_shell


@kind("shell-unread")
class ShellUnread(Peer):
    def on_input(self, channel, data):
        pass

    def on_input_end(self, channel):
        pass


@kind("shell-lost")
class ShellLost(Peer):
    def on_line(self, channel, line):
        self.peer_sock.shutdown(socket.SHUT_RDWR)


@kind("shell-accepted-and-lost")
class ShellAcceptedAndLost(Peer):
    def on_shell(self, channel):
        with self.together():
            self.tell(SUCCESS, channel.theirs)
            self.tell(DATA, channel.theirs, b"switch>")
            self.tell(DISCONNECT, 11, "enough", "")


# After CLOSE.


def late(peer, channel):
    """Messages that must not affect a closed channel."""
    peer.tell(DATA, channel.theirs, b"late" * 64)
    peer.tell(EXTENDED_DATA, channel.theirs, 1, b"late" * 64)
    peer.status(channel, 7)
    peer.signal(channel, "KILL", "late")
    peer.tell(EOF, channel.theirs)
    peer.tell(WINDOW_ADJUST, channel.theirs, 1)
    peer.tell(SUCCESS, channel.theirs)
    peer.tell(FAILURE, channel.theirs)
    peer.tell(DATA, channel.theirs, b"later\n" * 64)
    peer.tell(CLOSE, channel.theirs)


@kind("after-close")
def after_close(peer, channel):
    with peer.together():
        peer.tell(SUCCESS, channel.theirs)
        peer.greet(channel)
        late(peer, channel)


@kind("after-close-no-status")
def after_close_no_status(peer, channel):
    with peer.together():
        peer.tell(SUCCESS, channel.theirs)
        peer.tell(DATA, channel.theirs, b"hello\n")
        channel.closed = True
        peer.tell(CLOSE, channel.theirs)
        late(peer, channel)


@kind("after-both-closed")
class AfterBothClosed(Peer):
    def on_close(self, channel):
        late(self, channel)


@kind("after-refusal")
class AfterRefusal(Peer):
    def on_exec(self, channel):
        with self.together():
            self.tell(FAILURE, channel.theirs)
            self.tell(DATA, channel.theirs, b"late" * 64)

    def on_close(self, channel):
        late(self, channel)


# Packet sizes and windows.

for size in [0, 1, 9, 10, 11, 12]:
    KINDS[f"packet-{size}"] = type("PacketSize", (Peer,), {"packet_max": size})


@kind("over-window")
def over_window(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    for _ in range(3 * WINDOW // PACKET):
        peer.tell(DATA, channel.theirs, bytes(PACKET))
    peer.greet(channel)


@kind("window-overflow")
class WindowOverflow(Peer):
    def on_open(self, channel):
        super().on_open(channel)
        for _ in range(2):
            self.tell(WINDOW_ADJUST, channel.theirs, 0xFFFFFFFF)


@kind("unknown-channel")
def unknown_channel(peer, channel):
    stranger = Channel(channel.own, channel.theirs + 1000, 0)
    late(peer, stranger)
    peer.tell(SUCCESS, channel.theirs)
    late(peer, stranger)
    peer.greet(channel)


# Responses to the command.


@kind("confirmed-twice")
class ConfirmedTwice(Peer):
    def on_open(self, channel):
        super().on_open(channel)
        super().on_open(channel)

    def on_exec(self, channel):
        """A command that had ended by then would count as started."""


@kind("success-twice")
def success_twice(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.tell(SUCCESS, channel.theirs)
    peer.greet(channel)


@kind("no-answer")
def no_answer(peer, channel):
    peer.greet(channel)


@kind("no-answer-at-once")
def no_answer_at_once(peer, channel):
    with peer.together():
        peer.greet(channel)


@kind("close-for-answer")
def close_for_answer(peer, channel):
    channel.closed = True
    peer.tell(CLOSE, channel.theirs)


@kind("early-output")
def early_output(peer, channel):
    flood(peer, channel)


# Ends of the command.


@kind("status-max")
def status_max(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.end(channel, 0xFFFFFFFF)


@kind("status-twice")
def status_twice(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.status(channel, 3)
    peer.end(channel, 4)


@kind("status-and-signal")
def status_and_signal(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.status(channel, 3)
    peer.signal(channel, "TERM", "")
    peer.tell(EOF, channel.theirs)
    peer.tell(CLOSE, channel.theirs)


@kind("signal-and-status")
def signal_and_status(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.signal(channel, "TERM", "")
    peer.end(channel, 3)


@kind("signal-text")
def signal_text(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.signal(channel, "KILL\x1b]52;c;cm0gLXJm\x07", "\x1b[2J\u202e" * 2048, core=True)
    peer.tell(EOF, channel.theirs)
    peer.tell(CLOSE, channel.theirs)


@kind("status-truncated")
def status_truncated(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.tell(REQUEST, channel.theirs, "exit-status", False, Raw(b"\0\0"))
    peer.tell(EOF, channel.theirs)
    peer.tell(CLOSE, channel.theirs)


# Logging in.


@kind("success-unasked")
class SuccessUnasked(Peer):
    def on_keys(self):
        self.tell(USERAUTH_SUCCESS)


@kind("success-with-service")
class SuccessWithService(Peer):
    def on_service(self):
        with self.together():
            super().on_service()
            self.tell(USERAUTH_SUCCESS)


@kind("channel-before-auth")
class ChannelBeforeAuth(Peer):
    def on_service(self):
        for channel in range(64):
            self.tell(OPEN_CONFIRMATION, channel, 0, WINDOW, PACKET)
            self.tell(DATA, channel, b"early")
            self.tell(CLOSE, channel)
        super().on_service()


@kind("denies")
class Denies(Peer):
    def on_auth(self, method, message):
        self.tell(USERAUTH_FAILURE, "publickey,password,keyboard-interactive", False)


@kind("denies-for-ever")
class DeniesForEver(Peer):
    def on_auth(self, method, message):
        for _ in range(1000):
            self.tell(USERAUTH_FAILURE, "publickey,password", False)


@kind("never-content")
class NeverContent(Peer):
    def on_auth(self, method, message):
        self.tell(USERAUTH_FAILURE, "publickey,password", True)


@kind("other-key")
class OtherKey(Peer):
    def on_auth(self, method, message):
        if method == "publickey" and not message.get_boolean():
            self.tell(USERAUTH_PK_OK, "ssh-ed25519", b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + bytes(32))
        else:
            self.tell(USERAUTH_SUCCESS)


@kind("key-for-password")
class KeyForPassword(Peer):
    def on_auth(self, method, message):
        self.tell(USERAUTH_PK_OK, "ssh-ed25519", bytes(51))


class Asks(Peer):
    """Sends several rounds of prompts, then accepts the user."""

    rounds = []

    def __init__(self, *args):
        super().__init__(*args)
        self.asked = 0
        self.answers = []
        self._handler_table[USERAUTH_INFO_RESPONSE] = Asks._answers

    def on_auth(self, method, message):
        if method == "keyboard-interactive":
            self.ask()
        else:
            self.tell(USERAUTH_FAILURE, "keyboard-interactive", False)

    def ask(self):
        if self.asked < len(self.rounds):
            self.tell(USERAUTH_INFO_REQUEST, *questions(self.rounds[self.asked]))
            self.asked += 1
        else:
            self.tell(USERAUTH_SUCCESS)

    def _answers(self, message):
        self.answers.append([message.get_text() for _ in range(message.get_int())])
        self.ask()

    def greet(self, channel):
        self.tell(DATA, channel.theirs, repr(self.answers) + "\n")
        super().greet(channel)


def questions(prompts, count=None):
    """The fields of one round; `prompts` as (text, echo)."""
    fields = ["name", "instruction \x1b[2J", "", len(prompts) if count is None else count]
    for text, echo in prompts:
        fields += [text, echo]
    return fields


@kind("asks-two-factors")
class AsksTwoFactors(Asks):
    rounds = [[("Password: ", False)], [], [("Code: ", False), ("Again: ", True)], []]


@kind("asks-for-ever")
class AsksForEver(Asks):
    rounds = [[("More: ", False)]] * 100_000


@kind("asks-nothing-for-ever")
class AsksNothingForEver(Asks):
    rounds = [[]] * 100_000


@kind("asks-256")
class Asks256(Asks):
    rounds = [[("More: ", False)] * 256]


@kind("asks-257")
class Asks257(Asks):
    rounds = [[("More: ", False)] * 257]


@kind("asks-in-escapes")
class AsksInEscapes(Asks):
    rounds = [[("\x1b]0;pwned\x07\u202e" + "x" * 30_000, False)]]


@kind("asks-less-than-it-says")
class AsksLess(Asks):
    def ask(self):
        self.tell(USERAUTH_INFO_REQUEST, *questions([("More: ", False)], 3))


@kind("asks-four-billion")
class AsksFourBillion(Asks):
    def ask(self):
        self.tell(USERAUTH_INFO_REQUEST, *questions([], 0xFFFFFFFF))


@kind("asks-twice-at-once")
class AsksTwiceAtOnce(Asks):
    def ask(self):
        with self.together():
            for _ in range(2):
                self.tell(USERAUTH_INFO_REQUEST, *questions([("More: ", False)]))


@kind("asks-and-refuses-at-once")
class AsksAndRefusesAtOnce(Asks):
    def ask(self):
        with self.together():
            self.tell(USERAUTH_INFO_REQUEST, *questions([("More: ", False)]))
            self.tell(USERAUTH_FAILURE, "keyboard-interactive", False)


@kind("asks-for-a-password")
class AsksForAPassword(Asks):
    """Prompts in response to the password method, which has none."""

    def on_auth(self, method, message):
        self.tell(USERAUTH_INFO_REQUEST, *questions([("More: ", False)]))


@kind("banner")
class Banner(Peer):
    """A megabyte of banners, each as long as a packet allows, with terminal escapes."""

    def on_auth(self, method, message):
        for _ in range(32):
            self.tell(USERAUTH_BANNER, b"\x1b[2J\0" * (PACKET // 5), "")
        super().on_auth(method, message)


@kind("banner-without-end")
class BannerWithoutEnd(Peer):
    """200 kB without a line end, then a refusal."""

    def on_auth(self, method, message):
        self.tell(USERAUTH_BANNER, b"\x1b[2J\xff\r\xe2\x80\xae" + b"no end " * 30_000, "")
        self.tell(USERAUTH_FAILURE, "publickey", False)


@kind("banner-for-each-refusal")
class BannerForEachRefusal(Peer):
    """Also the same one twice in a row."""

    def on_auth(self, method, message):
        for text in [f"not by {method}\r\n"] * 2:
            self.tell(USERAUTH_BANNER, text, "")
        self.tell(USERAUTH_FAILURE, "password,keyboard-interactive", False)


@kind("banner-and-end")
class BannerAndEnd(Peer):
    """What sshd does if PAM does not let the user in, for instance because of /run/nologin."""

    def on_auth(self, method, message):
        with self.together():
            self.tell(USERAUTH_BANNER, "System is going down.\n", "")
            self.peer_sock.shutdown(socket.SHUT_WR)


@kind("greets")
class Greets(Peer):
    """Sends lines before its version, in pieces."""

    def __init__(self, sock, key, seen):
        for piece in [b"Wel", b"come to \x1b[2J\r\nthis server.", b"\n"]:
            sock.sendall(piece)
            time.sleep(0.05)
        super().__init__(sock, key, seen)


@kind("greets-and-denies")
class GreetsAndDenies(Greets):
    def on_auth(self, method, message):
        self.tell(USERAUTH_FAILURE, "publickey", False)


@kind("wants-new-password")
class WantsNewPassword(Peer):
    """SSH_MSG_USERAUTH_PASSWD_CHANGEREQ (RFC 4252 section 8) has the number of PK_OK."""

    def on_auth(self, method, message):
        if method == "password":
            self.tell(USERAUTH_PK_OK, "Your password has expired. New password: ", "")
        else:
            self.tell(USERAUTH_FAILURE, "password,keyboard-interactive", False)


# Floods.

MANY = 10_000


def noise(peer, count):
    for _ in range(count // 2):
        peer.tell(IGNORE, b"noise")
        peer.tell(DEBUG, True, b"\x1b[2Jnoise", "")


@kind("noise")
class Noise(Peer):
    """IGNORE and DEBUG between any two messages."""

    def _send_kex_init(self):
        if not self.initial_kex_done:
            noise(self, 1000)
        super()._send_kex_init()

    def on_keys(self):
        noise(self, 1000)

    def on_service(self):
        noise(self, 1000)
        super().on_service()

    def on_auth(self, method, message):
        noise(self, 1000)
        super().on_auth(method, message)

    def on_open(self, channel):
        noise(self, 1000)
        super().on_open(channel)

    def on_exec(self, channel):
        noise(self, 1000)
        self.tell(SUCCESS, channel.theirs)
        noise(self, 1000)
        self.tell(DATA, channel.theirs, b"hello\n")
        noise(self, 1000)
        self.end(channel)


@kind("endless-noise")
class EndlessNoise(Peer):
    def on_auth(self, method, message):
        while True:
            noise(self, 2)


@kind("unimplemented-too")
class UnimplementedToo(Peer):
    """Sends UNIMPLEMENTED before each response, once without its sequence number."""

    def tell(self, kind, *fields):
        super().tell(UNIMPLEMENTED, 0)
        super().tell(UNIMPLEMENTED)
        super().tell(kind, *fields)


@kind("unimplemented-auth")
class UnimplementedAuth(Peer):
    def on_auth(self, method, message):
        self.tell(UNIMPLEMENTED, message.seqno)


@kind("unimplemented-open")
class UnimplementedOpen(Peer):
    def on_open(self, channel):
        self.tell(UNIMPLEMENTED, 0)


@kind("unimplemented-exec")
def unimplemented_exec(peer, channel):
    peer.tell(UNIMPLEMENTED, 0)


@kind("extensions")
class Extensions(Peer):
    def on_keys(self):
        self.tell(EXT_INFO, 0xFFFFFFFF, "server-sig-algs", "ssh-ed25519", "a", "b" * 1000)
        self.tell(EXT_INFO, 0xFFFFFFFF)


@kind("disconnects")
def disconnects(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    peer.tell(DISCONNECT, 11, "go\x1b]0;away\x07\r\nroot: " + "\x1b[2J" * 12_000, "")


@kind("globals")
def globals_(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    for at in range(MANY):
        peer.tell(GLOBAL_REQUEST, ("keepalive@openssh.com", "tcpip-forward", "x" * 500)[at % 3], True)
    peer.greet(channel)


@kind("opens")
def opens(peer, channel):
    peer.tell(SUCCESS, channel.theirs)
    details = {
        "session": [],
        "x11": ["127.0.0.1", 6000],
        "forwarded-tcpip": ["127.0.0.1", 22, "127.0.0.1", 4000],
        "auth-agent@openssh.com": [],
    }
    for at in range(MANY // len(details)):
        for name, fields in details.items():
            peer.tell(OPEN, name, 1000 + at, WINDOW, PACKET, *fields)
    peer.greet(channel)


# New keys.


@kind("rekeys")
class Rekeys(Peer):
    """Numbered lines of 16 bytes, 20 MiB in all, with new keys after every 64 KiB."""

    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        threading.Thread(target=self.pour, args=(channel,), daemon=True).start()

    def pour(self, channel):
        per_piece = PACKET // 16
        for piece in range(20 * 1024 * 1024 // PACKET):
            numbers = range(piece * per_piece, (piece + 1) * per_piece)
            with channel.changed:
                channel.changed.wait_for(lambda: channel.window >= PACKET)
                channel.window -= PACKET
            self.tell(DATA, channel.theirs, "".join(f"{number:015}\n" for number in numbers))
            if piece % 2 == 1:
                self.renegotiate_keys()
        self.end(channel)


# Compression, and keepalives.


class Compressed(Peer):
    """Compresses after the login, as requested by the client."""

    def __init__(self, *args):
        super().__init__(*args)
        self.use_compression(True)

    def on_auth(self, method, message):
        super().on_auth(method, message)
        self._auth_trigger()


@kind("inflates")
class Inflates(Compressed):
    """One message of 100 MB of zeros, which are some 100 KB on the wire."""

    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        self.tell(IGNORE, bytes(100_000_000))
        self.greet(channel)


@kind("inflates-often")
class InflatesOften(Compressed):
    """600 messages of 250 KB of zeros, just below libssh's limit, and some 250 bytes each on the wire."""

    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        for _ in range(600):
            self.tell(IGNORE, bytes(250_000))
        self.greet(channel)


@kind("noise-for-keepalives")
class NoiseForKeepalives(Peer):
    """Answers no keepalive, but keeps sending for two seconds."""

    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        threading.Thread(target=self.murmur, args=(channel,), daemon=True).start()

    def murmur(self, channel):
        for _ in range(40):
            time.sleep(0.05)
            self.tell(IGNORE, b"")
        self.greet(channel)

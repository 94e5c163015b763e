"""Misbehaviour of a server that an ssh-agent is forwarded to. The command prints the result."""

import threading

from kinds import kind
from server import *

AGENT = "auth-agent@openssh.com"
AGENT_CHANNELS = 1000
LONGEST = 256 * 1024


def request(kind, body=b""):
    return (1 + len(body)).to_bytes(4, "big") + bytes([kind]) + body


def string(text):
    return len(text).to_bytes(4, "big") + text


def extension(name):
    return request(27, string(name) + b"what belongs to it")


LIST = request(11)


class AgentUser(Peer):
    """Opens channels to the agent of the client that runs a command."""

    size = PACKET
    window = WINDOW
    count = 1

    def __init__(self, *args):
        super().__init__(*args)
        self._handler_table[OPEN_CONFIRMATION] = AgentUser._confirmed
        self._handler_table[OPEN_FAILURE] = AgentUser._refused
        self.asked = 0

    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        self.command = channel
        with self.together():
            for _ in range(self.count):
                self.open_agent()

    def open_agent(self):
        self.tell(OPEN, AGENT, AGENT_CHANNELS + self.asked, self.window, self.size)
        self.asked += 1

    def _confirmed(self, message):
        own, theirs, window = message.get_int(), message.get_int(), message.get_int()
        channel = Channel(own, theirs, window)
        self.channels[own] = channel
        self.on_agent(channel)

    def _refused(self, message):
        message.get_int()
        self.on_refused()

    def on_input(self, channel, data):
        super().on_input(channel, data)
        if channel.own >= AGENT_CHANNELS:
            self.on_answer(channel, bytes(channel.stdin))

    def on_input_end(self, channel):
        if channel.own < AGENT_CHANNELS:
            super().on_input_end(channel)

    def on_close(self, channel):
        super().on_close(channel)
        if channel.own >= AGENT_CHANNELS:
            self.on_agent_close(channel)

    def ask(self, channel, requests):
        for at in range(0, len(requests), PACKET):
            self.tell(DATA, channel.theirs, requests[at:at + PACKET])

    def say(self, text):
        """Prints the command's output and ends it."""
        if not self.command.closed:
            self.tell(DATA, self.command.theirs, text + "\n")
            self.end(self.command)

    # Events.

    def on_agent(self, channel):
        """The client accepts this channel."""

    def on_refused(self):
        self.say("refused")

    def on_answer(self, channel, answers):
        """Everything that the agent has sent on this channel."""

    def on_agent_close(self, channel):
        self.say("closed")


def messages(stream):
    """The complete messages of a stream, without their lengths."""
    found = []
    while len(stream) >= 4 and len(stream) >= 4 + int.from_bytes(stream[:4], "big"):
        end = 4 + int.from_bytes(stream[:4], "big")
        found.append(stream[4:end])
        stream = stream[end:]
    return found


class Asks(AgentUser):
    """Sends several requests at once; the command prints the types of the replies."""

    requests = [LIST]

    def on_agent(self, channel):
        self.ask(channel, b"".join(self.requests))

    def on_answer(self, channel, answers):
        answers = messages(answers)
        if len(answers) == len(self.requests):
            self.say(" ".join(str(answer[0]) for answer in answers))


class Sized(Asks):
    """Announces another packet size to the client. Some versions of libssh do not answer an OPEN with a size of 0."""

    def __init__(self, *args):
        super().__init__(*args)
        self._handler_table[REQUEST_FAILURE] = Sized._answered

    def on_exec(self, channel):
        super().on_exec(channel)
        self.tell(GLOBAL_REQUEST, "answered-after-the-open", True)

    def _answered(self, message):
        if not any(own >= AGENT_CHANNELS for own in self.channels):
            self.say("refused")


for size in (0, 1, 9, 10, 12):
    kind(f"agent-packet-{size}")(type(f"Packet{size}", (Sized,), {"size": size}))


@kind("agent-answer")
class Answer(Asks):
    """The command prints the reply to a list request, byte for byte."""

    size = 12

    def on_answer(self, channel, answers):
        if messages(answers):
            self.say(answers.hex())


EVERY_TYPE = [request(kind, b"anything") for kind in range(256)]
EVERY_TYPE += [extension(name) for name in (b"session-bind@openssh.com", b"query", b"session-bind")]
EVERY_TYPE += [bytes(4), LIST]


@kind("agent-every-type")
class EveryType(Asks):
    requests = EVERY_TYPE


@kind("agent-byte-by-byte")
class ByteByByte(Asks):
    requests = EVERY_TYPE

    def on_agent(self, channel):
        for byte in b"".join(self.requests):
            self.tell(DATA, channel.theirs, bytes([byte]))


@kind("agent-oversize")
class Oversize(Asks):
    """A length above the maximum, then a list request on another channel."""

    def on_agent(self, channel):
        if channel.own == AGENT_CHANNELS:
            self.ask(channel, (LONGEST + 1).to_bytes(4, "big") + b"\x0d" + bytes(100))
        else:
            super().on_agent(channel)

    def on_agent_close(self, channel):
        if channel.own == AGENT_CHANNELS:
            self.open_agent()


@kind("agent-half")
class Half(Asks):
    """Half a message on one channel, which stays open, and a list request on another."""

    count = 2

    def on_agent(self, channel):
        if channel.own == AGENT_CHANNELS:
            self.ask(channel, request(13, bytes(1000))[:500])
        else:
            super().on_agent(channel)


@kind("agent-deaf")
class Deaf(AgentUser):
    """Sixteen channels without a window, and on each 4 MiB of requests, or as many as possible until it is closed."""

    count = 16
    window = 0

    def on_agent(self, channel):
        threading.Thread(target=self.pour, args=(channel,), daemon=True).start()

    def pour(self, channel):
        many = LIST * (PACKET // len(LIST))
        for _ in range(4 * 1024 * 1024 // len(many)):
            if channel.closed:
                break
            self.tell(DATA, channel.theirs, many)
        self.finished = getattr(self, "finished", 0) + 1
        if self.finished == self.count:
            self.say("poured")

    def on_close(self, channel):
        """Does not confirm the CLOSE."""
        channel.closed = True

    def on_refused(self):
        """Does not confirm it."""


@kind("agent-channels")
class Channels(AgentUser):
    """Opens sixteen channels and keeps them; the command prints how many were accepted."""

    count = 16

    def on_exec(self, channel):
        self.settled = self.let_in = 0
        super().on_exec(channel)

    def on_agent(self, channel):
        self.let_in += 1
        self.settle()

    def on_refused(self):
        self.settle()

    def settle(self):
        self.settled += 1
        if self.settled == self.count:
            self.say(str(self.let_in))

    def on_agent_close(self, channel):
        """It was accepted nevertheless."""


class ConfirmsAgain(AgentUser):
    """Confirms the command's channel again once it runs, with another packet size, and waits for input."""

    def on_exec(self, channel):
        self.tell(SUCCESS, channel.theirs)
        self.tell(OPEN_CONFIRMATION, channel.theirs, channel.own, WINDOW, self.size)
        self.tell(DATA, channel.theirs, b"go on\n")


class ConfirmsAgainToo(Asks):
    """Confirms a channel to the agent with another packet size after the first reply, and sends another request."""

    def on_agent(self, channel):
        channel.asked = False
        super().on_agent(channel)

    def on_answer(self, channel, answers):
        if not channel.asked:
            channel.asked = True
            self.tell(OPEN_CONFIRMATION, channel.theirs, channel.own, WINDOW, self.again)
            self.ask(channel, LIST)


for size in (0, 10):
    kind(f"confirms-again-{size}")(type(f"ConfirmsAgain{size}", (ConfirmsAgain,), {"size": size}))
    again = type(f"ConfirmsAgainToo{size}", (ConfirmsAgainToo,), {"again": size})
    kind(f"agent-confirms-again-{size}")(again)

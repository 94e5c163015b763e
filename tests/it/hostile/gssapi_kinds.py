"""Misbehaviour in the GSSAPI method (RFC 4462 section 3). All kinds accept the password."""

from kinds import kind
from server import *

GSSAPI_RESPONSE, GSSAPI_TOKEN, GSSAPI_ERROR, GSSAPI_ERRTOK, GSSAPI_MIC = 60, 61, 64, 65, 66
KERBEROS = bytes.fromhex("06092a864886f712010202")


class Gssapi(Peer):
    def __init__(self, *args):
        super().__init__(*args)
        self._handler_table[GSSAPI_TOKEN] = lambda self, message: self.on_token(message.get_string())
        for kind in (GSSAPI_ERRTOK, GSSAPI_MIC):
            self._handler_table[kind] = lambda self, message: None

    def on_auth(self, method, message):
        if method == "gssapi-with-mic":
            with self.together():
                self.on_gssapi()
        else:
            self.tell(USERAUTH_SUCCESS)

    def on_gssapi(self):
        self.tell(GSSAPI_RESPONSE, KERBEROS)

    def on_token(self, token):
        """The client's first token."""

    def refuse(self):
        self.tell(USERAUTH_FAILURE, "gssapi-with-mic,password", False)


def answers(name, *fields):
    """Creates a kind that answers the request for the method with these fields of a RESPONSE."""
    on_gssapi = lambda peer: peer.tell(GSSAPI_RESPONSE, *fields)
    kind(name)(type(name, (Gssapi,), {"on_gssapi": on_gssapi}))


def follows(name):
    """Registers a function that replaces `on_token`."""
    return lambda on_token: kind(name)(type(name, (Gssapi,), {"on_token": on_token}))


answers("gssapi-no-mechanism")
answers("gssapi-empty-mechanism", b"")
answers("gssapi-half-a-mechanism", Raw(b"\0\0\0\x0b\x06\x09\x2a"))
answers("gssapi-mechanism-of-wrong-length", KERBEROS[:-1])
answers("gssapi-unknown-mechanism", b"\x06\x03abc")


@follows("gssapi-no-token")
def no_token(peer, token):
    peer.tell(GSSAPI_TOKEN)


@follows("gssapi-empty-token")
def empty_token(peer, token):
    peer.tell(GSSAPI_TOKEN, b"")


@follows("gssapi-garbage")
def garbage(peer, token):
    peer.tell(GSSAPI_TOKEN, b"\x60\x82\xff\xff" + os.urandom(400))


@follows("gssapi-own-token-back")
def own_token_back(peer, token):
    peer.tell(GSSAPI_TOKEN, token)


@follows("gssapi-huge-token")
def huge_token(peer, token):
    peer.tell(GSSAPI_TOKEN, bytes(200_000))


@follows("gssapi-tokens-without-end")
def tokens_without_end(peer, token):
    for _ in range(1000):
        peer.tell(GSSAPI_TOKEN, token)


@follows("gssapi-says-why")
def says_why(peer, token):
    peer.tell(GSSAPI_ERROR, 0xFFFFFFFF, 0xFFFFFFFF, "\x1b[2Jno\r\n" * 1000, "")
    peer.tell(GSSAPI_ERRTOK, os.urandom(400))
    peer.refuse()


@follows("gssapi-refuses-late")
def refuses_late(peer, token):
    peer.refuse()


@follows("gssapi-silent")
def silent(peer, token):
    """Sends nothing more."""


@follows("gssapi-leaves")
def leaves(peer, token):
    peer.close()


@kind("gssapi-success-at-once")
class SuccessAtOnce(Gssapi):
    """Accepts the user before any proof."""

    def on_gssapi(self):
        self.tell(USERAUTH_SUCCESS)


@kind("gssapi-token-first")
class TokenFirst(Gssapi):
    def on_gssapi(self):
        self.tell(GSSAPI_TOKEN, b"\x60\x03abc")
        self.refuse()


@kind("gssapi-twice")
class Twice(Gssapi):
    def on_gssapi(self):
        self.tell(GSSAPI_RESPONSE, KERBEROS)
        self.tell(GSSAPI_RESPONSE, KERBEROS)


@kind("gssapi-for-password")
class ForPassword(Gssapi):
    """Messages of the method without a request for it."""

    def on_auth(self, method, message):
        with self.together():
            if method == "gssapi-with-mic":
                self.refuse()
            else:
                self.tell(GSSAPI_RESPONSE, KERBEROS)
                self.tell(GSSAPI_TOKEN, b"\x60\x03abc")
                self.tell(USERAUTH_SUCCESS)

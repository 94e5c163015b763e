"""Kinds of misbehaviour of an SFTP server. The name of a kind is that of its class, with hyphens."""

import itertools
import os
import re
import signal
import stat
import sys

from sftp_server import *

KINDS = {}

FILE, DIRECTORY, LINK = stat.S_IFREG | 0o644, stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777
ESCAPES = b"\x1b]0;owned\x07\x1b[2J\x1b[31mred\r\nnext line\x00\x9b0m\xff"


def kind(made):
    KINDS[re.sub("(?<=[a-z0-9])(?=[A-Z])", "-", made.__name__).lower()] = made
    return made


@kind
class Healthy(Server):
    """Behaves."""


# The beginning.


@kind
class NoVersion(Server):
    """Never answers INIT."""

    def hello(self, version):
        self.ignore()


@kind
class OldVersion(Server):
    """Has version 2 only."""

    def hello(self, version):
        self.send(VERSION, u32(2))


@kind
class NewVersion(Server):
    """Answers with version 6 although the client has 3."""

    def hello(self, version):
        self.send(VERSION, u32(6))


@kind
class StatusForVersion(Server):
    """Answers INIT with a status."""

    def hello(self, version):
        self.status(0, FAILURE, b"no")


@kind
class TwoVersions(Server):
    """Answers INIT twice."""

    def hello(self, version):
        super().hello(version)
        super().hello(version)


@kind
class Greeting(Server):
    """Prints text before it begins, as the start-up files of a shell do."""

    def hello(self, version):
        self.raw(b"Welcome to this machine!\r\n")
        super().hello(version)


@kind
class EndsAtOnce(Server):
    """Ends before it answers INIT."""

    def hello(self, version):
        sys.exit(1)


@kind
class ManyExtensions(Server):
    """Announces as many extensions as fit into 256 KiB, none of which exists."""

    extensions = [(b"x%d@example.com" % number, b"1") for number in range(9000)]


@kind
class EndlessExtensions(Server):
    """Announces extensions in a VERSION packet of almost 4 GiB, which never ends."""

    def hello(self, version):
        self.raw(u32(0xFFFFFFF0) + bytes([VERSION]) + u32(3))
        pair = string(b"x@example.com") + string(b"1")
        while True:
            self.raw(pair * 1000)


@kind
class OtherExtensionVersions(Server):
    """Announces version 2 of the extensions that clients use, and refuses requests for them."""

    extensions = [(POSIX_RENAME, b"2"), (FSYNC, b"2"), (LIMITS, b"2")]

    def on_posix_rename(self, id, fields):
        self.status(id, UNSUPPORTED)

    on_fsync = on_limits = on_posix_rename


@kind
class NoExtensions(Server):
    """Has none, which is allowed."""

    extensions = []

    def on_posix_rename(self, id, fields):
        self.status(id, UNSUPPORTED)

    on_fsync = on_limits = on_posix_rename


# Limits that make no sense.


class Limited(Server):
    limits = (0, 0, 0, 0)

    def on_limits(self, id, fields):
        self.send(EXTENDED_REPLY, u32(id), *map(u64, self.limits))


@kind
class LimitsZero(Limited):
    """Says 0 for each limit, which means that it names none."""


@kind
class LimitsHuge(Limited):
    """Says 2^64 - 1 for each limit."""

    limits = (2**64 - 1,) * 4


@kind
class LimitsTiny(Limited):
    """Says that a packet has at most 10 bytes, a read and a write one."""

    limits = (10, 1, 1, 1)


@kind
class LimitsShort(Server):
    """Answers the question about limits with half a number."""

    def on_limits(self, id, fields):
        self.send(EXTENDED_REPLY, u32(id), b"\0\0\0\0")


@kind
class LimitsFail(Server):
    """Announces limits@openssh.com, and fails when asked."""

    def on_limits(self, id, fields):
        self.status(id, FAILURE)


# Lengths and ids, in the answer to the first request.


@kind
class LengthMax(Server):
    """Announces a packet of 4 GiB, and sends bytes for ever."""

    def request(self, kind, id, fields):
        self.raw(u32(0xFFFFFFFF) + bytes([DATA]) + u32(id) + u32(0xFFFFFFF0))
        while True:
            self.raw(bytes(1 << 16))


@kind
class LengthZero(Server):
    """Sends packets without content."""

    def request(self, kind, id, fields):
        self.raw(u32(0))
        super().request(kind, id, fields)


@kind
class PacketTooShort(Server):
    """Answers with a status that ends within its code."""

    def request(self, kind, id, fields):
        self.send(STATUS, u32(id), b"\0\0")


@kind
class StringTooLong(Server):
    """Answers with a handle whose length goes beyond its packet."""

    def request(self, kind, id, fields):
        self.send(HANDLE, u32(id), u32(200), b"abcd")


@kind
class UnknownType(Server):
    """Answers with a packet of a type that there is not."""

    def request(self, kind, id, fields):
        self.send(250, u32(id), string(b"x"))


@kind
class UnaskedAnswers(Server):
    """Before each answer, answers a request that was never made."""

    def request(self, kind, id, fields):
        self.status((id + 1_000_000) % 2**32, OK)
        super().request(kind, id, fields)


@kind
class FloodOfAnswers(Server):
    """Answers requests that were never made, for ever, as soon as one is made."""

    def request(self, kind, id, fields):
        for number in itertools.count(id + 1):
            self.status(number % 2**32, OK, b"x" * 1000)


@kind
class AnswersTwice(Server):
    """Sends each answer twice."""

    def send(self, kind, *fields):
        super().send(kind, *fields)
        if kind != VERSION:
            super().send(kind, *fields)


@kind
class WrongAnswers(Server):
    """Answers each request with a type that does not fit: data, or a handle where data were asked for."""

    def request(self, kind, id, fields):
        if kind == READ:
            self.send(HANDLE, u32(id), string(b"data"))
        else:
            self.send(DATA, u32(id), string(b"handle"))


@kind
class OkForAll(Server):
    """Answers every request with the status OK, also those whose answer is a handle, data or names."""

    def request(self, kind, id, fields):
        self.status(id, OK)


@kind
class EofForAll(Server):
    """Answers every request with the status EOF."""

    def request(self, kind, id, fields):
        self.status(id, EOF)


# Handles.


@kind
class SameHandle(Server):
    """Gives the same handle for everything that is opened."""

    def number(self):
        return b"same"


@kind
class LongHandle(Server):
    """Gives handles of 300 bytes; 256 are allowed."""

    def number(self):
        return super().number() * 75


@kind
class EmptyHandle(Server):
    """Gives handles without content."""

    def number(self):
        return b""


# Directories.


@kind
class ManyNames(Server):
    """Announces 2^32 - 1 names where names are the answer, and sends one."""

    def names(self, id, names, count=None):
        super().names(id, names, 0xFFFFFFFF)


@kind
class NoNames(Server):
    """Answers with no name at all: READDIR for ever, REALPATH and READLINK at once."""

    def names(self, id, names, count=None):
        super().names(id, [])

    def on_readdir(self, id, fields):
        self.names(id, [])


@kind
class EndlessDirectory(Server):
    """Has directories with new names for ever."""

    def entries(self, path):
        for number in itertools.count():
            yield b"file%d" % number, attrs(1, FILE)


@kind
class EndlessLongNames(Server):
    """Has directories with new names of 255 bytes for ever."""

    def entries(self, path):
        for number in itertools.count():
            yield (b"%d" % number).rjust(255, b"x"), attrs(1, FILE)


@kind
class RepeatedNames(Server):
    """Lists each name twice."""

    def entries(self, path):
        for entry in list(super().entries(path)):
            yield entry
            yield entry


class Loop(Server):
    """Has directories that every path leads to."""

    listed = b"again"

    def entries(self, path):
        return iter([(b".", attrs(1, DIRECTORY)), (b"..", attrs(1, DIRECTORY)), (self.listed, attrs(1, DIRECTORY))])

    def on_lstat(self, id, fields):
        self.send(ATTRS, u32(id), attrs(4096, DIRECTORY))

    on_stat = on_lstat


@kind
class DirectoryLoop(Loop):
    """Every directory has a directory `again`, to any depth."""


@kind
class DirectoryTree(Loop):
    """Every directory has ten directories, to any depth: the number of paths explodes."""

    def entries(self, path):
        return iter([(b"%d" % number, attrs(1, DIRECTORY)) for number in range(10)])


class Named(Server):
    """Lists a file of one byte under a name that must not be used, and opens it."""

    name = b""
    mode = FILE

    def entries(self, path):
        yield b"good", attrs(1, FILE)
        yield self.name, attrs(1, self.mode)

    def on_lstat(self, id, fields):
        directory = not fields.string().endswith((b"good", self.name or b"//"))
        self.send(ATTRS, u32(id), attrs(1, DIRECTORY if directory else self.mode))

    on_stat = on_lstat

    def on_fstat(self, id, fields):
        self.send(ATTRS, u32(id), attrs(1, FILE))

    def on_open(self, id, fields):
        handle = self.number()
        self.handles[handle] = (fields.string(), None)
        self.send(HANDLE, u32(id), string(handle))

    def content(self, handle, offset, length):
        return b"x" if offset == 0 else b""


def named(title, name, text, mode=FILE):
    KINDS[title] = type(title, (Named,), {"__doc__": text, "name": name, "mode": mode})


named("name-slash", b"inner/escape", "Lists a name with a slash: `inner/escape`.")
named("name-up", b"../escape", "Lists a name that leads out: `../escape`.")
named("name-absolute", b"/tmp/sshoal-escape", "Lists an absolute name.")
named("name-dots", b"..", "Lists `..` as a file.")
named("name-dots-directory", b"../", "Lists `../` as a directory.", DIRECTORY)
named("name-dot", b".", "Lists `.` as a file.")
named("name-nul", b"good\0escape", "Lists a name with a NUL in it.")
named("name-empty", b"", "Lists a name without a byte.")
named("name-long", b"n" * 5000, "Lists a name of 5,000 bytes.")
named("name-escapes", ESCAPES, "Lists a name with control sequences for a terminal.")
named("name-case", b"GOOD", "Lists `good` and `GOOD`, which are one file where case does not count.")
named("device", b"device", "Lists a character device.", stat.S_IFCHR | 0o666)
named("fifo", b"fifo", "Lists a named pipe.", stat.S_IFIFO | 0o666)
named("odd-type", b"odd", "Lists a file whose type no system knows.", 0o070644)
named("set-user-id", b"root-shell", "Lists a program with the bits set-user-ID, set-group-ID and sticky.", FILE | 0o7777)


class Linked(Named):
    """Lists a link that leads out."""

    name = b"link"
    mode = LINK
    target = b""

    def on_readlink(self, id, fields):
        self.names(id, [(self.target, attrs())])


@kind
class LinkAbsolute(Linked):
    """Lists a link to /tmp."""

    target = b"/tmp"


@kind
class LinkOut(Linked):
    """Lists a link to ../../.. ."""

    target = b"../../.."


@kind
class LinkLong(Linked):
    """Lists a link to a path of 5,000 bytes."""

    target = b"t" * 5000


@kind
class LinkAndDirectory(Linked):
    """Lists one name twice: as a link to the directory above, and as a directory with the file `escape`. A client
    that makes the link and then the file writes through the link."""

    target = b".."

    def entries(self, path):
        if path.endswith(b"link"):
            return iter([(b"escape", attrs(1, FILE))])
        return iter([(b"link", attrs(1, LINK)), (b"link", attrs(1, DIRECTORY))])

    def on_lstat(self, id, fields):
        mode = FILE if fields.string().endswith(b"escape") else DIRECTORY
        self.send(ATTRS, u32(id), attrs(1, mode))

    on_stat = on_lstat


# Reading.


@kind
class ShortReads(Server):
    """Answers each read with one byte."""

    def content(self, handle, offset, length):
        return super().content(handle, offset, 1)


@kind
class ShortReadsForEver(Server):
    """Answers each read with one byte, also behind the end of the file."""

    def content(self, handle, offset, length):
        return b"x"


@kind
class EmptyData(Server):
    """Answers each read with data of no bytes."""

    def on_read(self, id, fields):
        self.send(DATA, u32(id), string(b""))


@kind
class LongData(Server):
    """Answers each read with one byte more than asked for."""

    def content(self, handle, offset, length):
        return super().content(handle, offset, length).ljust(length + 1, b"x")


@kind
class EndlessFile(Server):
    """Has files without an end, whatever their size is said to be."""

    def content(self, handle, offset, length):
        return bytes(length)


@kind
class EarlyEnd(Server):
    """Ends each file in its middle."""

    def content(self, handle, offset, length):
        half = os.fstat(handle).st_size // 2
        return super().content(handle, offset, max(0, min(length, half - offset)))


@kind
class EndAtOnce(Server):
    """Has nothing in any file, whatever their size is said to be."""

    def content(self, handle, offset, length):
        return b""


@kind
class HoleInFile(Server):
    """Says that a file ends at its second read, and has data behind it."""

    reads = 0

    def content(self, handle, offset, length):
        self.reads += 1
        return b"" if self.reads == 2 else super().content(handle, offset, length)


# Attributes that lie, of regular files.


def lying(title, text, lie):
    """A kind whose regular files have the attributes that `lie(result, by)` returns."""

    class Liar(Server):
        __doc__ = text

        def stat_of(self, result, path, by):
            made = lie(result, by) if stat.S_ISREG(result.st_mode) else None
            return super().stat_of(result, path, by) if made is None else made

    KINDS[title] = Liar


lying("size-2-63", "Says that files have 2^63 bytes.", lambda result, by: attrs(2**63, result.st_mode))
lying("size-max", "Says that files have 2^64 - 1 bytes.", lambda result, by: attrs(2**64 - 1, result.st_mode))
lying("size-smaller", "Says that files have half of their size.", lambda result, by: attrs(result.st_size // 2, FILE))
lying("size-larger", "Says that files have twice their size.", lambda result, by: attrs(result.st_size * 2 + 1, FILE))
lying("size-zero", "Says that files are empty.", lambda result, by: attrs(0, FILE))
lying("size-changes", "Says another size when a file is open: one byte less.",
      lambda result, by: attrs(result.st_size - 1, FILE) if by == FSTAT else None)
lying("no-attributes", "Tells neither size nor type nor times, which is allowed.", lambda result, by: attrs())
lying("file-as-directory", "Says that files are directories.", lambda result, by: attrs(4096, DIRECTORY))
lying("type-changes", "Says that a file is a directory once it is open.",
      lambda result, by: attrs(4096, DIRECTORY) if by == FSTAT else None)
lying("times-far", "Says that files were changed in 2106.", lambda result, by: attrs(result.st_size, FILE, (2**32 - 1,) * 2))
lying("attributes-short", "Announces a size and sends half of it.", lambda result, by: u32(SIZE) + b"\0\0\0\0")
lying("attributes-extended", "Announces 2^32 - 1 extended attributes, and sends none.",
      lambda result, by: u32(1 << 31 | SIZE) + u64(result.st_size) + u32(0xFFFFFFFF))


@kind
class DirectoryAsFile(Server):
    """Says that directories are files of 4,096 bytes, also in the directory that lists them."""

    def stat_of(self, result, path, by):
        return attrs(4096, FILE) if stat.S_ISDIR(result.st_mode) else super().stat_of(result, path, by)

    def entries(self, path):
        for name, _ in super().entries(path):
            yield name, attrs(4096, FILE)


# Statuses.


class Refusing(Server):
    """Refuses to open anything."""

    def on_open(self, id, fields):
        self.refuse(id)

    on_opendir = on_open


@kind
class LongStatus(Refusing):
    """Refuses with a text of 200,000 bytes that is full of control sequences."""

    def refuse(self, id):
        self.status(id, FAILURE, (ESCAPES * 10_000)[:200_000])


@kind
class EscapesInStatus(Refusing):
    """Refuses with a short text with control sequences."""

    def refuse(self, id):
        self.status(id, DENIED, ESCAPES)


@kind
class UnknownStatus(Refusing):
    """Refuses with a code that there is not."""

    def refuse(self, id):
        self.status(id, 0xFFFFFFFF, b"unheard of")


@kind
class StatusWithoutText(Refusing):
    """Refuses with a status that ends after its code, as servers before version 3 did."""

    def refuse(self, id):
        self.send(STATUS, u32(id), u32(DENIED))


# Silence, and ends.


@kind
class SilentAfterOpen(Server):
    """Opens, and answers nothing after that."""

    def on_open(self, id, fields):
        super().on_open(id, fields)
        self.ignore()

    def on_opendir(self, id, fields):
        super().on_opendir(id, fields)
        self.ignore()


@kind
class SilentAtRename(Server):
    """Answers everything but the rename at the end."""

    def on_rename(self, id, fields):
        self.ignore()

    on_posix_rename = on_rename


@kind
class NeverReads(Server):
    """Reads nothing after the first request."""

    def request(self, kind, id, fields):
        super().request(kind, id, fields)
        self.stop()


@kind
class NeverReadsAfterOpen(Server):
    """Opens, and reads nothing after that."""

    def on_open(self, id, fields):
        super().on_open(id, fields)
        self.stop()


@kind
class EndsInWrite(Server):
    """Ends with status 1 once 100,000 bytes were written."""

    def on_write(self, id, fields):
        super().on_write(id, fields)
        if self.written >= 100_000:
            sys.exit(1)


@kind
class EndsInPacket(Server):
    """Ends in the middle of its answer to the first read or write."""

    def on_write(self, id, fields):
        self.raw(u32(24) + bytes([STATUS]) + u32(id)[:2])
        sys.exit(0)

    on_read = on_write


@kind
class KilledInRead(Server):
    """Is killed at its second read."""

    reads = 0

    def on_read(self, id, fields):
        self.reads += 1
        if self.reads == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        super().on_read(id, fields)


@kind
class EndsAtRename(Server):
    """Ends when it has to rename, before it does."""

    def on_rename(self, id, fields):
        sys.exit(0)

    on_posix_rename = on_rename


@kind
class EndsAfterRename(Server):
    """Renames, and ends without an answer."""

    def on_posix_rename(self, id, fields):
        os.rename(fields.string(), fields.string())
        sys.exit(0)

    on_rename = on_posix_rename


# Writing.


@kind
class DiskFull(Server):
    """Fails to write more than 100,000 bytes, as on a full disk."""

    def on_write(self, id, fields):
        handle, offset, data = fields.string(), fields.u64(), fields.string()
        part = data[: 100_000 - self.written]
        os.pwrite(self.handles[handle][1], part, offset)
        self.written += len(part)
        if len(part) < len(data):
            return self.status(id, FAILURE, b"No space left on device")
        self.status(id, OK)


@kind
class DiskFullAndStuck(DiskFull):
    """Is full too, and does not remove anything."""

    def on_remove(self, id, fields):
        self.status(id, FAILURE, b"Input/output error")


@kind
class EofToWrites(Server):
    """Answers each write with the status EOF."""

    def on_write(self, id, fields):
        self.status(id, EOF)


@kind
class LosesWrites(Server):
    """Says that each write succeeded, and writes only the first 50,000 bytes."""

    def on_write(self, id, fields):
        handle, offset, data = fields.string(), fields.u64(), fields.string()
        part = data[: 50_000 - self.written]
        os.pwrite(self.handles[handle][1], part, offset)
        self.written += len(part)
        self.status(id, OK)


@kind
class CloseFails(Server):
    """Fails to close what was written, as with a quota that the server learns of late."""

    def on_close(self, id, fields):
        handle = fields.string()
        path, opened = self.handles.pop(handle, (b"", None))
        self.status(id, FAILURE if isinstance(opened, int) else OK, b"Disk quota exceeded")


@kind
class FsyncFails(Server):
    """Fails at fsync."""

    def on_fsync(self, id, fields):
        self.status(id, FAILURE, b"Input/output error")


@kind
class AttributesFail(Server):
    """Refuses to change permissions and times."""

    def on_setstat(self, id, fields):
        self.status(id, DENIED, b"Operation not permitted")

    on_fsetstat = on_setstat


@kind
class RenameFails(Server):
    """Refuses both renames."""

    def on_rename(self, id, fields):
        self.status(id, DENIED, b"Permission denied")

    on_posix_rename = on_rename


@kind
class RenameLies(Server):
    """Says that it renamed, and did not."""

    def on_rename(self, id, fields):
        self.status(id, OK)

    on_posix_rename = on_rename

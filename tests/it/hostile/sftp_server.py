#!/usr/bin/python3
"""An SFTP server of version 3 for the disk below its folder: sftp_server.py KIND...

sshd runs it as its subsystem. With one KIND it misbehaves like that (sftp_kinds.py); with several, the address to
which the client has connected chooses: 127.0.2.1 the first, 127.0.2.2 the second, and so on. `healthy` behaves.
`--list` prints all kinds with what they do.
"""

import errno
import os
import stat
import struct
import sys
import time

INIT, VERSION, OPEN, CLOSE, READ, WRITE, LSTAT, FSTAT, SETSTAT, FSETSTAT, OPENDIR, READDIR = range(1, 13)
REMOVE, MKDIR, RMDIR, REALPATH, STAT, RENAME, READLINK, SYMLINK = range(13, 21)
STATUS, HANDLE, DATA, NAME, ATTRS, EXTENDED, EXTENDED_REPLY = 101, 102, 103, 104, 105, 200, 201
OK, EOF, NO_SUCH_FILE, DENIED, FAILURE, BAD, UNSUPPORTED = 0, 1, 2, 3, 4, 5, 8
SIZE, IDS, PERMISSIONS, TIMES = 1, 2, 4, 8
POSIX_RENAME, FSYNC, LIMITS = b"posix-rename@openssh.com", b"fsync@openssh.com", b"limits@openssh.com"

CODES = {errno.ENOENT: NO_SUCH_FILE, errno.ENOTDIR: NO_SUCH_FILE, errno.EACCES: DENIED, errno.EPERM: DENIED}


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


def string(text):
    return u32(len(text)) + text


def attrs(size=None, mode=None, times=None):
    """Attributes: those that are given."""
    flags = (size is not None) * SIZE | (mode is not None) * PERMISSIONS | (times is not None) * TIMES
    out = u32(flags)
    if size is not None:
        out += u64(size)
    if mode is not None:
        out += u32(mode)
    if times is not None:
        out += u32(times[0]) + u32(times[1])
    return out


class Fields:
    """Reads the fields of a packet."""

    def __init__(self, packet):
        self.rest = packet

    def take(self, length):
        head, self.rest = self.rest[:length], self.rest[length:]
        return head

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def string(self):
        return self.take(self.u32())

    def attrs(self):
        flags = self.u32()
        return {
            "size": self.u64() if flags & SIZE else None,
            "ids": (self.u32(), self.u32()) if flags & IDS else None,
            "mode": self.u32() if flags & PERMISSIONS else None,
            "times": (self.u32(), self.u32()) if flags & TIMES else None,
        }


class Server:
    """A server that behaves. Kinds of misbehaviour override what they do differently."""

    extensions = [(POSIX_RENAME, b"1"), (FSYNC, b"1"), (LIMITS, b"1")]
    # READDIR answers with so many names at most.
    names_max = 100

    def __init__(self):
        self.handles = {}
        self.count = 0
        # Bytes written into files so far.
        self.written = 0

    # Sending and receiving.

    def raw(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(1, view):]

    def send(self, kind, *fields):
        body = bytes([kind]) + b"".join(fields)
        self.raw(u32(len(body)) + body)

    def status(self, id, code, text=b""):
        self.send(STATUS, u32(id), u32(code), string(text), string(b""))

    def receive(self, length):
        data = b""
        while len(data) < length:
            piece = os.read(0, length - len(data))
            if not piece:
                sys.exit(0)
            data += piece
        return data

    def stop(self):
        """Reads and sends nothing more, until the connection ends."""
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.05)
        sys.exit(0)

    def ignore(self):
        """Reads, and answers nothing more."""
        while os.read(0, 1 << 16):
            pass
        sys.exit(0)

    def run(self):
        while True:
            length = struct.unpack(">I", self.receive(4))[0]
            fields = Fields(self.receive(length))
            kind = fields.take(1)[0]
            if kind == INIT:
                self.hello(fields.u32())
                continue
            self.request(kind, fields.u32(), fields)

    # What a kind may override, from the whole to the parts.

    def hello(self, version):
        self.send(VERSION, u32(3), *(string(name) + string(data) for name, data in self.extensions))

    def request(self, kind, id, fields):
        name = NAMES.get(kind)
        if kind == EXTENDED:
            name = EXTENSIONS.get(fields.string())
        if name is None:
            return self.status(id, UNSUPPORTED)
        try:
            getattr(self, "on_" + name)(id, fields)
        except OSError as error:
            self.status(id, CODES.get(error.errno, FAILURE), os.strerror(error.errno).encode())

    def number(self):
        """The handle of the next file that is opened."""
        self.count += 1
        return u32(self.count)

    def stat_of(self, result, path, by):
        """The attributes in the answers to LSTAT, STAT, FSTAT and READDIR; `by` is which of them."""
        return attrs(result.st_size, result.st_mode, (int(result.st_atime), int(result.st_mtime)))

    def entries(self, path):
        """The entries of a directory: name and attributes."""
        return map(self.entry, sorted(os.scandir(path), key=lambda entry: entry.name))

    def entry(self, entry):
        return entry.name, self.stat_of(entry.stat(follow_symlinks=False), entry.path, READDIR)

    def content(self, handle, offset, length):
        """What READ answers with; nothing at the end."""
        return os.pread(handle, length, offset)

    # Requests.

    def on_open(self, id, fields):
        path, flags, new = fields.string(), fields.u32(), fields.attrs()
        bits = {1: os.O_RDONLY, 2: os.O_WRONLY, 3: os.O_RDWR}[flags & 3]
        bits |= (flags & 8 != 0) * os.O_CREAT | (flags & 16 != 0) * os.O_TRUNC | (flags & 32 != 0) * os.O_EXCL
        opened = os.open(path, bits, 0o666 if new["mode"] is None else new["mode"])
        handle = self.number()
        self.handles[handle] = (path, opened)
        self.send(HANDLE, u32(id), string(handle))

    def on_close(self, id, fields):
        path, opened = self.handles.pop(fields.string(), (b"", None))
        if isinstance(opened, int):
            os.close(opened)
        self.status(id, OK)

    def on_read(self, id, fields):
        handle, offset, length = fields.string(), fields.u64(), fields.u32()
        data = self.content(self.handles[handle][1], offset, min(length, 255 * 1024))
        if data:
            self.send(DATA, u32(id), string(data))
        else:
            self.status(id, EOF)

    def on_write(self, id, fields):
        handle, offset, data = fields.string(), fields.u64(), fields.string()
        os.pwrite(self.handles[handle][1], data, offset)
        self.written += len(data)
        self.status(id, OK)

    def on_lstat(self, id, fields):
        path = fields.string()
        self.send(ATTRS, u32(id), self.stat_of(os.lstat(path), path, LSTAT))

    def on_stat(self, id, fields):
        path = fields.string()
        self.send(ATTRS, u32(id), self.stat_of(os.stat(path), path, STAT))

    def on_fstat(self, id, fields):
        path, opened = self.handles[fields.string()]
        self.send(ATTRS, u32(id), self.stat_of(os.fstat(opened), path, FSTAT))

    def change(self, where, new):
        if new["size"] is not None:
            os.truncate(where, new["size"])
        if new["mode"] is not None:
            os.chmod(where, stat.S_IMODE(new["mode"]))
        if new["times"] is not None:
            os.utime(where, new["times"])

    def on_setstat(self, id, fields):
        self.change(fields.string(), fields.attrs())
        self.status(id, OK)

    def on_fsetstat(self, id, fields):
        self.change(self.handles[fields.string()][1], fields.attrs())
        self.status(id, OK)

    def on_opendir(self, id, fields):
        path = fields.string()
        handle = self.number()
        self.handles[handle] = (path, self.entries(path))
        self.send(HANDLE, u32(id), string(handle))

    def on_readdir(self, id, fields):
        names = []
        for name, data in self.handles[fields.string()][1]:
            names.append((name, data))
            if len(names) == self.names_max:
                break
        if names:
            self.names(id, names)
        else:
            self.status(id, EOF)

    def names(self, id, names, count=None):
        parts = (string(name) + string(b"-rw-r--r-- " + name) + data for name, data in names)
        self.send(NAME, u32(id), u32(len(names) if count is None else count), *parts)

    def on_remove(self, id, fields):
        os.unlink(fields.string())
        self.status(id, OK)

    def on_mkdir(self, id, fields):
        path, new = fields.string(), fields.attrs()
        os.mkdir(path, 0o777 if new["mode"] is None else stat.S_IMODE(new["mode"]))
        self.status(id, OK)

    def on_rmdir(self, id, fields):
        os.rmdir(fields.string())
        self.status(id, OK)

    def on_realpath(self, id, fields):
        self.names(id, [(os.path.realpath(fields.string()), attrs())])

    def on_rename(self, id, fields):
        old, new = fields.string(), fields.string()
        # Version 3 does not replace.
        os.link(old, new)
        os.unlink(old)
        self.status(id, OK)

    def on_posix_rename(self, id, fields):
        os.rename(fields.string(), fields.string())
        self.status(id, OK)

    def on_readlink(self, id, fields):
        self.names(id, [(os.readlink(fields.string()), attrs())])

    def on_symlink(self, id, fields):
        os.symlink(fields.string(), fields.string())
        self.status(id, OK)

    def on_fsync(self, id, fields):
        os.fsync(self.handles[fields.string()][1])
        self.status(id, OK)

    def on_limits(self, id, fields):
        self.send(EXTENDED_REPLY, u32(id), u64(256 * 1024), u64(255 * 1024), u64(255 * 1024), u64(1000))


NAMES = {
    OPEN: "open", CLOSE: "close", READ: "read", WRITE: "write", LSTAT: "lstat", FSTAT: "fstat", SETSTAT: "setstat",
    FSETSTAT: "fsetstat", OPENDIR: "opendir", READDIR: "readdir", REMOVE: "remove", MKDIR: "mkdir", RMDIR: "rmdir",
    REALPATH: "realpath", STAT: "stat", RENAME: "rename", READLINK: "readlink", SYMLINK: "symlink",
}
EXTENSIONS = {POSIX_RENAME: "posix_rename", FSYNC: "fsync", LIMITS: "limits"}


def chosen(kinds):
    if len(kinds) == 1:
        return kinds[0]
    address = os.environ["SSH_CONNECTION"].split(" ")[2]
    return kinds[int(address.rsplit(".", 1)[1]) - 1]


def main():
    import sftp_kinds

    if sys.argv[1:] == ["--list"]:
        for name, kind in sftp_kinds.KINDS.items():
            print(name, " ".join(kind.__doc__.split()), sep="\t")
        return
    try:
        sftp_kinds.KINDS[chosen(sys.argv[1:])]().run()
    except BrokenPipeError:
        pass


if __name__ == "__main__":
    main()

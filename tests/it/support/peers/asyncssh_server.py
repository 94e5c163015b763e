"""A server of SFTP and SCP, without commands: asyncssh_server.py HOST_KEY AUTHORIZED_KEYS ROOT

Clients see ROOT as the whole disk. The port on 127.0.0.1 is announced as "listening PORT"; the server ends with its
standard input.
"""

import asyncio
import random
import sys

import asyncssh

# Below the ports that the kernel uses for outgoing connections.
PORTS = range(10_240, 32_768)


async def main(host_key, authorized_keys, root):
    options = {
        "server_host_keys": [host_key],
        "authorized_client_keys": authorized_keys,
        "sftp_factory": lambda channel: asyncssh.SFTPServer(channel, chroot=root),
        "allow_scp": True,
    }
    while True:
        port = random.choice(PORTS)
        try:
            await asyncssh.listen("127.0.0.1", port, **options)
            break
        except OSError as error:
            print(error, file=sys.stderr)
    print("listening", port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main(*sys.argv[1:]))

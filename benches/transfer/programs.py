"""Copies a file by parallel-ssh or asyncssh, for benches/transfer.rs."""

import asyncio
import sys

program, direction, host, port, user, key, known_hosts, source, target = sys.argv[1:]


async def by_asyncssh():
    import asyncssh

    async with asyncssh.connect(
        host, int(port), username=user, client_keys=[key], known_hosts=known_hosts, config=None
    ) as connection:
        async with connection.start_sftp_client() as sftp:
            await getattr(sftp, direction)(source, target)


def by_parallel_ssh():
    import os

    from gevent import joinall
    from pssh.clients import ParallelSSHClient

    client = ParallelSSHClient([host], port=int(port), user=user, pkey=key, allow_agent=False)
    if direction == "put":
        joinall(client.copy_file(source, target), raise_error=True)
    else:
        # The name of the host is appended.
        joinall(client.copy_remote_file(source, target), raise_error=True)
        os.rename(f"{target}_{host}", target)


if program == "asyncssh":
    asyncio.run(by_asyncssh())
else:
    by_parallel_ssh()

"""A POP3 server for thousands of sessions: one thread, and ``+OK`` to every line.

Run as a program it prints its port, and serves until its standard input ends.
"""

import asyncio
import sys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One session."""
    writer.write(b"+OK ready\r\n")
    try:
        while await reader.readline():
            writer.write(b"+OK\r\n")
    except ConnectionError:
        pass
    writer.close()


async def main() -> None:
    """Listen on a free port of 127.0.0.1."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())

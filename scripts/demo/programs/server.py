# SPDX-License-Identifier: Apache-2.0
"""Answers DNS questions and log lines by UDP; by TCP, a database, a web page, and backups."""

import asyncio
import os

CHUNK = 65536


class Names(asyncio.DatagramProtocol):
    """Answers each datagram with a longer one."""

    def connection_made(self, transport):
        """Keeps the socket."""
        self.transport = transport

    def datagram_received(self, data, addr):
        """Answers."""
        self.transport.sendto(data * 3, addr)


async def database(reader, writer):
    """Answers each question with 1,200 bytes."""
    while await reader.read(CHUNK):
        writer.write(bytes(1200))
    writer.close()


async def page(reader, writer):
    """Sends one page."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 48000\r\n\r\n" + bytes(48000))
    await writer.drain()
    writer.close()


async def backups(reader, writer):
    """Takes all, and says so."""
    while await reader.read(CHUNK):
        pass
    writer.write(b"kept")
    writer.close()


async def main(addr):
    """Serves until it is killed."""
    loop = asyncio.get_running_loop()
    for port in (53, 514):
        protocol = Names if port == 53 else asyncio.DatagramProtocol
        await loop.create_datagram_endpoint(protocol, local_addr=(addr, port))
    for port, serve in ((80, page), (873, backups), (5432, database)):
        await asyncio.start_server(serve, addr, port)
    print("ready", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(os.environ["SERVER"]))

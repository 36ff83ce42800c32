"""Lead clients whose hosts are built in to the emulators: an HTTP proxy that answers for the CRMs' own names.

It accepts CONNECT for the hosts below and passes the bytes on to the connection of that CRM, whose certificate is for
those names too (credentials.NAMES). Every other host is refused with 403: nothing leaves this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from collections.abc import Mapping

ROADS = {
    r"(login|test)\.salesforce\.com|.+\.salesforce\.com": "salesforce",
    r"api\.hubapi\.com|api\.hubspot\.com": "hubspot",
    r"login\.microsoftonline\.com|.+\.dynamics\.com": "dynamics",
}
"""Host, as a regular expression -> CRM."""


class Crossroads:
    """The proxy; `ports` is CRM -> port of the emulator on 127.0.0.1."""

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ports = ports
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> str:
        """Listen on a port of 127.0.0.1 (0: a free one) and return the proxy's address. Raises OSError."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", port)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            asked = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            found = re.match(r"CONNECT ([^: ]+):443 ", asked)
            host = found[1].casefold() if found else ""
            crm = next((name for pattern, name in ROADS.items() if re.fullmatch(pattern, host)), "")
            if crm not in self._ports:
                sys.stderr.write(f"crossroads: refused {asked.splitlines()[0]}\n")
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            there = await asyncio.open_connection("127.0.0.1", self._ports[crm])
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes until one side ends, and end the other."""
    with contextlib.suppress(OSError):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    writer.close()

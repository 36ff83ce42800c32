"""Lead clients whose hosts are hard-coded to the emulators: an HTTP proxy that answers for the CRMs' own names.

    python crossroads.py STATE_DIR [PORT]      then  HTTPS_PROXY=http://127.0.0.1:PORT NO_PROXY=localhost,127.0.0.1

It accepts CONNECT for the hosts below, shows a certificate of the emulators' own CA for the name that was asked for,
and passes the bytes on to the emulator. Every other host is refused with 403: nothing leaves this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trustme

ROADS = {
    r"(login|test)\.salesforce\.com|.+\.my\.salesforce\.com": "salesforce",
    r"api\.hubapi\.com|api\.hubspot\.com": "hubspot",
    r"login\.microsoftonline\.com|.+\.dynamics\.com": "dynamics",
}


class Crossroads:
    """The proxy of one state directory of emulators."""

    def __init__(self, state_dir: Path) -> None:
        self.addresses: Mapping[str, Any] = json.loads((state_dir / "emulators.json").read_bytes())
        bundle = Path(self.addresses["ca_bundle"])
        self.authority = trustme.CA.from_pem(bundle.read_bytes(), bundle.with_name("ca.key").read_bytes())
        self.trust = ssl.create_default_context(cafile=str(bundle))
        self.shown: dict[str, ssl.SSLContext] = {}

    def certificate(self, host: str) -> ssl.SSLContext:
        """Return a server's TLS context for a host name, made at the first question."""
        if host not in self.shown:
            self.shown[host] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.authority.issue_cert(host).configure_cert(self.shown[host])
        return self.shown[host]

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        trouble = (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError)
        with contextlib.closing(writer), contextlib.suppress(*trouble):
            asked = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            found = re.match(r"CONNECT ([^: ]+):443 ", asked)
            host = found[1] if found else ""
            crm = next((name for pattern, name in ROADS.items() if re.fullmatch(pattern, host)), None)
            if crm is None or crm not in self.addresses:
                print(f"refused: {asked.splitlines()[0]}", file=sys.stderr)
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            await writer.start_tls(self.certificate(host))
            there = urlsplit(self.addresses[crm]["url"])
            onward = await asyncio.open_connection(there.hostname, there.port, ssl=self.trust)
            with contextlib.closing(onward[1]):
                async with asyncio.TaskGroup() as group:
                    group.create_task(pass_on(reader, onward[1]))
                    group.create_task(pass_on(onward[0], writer))


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy bytes until one side ends, and end the other."""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    writer.close()


async def serve(state_dir: Path, port: int = 0) -> None:
    """Serve until cancelled, and print the address."""
    server = await asyncio.start_server(Crossroads(state_dir).answer, "127.0.0.1", port)
    host, chosen = server.sockets[0].getsockname()[:2]
    print(f"http://{host}:{chosen}", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(Path(sys.argv[1]), *(int(one) for one in sys.argv[2:3])))

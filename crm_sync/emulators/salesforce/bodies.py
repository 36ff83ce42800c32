"""Read the bodies of requests: compressed ones, and the forms that are not taken.

Belongs here: what the headers say of a body. Not here: what stands in it (app.py, values.py).
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request

from crm_sync.emulators.salesforce.failures import Failure, Problem

LARGEST_PIECE = 1 << 20


async def unpacked(stream: AsyncIterator[bytes], headers: Mapping[str, str]) -> AsyncIterator[bytes]:
    """Yield a body as it comes, without its compression. Raises Failure. Source: REST guide, Use Compression."""
    encoding = headers.get("content-encoding", "identity").casefold()
    if encoding == "identity":
        async for chunk in stream:
            yield chunk
        return
    if encoding not in ("gzip", "deflate"):
        text = f"Content-Encoding is {encoding}; expected gzip or deflate"
        raise Failure(415, Problem("UNSUPPORTED_MEDIA_TYPE", text))
    expand = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either header
    try:
        async for chunk in stream:
            rest = chunk
            while rest:
                yield expand.decompress(rest, LARGEST_PIECE)
                rest = expand.unconsumed_tail
        if not expand.eof:
            raise zlib.error("the data ends too early")
    except zlib.error as error:
        raise Failure(400, Problem("INVALID_INPUT", f"The body is not {encoding}: {error}")) from None


async def body_of(request: Request) -> bytes:
    """Return the whole body without its compression. Raises Failure."""
    return b"".join([chunk async for chunk in unpacked(request.stream(), request.headers)])


def refuse_forms(method: str, path: str, headers: Mapping[str, str]) -> None:
    """Refuse XML and multipart bodies, which real orgs take, and answers in XML. Raises Failure."""
    sent, wanted = headers.get("content-type", ""), headers.get("accept", "")
    asks_xml = "xml" in wanted and "json" not in wanted and "*" not in wanted
    if asks_xml or "xml" in sent or "multipart/" in sent:
        what = f"Accept: {wanted}" if asks_xml else f"Content-Type: {sent.partition(';')[0]}"
        text = f"This pretend org does not support {method} {path} with {what}."
        raise Failure(501, Problem("NOT_IMPLEMENTED", text))

"""The multipart form of $batch: requests into a body, an answer into parts. Pure.

Only what we use: independent PATCH requests, answered in their order; no change sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_LINE: Final = b"\r\n"


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a $batch; `target` is relative to the host."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one part; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def encode(parts: Sequence[Part], boundary: str) -> bytes:
    """Return the body of a $batch request."""
    out: list[bytes] = []
    for part in parts:
        headers = [f"{name}: {value}".encode("ascii") for name, value in part.headers.items()]
        out += [
            f"--{boundary}".encode("ascii"),
            b"Content-Type: application/http",
            b"Content-Transfer-Encoding: binary",
            b"",
            f"{part.method} {part.target} HTTP/1.1".encode("ascii"),
            *headers,
            b"",
            part.body,
        ]
    out += [f"--{boundary}--".encode("ascii"), b""]
    return _LINE.join(out)


def decode(body: bytes) -> list[Answer]:
    """Return the answers of a $batch in order; what does not parse ends the list, which then is too short."""
    delimiter = body.lstrip().split(b"\n", 1)[0].strip()
    if not delimiter.startswith(b"--"):
        return []
    answers: list[Answer] = []
    for chunk in (b"\n" + body).split(b"\n" + delimiter)[1:]:
        if chunk.startswith(b"--"):
            break
        answer = _answer(chunk)
        if answer is None:
            break
        answers.append(answer)
    return answers


def _answer(chunk: bytes) -> Answer | None:
    """Parse one part: its own headers, then a whole HTTP answer."""
    _, _, message = _split(chunk.lstrip(b"\r\n"))
    first, head, rest = _split(message.lstrip(b"\r\n"), with_first=True)
    words = first.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return None
    return Answer(int(words[1]), head, rest.strip())


def _split(message: bytes, *, with_first: bool = False) -> tuple[bytes, dict[str, str], bytes]:
    """Return (first line, headers, rest after the blank line); line ends are CRLF or LF."""
    first = b""
    headers: dict[str, str] = {}
    position = 0
    while position < len(message):
        end = message.find(b"\n", position)
        end = len(message) if end < 0 else end
        line = message[position:end].strip()
        position = end + 1
        if with_first and not first:
            first = line
        elif not line:
            break
        else:
            name, _, value = line.partition(b":")
            headers[name.decode("latin-1").strip().lower()] = value.decode("latin-1").strip()
    return first, headers, message[position:]

"""Answer $batch: independent parts in order, and change sets that succeed or fail as one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

from crm_sync.emulators.dynamics.protocol import ANY_SERVICE_PATH, Answer, Call, ODataError, payload_error
from crm_sync.emulators.state import State

MOST_PARTS: Final = 1000
BOUNDARY: Final = re.compile(r'boundary="?([^";,\s]+)"?', re.IGNORECASE)
REFERENCE: Final = re.compile(r"\$(\d+)\b")
REQUEST_LINE: Final = re.compile(r"(\w+)\s+(\S.*?)\s+HTTP/\d\.\d")
"""An address may have blanks that are not escaped: it ends where the version starts."""

Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True)
class Part:
    """One request of a $batch with its Content-ID, or a change set of such."""

    call: Call | None
    content_id: str = ""
    members: tuple[Part, ...] = ()


class _Failed(Exception):
    """A member of a change set failed; everything is rolled back."""

    def __init__(self, answer: Answer, content_id: str) -> None:
        super().__init__(content_id)
        self.answer, self.content_id = answer, content_id


def answer_batch(call: Call, state: State, handle: Handler) -> Answer:
    """Carry out a $batch; `handle` answers one call and never raises."""
    if call.method != "POST":
        raise ODataError(405, "0x80060888", "The requested resource does not support this http method.")
    parts = _parts(call, call.body, call.headers.get("content-type", ""), nested=False)
    if sum(len(part.members) or 1 for part in parts) > MOST_PARTS:
        raise ODataError(400, "0x80060888", f"The number of requests in a batch exceeds the maximum of {MOST_PARTS}.")
    go_on = "odata.continue-on-error" in call.preferences()
    boundary = f"batchresponse_{uuid4()}"
    out: list[bytes] = []
    status = 200
    for part in parts:
        if part.members:
            failed, body = _change_set(call, part, state, handle)
        else:
            assert part.call is not None
            made = handle(part.call)
            failed, body = (made.status if made.status >= 400 else 0), _http_part(made, part.content_id)
        out += [f"--{boundary}\r\n".encode(), body]
        if failed and not go_on:
            status = failed
            break
    out.append(f"--{boundary}--\r\n".encode())
    return Answer(status, b"".join(out), {"Content-Type": f"multipart/mixed; boundary={boundary}"})


def _change_set(call: Call, part: Part, state: State, handle: Handler) -> tuple[int, bytes]:
    boundary = f"changesetresponse_{uuid4()}"
    out: list[bytes] = [f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode()]
    made: dict[str, str] = {}
    try:
        with state.transaction():
            for member in part.members:
                assert member.call is not None
                answer = handle(_resolved(member.call, made))
                if answer.status >= 400:
                    raise _Failed(answer, member.content_id)
                if "OData-EntityId" in answer.headers:
                    made[member.content_id] = answer.headers["OData-EntityId"]
                out += [f"--{boundary}\r\n".encode(), _http_part(answer, member.content_id)]
    except _Failed as error:
        return error.answer.status, _http_part(error.answer, error.content_id)
    except ODataError as error:
        return error.status, _http_part(error.answer(call), "")
    out.append(f"--{boundary}--\r\n".encode())
    return 0, b"".join(out)


def _resolved(call: Call, made: dict[str, str]) -> Call:
    """Replace $n in the address and in binds by what request n of the change set created."""

    def known(match: re.Match[str]) -> str:
        if match.group(1) not in made:
            raise ODataError(
                400, "0x80060888", f"Content-ID Reference: '${match.group(1)}' does not exist in the batch."
            )
        return made[match.group(1)]

    path = call.path
    if path.startswith("$") and REFERENCE.match(path):
        path = REFERENCE.sub(known, path, count=1)
        path = ANY_SERVICE_PATH.sub("", urlsplit(path).path, count=1)
    body = re.sub(rb'("[^"]*@odata\.(?:bind|id)"\s*:\s*")(\$\d+)', lambda m: _bound(m, known), call.body)
    return replace(call, path=path, body=body)


def _bound(match: re.Match[bytes], known: Callable[[re.Match[str]], str]) -> bytes:
    found = REFERENCE.match(match.group(2).decode())
    assert found is not None
    return match.group(1) + known(found).encode()


def _parts(call: Call, body: bytes, content_type: str, *, nested: bool) -> list[Part]:
    boundary = BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/mixed") or boundary is None:
        raise payload_error("A $batch must be multipart/mixed with a boundary.")
    delimiter = b"--" + boundary.group(1).encode("latin-1")
    chunks = re.split(rb"(?:^|\r?\n)" + re.escape(delimiter), body)
    if len(chunks) < 3 or not chunks[-1].startswith(b"--"):
        raise payload_error("The $batch does not end with its boundary.")
    out: list[Part] = []
    for chunk in chunks[1:-1]:
        headers, rest = _headers(chunk.lstrip(b" \t").removeprefix(b"\r").removeprefix(b"\n"))
        kind = headers.get("content-type", "")
        if kind.lower().startswith("multipart/mixed"):
            if nested:
                raise payload_error("A change set cannot hold another.")
            out.append(Part(None, "", tuple(_parts(call, rest, kind, nested=True))))
        elif kind.lower().startswith("application/http"):
            out.append(Part(_request(call, rest, nested=nested), headers.get("content-id", "")))
        else:
            raise payload_error(f"A part of a $batch has the content type '{kind}', not application/http.")
    return out


def _request(outer: Call, message: bytes, *, nested: bool) -> Call:
    raw, _, rest = message.lstrip(b"\r\n").partition(b"\n")
    line = REQUEST_LINE.fullmatch(raw.decode("utf-8", "replace").strip())
    if line is None:
        raise payload_error("A part of a $batch does not start with a request line.")
    method, target = line.group(1).upper(), line.group(2)
    if nested and method == "GET":
        raise payload_error("A change set cannot hold a GET.")
    headers, body = _headers(rest)
    try:
        parts = urlsplit(target)
    except ValueError as error:
        raise payload_error(f"A part of a $batch has no address: {error}.") from None
    path = ANY_SERVICE_PATH.sub("", parts.path, count=1)
    if path.startswith("$batch"):
        raise payload_error("A $batch cannot hold another.")
    inherited = {
        name: value
        for name, value in outer.headers.items()
        if name in ("authorization", "callerobjectid", "mscrmcallerid")
    }
    return Call(method, path, parts.query, {**inherited, **headers}, body.strip(), outer.root)


def _headers(message: bytes) -> tuple[dict[str, str], bytes]:
    """Return the header lines up to the blank one, and what follows; CRLF or bare LF."""
    headers: dict[str, str] = {}
    position = 0
    while position < len(message):
        end = message.find(b"\n", position)
        end = len(message) if end < 0 else end
        line = message[position:end].strip()
        position = end + 1
        if not line:
            break
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers, message[position:]


def _http_part(answer: Answer, content_id: str) -> bytes:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    lines += [f"Content-ID: {content_id}"] if content_id else []
    reason = "No Content" if answer.status == 204 else HTTPStatus(answer.status).phrase
    lines += ["", f"HTTP/1.1 {answer.status} {reason}"]
    lines += [f"{name}: {value}" for name, value in answer.complete().items()]
    if "OData-EntityId" in answer.headers:
        lines.append(f"Location: {answer.headers['OData-EntityId']}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body + b"\r\n"

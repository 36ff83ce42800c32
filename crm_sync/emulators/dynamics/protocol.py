"""The shape that requests and answers have inside, alone or as a part of a $batch; and all errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote_plus, urlsplit
from uuid import uuid4

import orjson

JSON_TYPE = "application/json; odata.metadata=minimal"
SERVICE_PATH = "/api/data/v9.2/"
CDS = "Microsoft.PowerApps.CDS."
HELP = "http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a{}&client=platform"
ANY_SERVICE_PATH = re.compile(r"/api/data/v9\.[0-2]/")


@dataclass(frozen=True, slots=True)
class Call:
    """One request: `path` is below the service root and still escaped, header names are lower case.

    `root` is the service root with its host, as the client wrote it: links in answers start with it.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    root: str

    @property
    def what(self) -> str:
        """Return method, path and query for messages."""
        return f"{self.method} {urlsplit(self.root).path}{self.path}" + (f"?{self.query}" if self.query else "")

    def header(self, name: str) -> str | None:
        """Return a header; the literal text null counts as absent, as in Dataverse."""
        value = self.headers.get(name)
        return None if value is None or value.strip().lower() == "null" else value.strip()

    def options(self) -> dict[str, str]:
        """Return the query options, unescaped; `@p` aliases among them. Raises ODataError for one given twice."""
        out: dict[str, str] = {}
        for pair in self.query.split("&"):
            if not pair:
                continue
            name, _, value = pair.partition("=")
            name = unquote_plus(name)
            if name in out:
                raise ODataError(400, "0x80060888", f"Query option '{name}' was specified more than once.")
            out[name] = unquote_plus(value)
        return out

    def aliases(self) -> dict[str, str]:
        """Return the parameter aliases: the options whose name starts with @."""
        return {name: value for name, value in self.options().items() if name.startswith("@")}

    def preferences(self) -> dict[str, str]:
        """Return the Prefer header as name -> value (empty for those without one)."""
        out: dict[str, str] = {}
        for name, quoted, plain in re.findall(
            r'([A-Za-z.\-]+)(?:\s*=\s*(?:"([^"]*)"|([^,;\s]*)))?', self.headers.get("prefer", "")
        ):
            out[name.lower()] = quoted or plain
        return out

    def applied(self) -> dict[str, str]:
        """Return the header that tells which preferences of a read were followed."""
        applied = [
            f'{name}="{value}"' if name == "odata.include-annotations" else f"{name}={value}" if value else name
            for name, value in self.preferences().items()
            if name in ("odata.maxpagesize", "odata.track-changes", "odata.include-annotations")
        ]
        return {"Preference_Applied": ",".join(applied)} if applied else {}

    def json(self) -> dict[str, Any]:
        """Return the body, a JSON object."""
        try:
            document = orjson.loads(self.body or b"{}")
        except orjson.JSONDecodeError as error:
            raise payload_error(f"Invalid JSON. {error}") from None
        if not isinstance(document, dict):
            raise payload_error("A JSON object was expected.")
        return document


@dataclass(frozen=True, slots=True)
class Answer:
    """One response; standard headers are added when it goes out."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any], status: int = 200, **headers: str) -> Answer:
        """Return a JSON answer; underscores in header names become hyphens."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return cls(status, orjson.dumps(document), {"Content-Type": JSON_TYPE, **given})

    def complete(self) -> dict[str, str]:
        """Return all headers as they go out."""
        return {"OData-Version": "4.0", **self.headers}


class ODataError(Exception):
    """Dataverse refuses: status, hexadecimal code, message."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    def answer(self, call: Call) -> Answer:
        """Return it as a response, with the details that the client wants (include-annotations)."""
        wanted = call.preferences().get("odata.include-annotations")
        details = {
            "ErrorDetails.OperationStatus": "0",
            "ErrorDetails.SubErrorCode": "0",
            "HelpLink": HELP.format(self.code.removeprefix("0x").lower()),
            "InnerError.Message": self.message,
        }
        more = {f"@{CDS}{name}": text for name, text in details.items() if includes(wanted, f"{CDS}{name}")}
        body = {"error": {"code": self.code, "message": self.message, **more}}
        return Answer(
            self.status, orjson.dumps(body), {"REQ_ID": str(uuid4()), "Content-Type": JSON_TYPE, **self.headers}
        )


class Unsupported(Exception):
    """The emulator does not have this; the text names what exactly."""

    def answer(self, call: Call) -> Answer:
        """Return it as a 501 that names the request."""
        message = f"The Dynamics emulator does not support {self}: {call.what}"
        return Answer.of({"error": {"code": "501", "message": message}}, 501)


def includes(wanted: str | None, name: str) -> bool:
    """Tell whether odata.include-annotations asks for an annotation: names by comma, * stands for anything."""
    return any(fnmatchcase(name, pattern.strip()) for pattern in (wanted or "").split(",") if pattern.strip())


def payload_error(detail: str) -> ODataError:
    """Return the refusal of a body that does not parse."""
    return ODataError(400, "0x80048d19", f"Error identified in Payload provided by the user. InnerException : {detail}")


def no_property(name: str, table: str) -> ODataError:
    """Return the refusal of an unknown property in the address."""
    return ODataError(
        400, "0x80060888", f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table}'."
    )


def no_row(table: str, id: str) -> ODataError:
    """Return the refusal where there is no row of that id."""
    return ODataError(404, "0x80040217", f"{table} With Id = {id} Does Not Exist")


def no_method() -> ODataError:
    """Return the refusal of a method that the resource does not take."""
    return ODataError(405, "0x80060888", "The requested resource does not support this http method.")


def no_segment(name: str) -> ODataError:
    """Return the refusal of an unknown path."""
    return ODataError(404, "0x8006088a", f"Resource not found for the segment '{name}'.")

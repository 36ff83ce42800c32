"""Read what one pretend CRM supports: `matrix.toml` and `facts.toml` in its package.

    [[endpoint]]                    # matrix.toml: each (method, path) of the app is in it, and nothing else
    method = "GET"                  # one verb, or several: "GET POST"
    path = "/services/data/vNN.0/query"
    supports = "SOQL: ..."          # what of it
    note = "Prepared plans: 501"    # what not, and other remarks; may be left out

    [faults.limit]                  # the faults that the CRM's own code asks for
    does = "403 REQUEST_LIMIT_EXCEEDED"
    kind = ["daily"]                # an option and its values, where it has any

    [facts.limit_header]            # facts.toml: what the CRM does according to a public source, and the emulator too
    text = "Every answer carries Sforce-Limit-Info."
    source = "REST API guide, Headers"

The app tells its own list of endpoints as `app.state.endpoints`: an iterable of (method, path).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One row of the support matrix."""

    method: str
    path: str
    supports: str
    note: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that the CRM does, and where that is written."""

    slug: str
    text: str
    source: str


@cache
def _read(crm: str, name: str) -> dict[str, Any]:
    path = Path(__file__).with_name(crm) / name
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def endpoints(crm: str) -> list[Endpoint]:
    """Return the support matrix of a CRM, one row a method, in file order."""
    rows = _read(crm, "matrix.toml").get("endpoint", [])
    return [
        Endpoint(method, row["path"], row.get("supports", ""), row.get("note", ""))
        for row in rows
        for method in row["method"].split()
    ]


def faults(crm: str) -> dict[str, dict[str, Any]] | None:
    """Return the faults of the CRM's own code: action -> {"does", option: values}; None where nothing tells."""
    found: dict[str, dict[str, Any]] | None = _read(crm, "matrix.toml").get("faults")
    return found


def facts(crm: str) -> list[Fact]:
    """Return the facts that the emulator of a CRM imitates, in file order."""
    found = _read(crm, "facts.toml").get("facts", {})
    return [Fact(slug, one["text"], one["source"]) for slug, one in found.items()]

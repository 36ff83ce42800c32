"""Read connections.yaml: the CRM accounts that are connected.

Belongs here: what that file can be judged by alone. Not here: the secrets themselves (the environment holds them).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from crm_sync.specs.model import ConnectionSpec
from crm_sync.specs.reading import NAME, VARIABLE, Mistakes, Node, Scalar, Section, suggest
from crm_sync.specs.vocabulary import AUTHS, AUTHS_OF_KIND, HUB

FASTEST_SECONDS, SLOWEST_SECONDS = 60, 86_400
DRIFT_THRESHOLD = 0.005
_VARIABLE = "the name of an environment variable (capital letters, digits, _), never the secret itself"


@dataclass(slots=True)
class ConnectionsFile:
    """The connections in file order, and the lines "name", "name.entities.<entity>", "name.mappings", "name.address"
    and "name.<secret>"."""

    file: str
    specs: dict[str, ConnectionSpec] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)


def read_connections(
    file: str, node: Node, mistakes: Mistakes, kinds: Collection[str], environment: Mapping[str, str] | None
) -> ConnectionsFile:
    """Read connections.yaml; `environment` lets a malformed address be reported where it is named."""
    out = ConnectionsFile(file, lines={"": node.line})
    top = Section(file, node, "the file", mistakes)
    for name, section in top.named("connections", "connection", required=True):
        out.specs[name] = _connection(name, section, out.lines, kinds, environment or {})
    if top.has("connections") and not out.specs:
        top.add(top.line("connections"), "no connection is configured; expected at least one")
    if top.entries:
        top.done()
    return out


def _connection(
    name: str, section: Section, lines: dict[str, int], kinds: Collection[str], environment: Mapping[str, str]
) -> ConnectionSpec:
    lines[name] = section.at
    lines[f"{name}.mappings"] = section.line("mappings")
    lines[f"{name}.address"] = section.line("address_env")
    if name == HUB:
        section.add(section.at, f"a connection cannot be named {HUB!r}; priority lists use it for the hub", "rename it")
    crm = section.choice("crm", kinds, required=True)
    auth = section.choice("auth", AUTHS, required=True)
    if crm and auth and auth not in AUTHS_OF_KIND.get(crm, AUTHS):
        section.add(
            section.line("auth"), f"{crm} does not sign in by {auth!r}", "known: " + ", ".join(AUTHS_OF_KIND[crm])
        )
    address = section.text("address_env", required=True, pattern=VARIABLE, expected=_VARIABLE, hidden=True)
    _address(section, address, environment)
    entities = section.words("entities", required=True)
    for word, line in entities:
        lines[f"{name}.entities.{word}"] = line
    drift = section.number("drift_threshold", default=DRIFT_THRESHOLD, low=0, high=1, whole=False)
    limits = section.section("limits", f"'limits' of {section.what}")
    per_window = limits.number("requests_per_window", low=1) if limits else None
    window = limits.number("window_seconds", default=10.0, low=0.1, high=86_400, whole=False) if limits else 10.0
    concurrent = limits.number("max_concurrent", default=4, low=1, high=64) if limits else 4
    if limits:
        limits.done()
    spec = ConnectionSpec(
        name=name,
        crm=crm,
        auth=auth,
        address_env=address,
        secrets_env=_secrets(section, auth, lines, name),
        mappings=section.text("mappings", required=True, pattern=NAME, expected="the name of a directory in mappings/"),
        entities=tuple(word for word, _ in entities),
        enabled=section.flag("enabled", default=True),
        interval_seconds=int(
            section.number("interval_seconds", default=300, low=FASTEST_SECONDS, high=SLOWEST_SECONDS) or 300
        ),
        drift_threshold=DRIFT_THRESHOLD if drift is None else float(drift),
        region=_region(section),
        options=_options(section),
        requests_per_window=None if per_window is None else int(per_window),
        window_seconds=float(window or 10.0),
        max_concurrent=int(concurrent or 4),
    )
    section.done()
    return spec


def _address(section: Section, variable: str, environment: Mapping[str, str]) -> None:
    address = environment.get(variable, "") if variable else ""
    if not address:
        return
    try:
        parts = urlsplit(address)
        good = parts.scheme == "https" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        section.add(
            section.line("address_env"),
            f"the variable {variable} of {section.what} does not hold an address",
            "expected https://host[:port]",
        )


def _secrets(section: Section, auth: str, lines: dict[str, int], name: str) -> dict[str, str]:
    inner = section.section("secrets_env", f"'secrets_env' of {section.what}", required=True)
    if inner is None:
        return {}
    needed, allowed = AUTHS.get(auth, (frozenset(), frozenset(inner.entries)))
    out = {}
    for key in sorted(needed | allowed):
        variable = inner.text(key, required=key in needed, pattern=VARIABLE, expected=_VARIABLE, hidden=True)
        if variable:
            out[key] = variable
            lines[f"{name}.{key}"] = inner.line(key)
    inner.done()
    return out


def _region(section: Section) -> str:
    region = section.text("region", default="US")
    if len(region) != 2 or not region.isascii() or not region.isupper():
        section.add(
            section.line("region"),
            f"'region' of {section.what} is {region!r}; expected two capital letters",
            "e.g. US, GB or DE",
        )
        return "US"
    return region


def _options(section: Section) -> dict[str, Scalar]:
    inner = section.section("options", f"'options' of {section.what}")
    if inner is None:
        return {}
    out: dict[str, Scalar] = {}
    for key, (node, line) in inner.entries.items():
        if isinstance(node.value, list | dict):
            inner.add(line, f"option {key!r} of {section.what} is {node.shape}; expected a single value")
        else:
            out[key] = node.value
    return out


def unknown_connection(word: str, known: Collection[str]) -> str:
    """Return the suggestion for a connection name that does not exist."""
    return suggest(word, [*known, HUB])

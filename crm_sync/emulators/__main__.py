"""Run emulators from a shell: python -m crm_sync.emulators --state DIR."""

from __future__ import annotations

import argparse
import asyncio
import re
import sqlite3
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from crm_sync.emulators.declarations import read_more
from crm_sync.emulators.serving import CannotServe, Plan, alone, die_with_parent, serve
from crm_sync.emulators.settings import CRMS

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    out = argparse.ArgumentParser(prog="python -m crm_sync.emulators", description="Pretend CRMs over TLS.")
    out.add_argument("--state", type=Path, required=True, metavar="DIR", help="where records, CA, addresses are kept")
    out.add_argument("--only", default=",".join(CRMS), help="some of: " + ",".join(CRMS))
    out.add_argument(
        "--connection", action="append", default=[], metavar="NAME=CRM", help="serve these instead, such as eu=hubspot"
    )
    out.add_argument("--port", action="append", default=[], metavar="NAME=N", help="a free one if not given")
    for crm in CRMS:
        out.add_argument(f"--{crm}-port", type=int, metavar="N", help=f"the same as --port {crm}=N")
    out.add_argument("--declarations", type=Path, metavar="FILE", help="TOML: further objects and fields, by CRM")
    out.add_argument("--faults", type=Path, metavar="FILE", help="TOML or JSON: faults that wait, by CRM")
    out.add_argument("--crossroads", type=int, metavar="N", help="also a proxy for clients whose hosts are built in")
    out.add_argument("--limits", action="store_true", help="enforce the CRMs' rate limits and quotas")
    out.add_argument("--knob", action="append", default=[], metavar="NAME=NUMBER", help="such as index_lag_seconds=5")
    out.add_argument("--token-seconds", type=float, default=1800.0, help="life of an access token")
    out.add_argument("--die-with-parent", type=int, metavar="PID", help="end when the process PID, our parent, ends")
    out.add_argument("--seed", type=int, help="fill empty CRMs with a population; the truth goes to DIR/truth.json")
    out.add_argument("--accounts", type=int, default=300, help="real accounts of the population")
    out.add_argument("--contacts", type=int, default=1500, help="real contacts of the population")
    out.add_argument("--everywhere", action="store_true", help="each real thing is in each CRM that is served")
    out.add_argument("--invalid-share", type=float, metavar="SHARE", help="share of records that a sync must refuse")
    return out


def planned(given: argparse.Namespace) -> Plan:
    """Return what the command line asks for. Raises ValueError that says what a person must change."""
    connections = {crm: crm for crm in given.only.split(",") if crm}
    if given.connection:
        named = list(_pairs(given.connection, "--connection", "<name>=<crm> such as eu=hubspot"))
        connections = dict(named)
        if len(named) > len(connections):
            raise ValueError(f"--connection names one of {', '.join(connections)} twice; expected a name for each.")
    unknown = [crm for crm in connections.values() if crm not in CRMS]
    if unknown or not connections:
        option = "--connection" if given.connection else "--only"
        raise ValueError(f"{option} names {', '.join(unknown) or 'nothing'}; expected some of {', '.join(CRMS)}.")
    strange = [name for name, crm in connections.items() if NAME.fullmatch(name) is None or name in {*CRMS} - {crm}]
    if strange:
        raise ValueError(f"--connection names {strange[0]!r}; expected a-z, 0-9 and _, and not another CRM's name.")
    ports = {crm: port for crm in CRMS if (port := getattr(given, f"{crm}_port")) is not None}
    for name, number in _pairs(given.port, "--port", "<name>=<number>"):
        if name not in connections or not number.isdigit() or not 0 < int(number) < 65536:
            raise ValueError(f"Found --port {name}={number}; expected <name>=<number> of {', '.join(connections)}.")
        ports[name] = int(number)
    if given.crossroads is not None and not 0 <= given.crossroads < 65536:
        raise ValueError(f"Found --crossroads {given.crossroads}; expected a port, or 0 for a free one.")
    kinds = [*dict.fromkeys([*CRMS, *connections])]
    return Plan(
        given.state,
        connections,
        ports,
        given.token_seconds,
        {"limits": given.limits} | {name: float(n or 1) for name, _, n in (one.partition("=") for one in given.knob)},
        read_more(given.declarations, kinds) if given.declarations else {},
        read_faults(given.faults, kinds) if given.faults else {},
        given.crossroads,
    )


def _pairs(texts: Sequence[str], option: str, expected: str) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise ValueError(f"Found {option} {text}; expected {expected}.")
        yield name, value


def read_faults(path: Path, kinds: Sequence[str]) -> dict[str, Any]:
    """Read a file of faults: CRM or connection -> list of what the control API takes. Raises ValueError.

    TOML, or JSON where the name ends so:  [[hubspot]] / action = "limit" / kind = "search" / times = 2
    """
    try:
        text = path.read_text(encoding="utf-8")
        found: Any = orjson.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ValueError(f"The faults {path} cannot be read: {error}.") from None
    if not isinstance(found, dict) or not all(isinstance(one, list) for one in found.values()):
        raise ValueError(f"{path} has no lists of faults by CRM; expected such as [[hubspot]], then action = ...")
    strange = [name for name in found if name not in kinds]
    if strange:
        raise ValueError(f"{path} has faults for {strange[0]!r}; expected some of {', '.join(kinds)}.")
    return found


def _fill(given: argparse.Namespace, plan: Plan) -> None:
    from crm_sync.emulators.seeding import seed_once

    population = {"seed": given.seed, "accounts": given.accounts, "contacts": given.contacts}
    places = plan.connections if given.connection or given.everywhere else None
    more = {"invalid_share": given.invalid_share, "everywhere": given.everywhere, "connections": places}
    seed_once(given.state, **population, **more)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal and return the exit code: 0 after a signal, 2 where a person must change something."""
    given = parser().parse_args(arguments)
    if given.die_with_parent is not None:
        die_with_parent(given.die_with_parent)
    try:
        plan = planned(given)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        with alone(given.state):
            if given.seed is not None:
                _fill(given, plan)
            asyncio.run(serve(plan))
    except CannotServe as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except (OSError, sqlite3.OperationalError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        sys.stderr.write(f"The state directory {given.state} cannot be used ({reason}). Choose another with --state.\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

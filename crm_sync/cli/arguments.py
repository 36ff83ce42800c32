"""Arguments that commands share, and what makes them fit.

Belongs here: their words and help, refusing unknown names, opening what a command works with. Not here: commands.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated

import typer

from crm_sync.errors import BadSettings
from crm_sync.settings import Settings
from crm_sync.specs.reading import suggest

if TYPE_CHECKING:
    from crm_sync.flows.context import Context

_ONLY = "Only this one; may be repeated."
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Connections = Annotated[list[str] | None, typer.Option("--connection", "-c", metavar="NAME", help=_ONLY)]
Entities = Annotated[list[str] | None, typer.Option("--entity", "-e", metavar="NAME", help=_ONLY)]


def opened(kind: str, settings: Settings | None = None) -> AbstractContextManager[Context]:
    """Open everything that a command works with, under what the environment says."""
    # Imported here, so that `check` and `keys` do not wait for the flows' libraries.
    from crm_sync.flows.context import open_context

    return open_context(settings or Settings.load(), kind=kind)


def known(given: Sequence[str] | None, names: Collection[str], what: str, where: str) -> None:
    """Raise BadSettings for the first name that does not exist."""
    strangers = [name for name in given or () if name not in names]
    if strangers:
        near = suggest(strangers[0], names)
        hint = f" ({near})" if near.startswith("did") else ""
        raise BadSettings(f"There is no {what} {strangers[0]!r}{hint}; {where} has: {', '.join(names)}.")

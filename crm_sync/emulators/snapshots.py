"""Save all records of one pretend CRM under a name, and bring them back, while it serves.

A snapshot is a file beside the state (`snapshots/<connection>/<name>.sqlite`) and outlives a restart. It holds records,
fields, associations, webhooks that wait; tokens, credentials and the clock are not brought back.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from crm_sync.emulators.clock import iso
from crm_sync.emulators.state import State

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Snapshots:
    """The snapshots of one CRM."""

    def __init__(self, state: State, folder: Path) -> None:
        self._state, self._folder = state, folder

    def _file(self, name: str, *, there: bool) -> Path:
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            raise ValueError(f"the name of a snapshot is {name!r}; expected 1 to 100 letters, digits, dots, dashes")
        path = self._folder / f"{name}.sqlite"
        if there and not path.exists():
            names = ", ".join(one["name"] for one in self.list()) or "none"
            raise LookupError(f"no snapshot {name!r}; there are: {names}")
        return path

    def save(self, name: str) -> None:
        """Save what is committed now; one of that name is replaced. Raises ValueError for a bad name."""
        self._state.save(self._file(name, there=False))

    def restore(self, name: str) -> None:
        """Put a snapshot in place of what is there. Raises LookupError where there is none of that name."""
        self._state.restore(self._file(name, there=True))

    def delete(self, name: str) -> None:
        """Remove a snapshot. Raises LookupError where there is none of that name."""
        self._file(name, there=True).unlink()

    def list(self) -> list[dict[str, Any]]:
        """Return name, size in bytes and moment of the snapshots, by name."""
        found = sorted(self._folder.glob("[!.]*.sqlite"))
        stats = [(path.stem, path.stat()) for path in found]
        return [{"name": n, "bytes": s.st_size, "saved": iso(s.st_mtime_ns // 1000)} for n, s in stats]

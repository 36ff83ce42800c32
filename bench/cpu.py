"""How much processor time was spent: by this process, and by the database server on its behalf.

On a machine that does other things too, it says more than the time that passed.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from crm_sync.store.place import SERVER_FILE, enter


class Cpu:
    """Processor seconds of this process and of the embedded server of a state directory, since it was made."""

    def __init__(self, state_dir: Path) -> None:
        self._server = int(json.loads((enter(state_dir) / SERVER_FILE).read_text(encoding="utf-8"))["pid"])
        self._begun = time.process_time(), self._of_server()

    def client(self) -> float:
        """Return the seconds of this process."""
        return time.process_time() - self._begun[0]

    def server(self) -> float:
        """Return the seconds of the server: of its processes that ended, and of those that run."""
        return self._of_server() - self._begun[1]

    def _of_server(self) -> float:
        total = 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                fields = (process / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(process.name) == self._server:
                total += sum(map(int, fields[11:15]))
            elif int(fields[1]) == self._server:
                total += sum(map(int, fields[11:13]))
        return total / os.sysconf("SC_CLK_TCK")

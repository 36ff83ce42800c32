"""Copies of config/ with something changed, and what the loader says of them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from crm_sync.errors import BadSpec, Mistake
from crm_sync.specs.loader import load

CONFIG = Path(__file__).parents[3] / "config"


class RuleFiles:
    """A private copy of config/ that a test may damage."""

    def __init__(self, root: Path) -> None:
        self.root = root / "config"
        shutil.copytree(CONFIG, self.root)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the one place where `old` stands."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def write(self, file: str, text: str) -> None:
        """Write a whole file."""
        path = self.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def line(self, file: str, text: str) -> int:
        """Return the number of the first line that holds `text`."""
        for number, line in enumerate((self.root / file).read_text(encoding="utf-8").splitlines(), start=1):
            if text in line:
                return number
        raise AssertionError(f"{text!r} does not stand in {file}")

    def mistakes(self, environment: Mapping[str, str] | None = None) -> list[Mistake]:
        """Return what the loader finds wrong, nothing where it loads."""
        try:
            load(self.root, environment)
        except BadSpec as error:
            return error.mistakes
        return []

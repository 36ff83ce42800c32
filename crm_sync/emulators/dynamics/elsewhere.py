"""Know the names that a real environment has and this one has not: they answer 501, and only what is nowhere 404.

elsewhere.toml lists sets, functions and actions; those of Microsoft's own solutions are known by their prefix.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

SOLUTIONS: Final = re.compile(r"(msdyn|msdynmkt|msdyncrm|msevtmgt|mspp|msfp|adx)_\w+")


def _listed() -> frozenset[str]:
    found = tomllib.loads((Path(__file__).parent / "elsewhere.toml").read_text(encoding="utf-8"))
    return frozenset(name for names in found.values() for name in names.split())


NAMES: Final = _listed()


def elsewhere(name: str) -> bool:
    """Tell whether a real environment has a set, function or action of that name; it may come with its namespace."""
    plain = name.removeprefix("Microsoft.Dynamics.CRM.")
    return plain in NAMES or SOLUTIONS.fullmatch(plain) is not None

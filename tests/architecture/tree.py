"""The files that the architecture tests look at.

Belongs here: walking the tree. Not here: what must hold of it (test_*.py beside this).
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ("crm_sync",)
ROOMS = ("crm_sync", "assets", "resources", "sensors")
SOURCES = (*ROOMS, "tests", "bench")
SKIPPED = {"__pycache__", "node_modules"}


def files(*folders: str, suffixes: tuple[str, ...] = (".py",)) -> list[Path]:
    """List the files under these folders of the project with one of these suffixes, and definitions.py with Python."""
    found = [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in suffixes and path.is_file() and not SKIPPED & set(path.parts)
    ]
    if ".py" in suffixes and (ROOT / "definitions.py").exists():
        found.append(ROOT / "definitions.py")
    return found


def shown(path: Path) -> str:
    """Return the path as a person would type it from the project's folder."""
    return path.relative_to(ROOT).as_posix()

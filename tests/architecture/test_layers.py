"""Imports point one way: the contracts of pyproject.toml hold, and they can break."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOMS, ROOT

CHECK = "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports(no_logo=True, cache_dir=None))"


REGISTRY = "Only the connector registry names"
STRANGERS = "Emulators do not know each other"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts over the packages in `folder`."""
    return subprocess.run([sys.executable, "-c", CHECK], cwd=folder, capture_output=True, text=True, check=False)


def test_every_contract_is_kept() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("copy")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("crm_sync/steps/stray.py", "import crm_sync.store", "The library's layers"),
        ("crm_sync/brand_new/__init__.py", "", "The library's layers"),
        ("crm_sync/flows/stray.py", "import dagster", "The library never knows Dagster"),
        ("crm_sync/flows/stray.py", "import psycopg", "Only the store speaks to Postgres"),
        ("crm_sync/store/stray.py", "import requests", "Only connectors speak to the vendors' libraries"),
        ("crm_sync/specs/stray.py", "import yaml", "Only the spec loader reads YAML"),
        ("crm_sync/flows/stray.py", "import crm_sync.connectors.hubspot", REGISTRY),
        ("crm_sync/connectors/hubspot/stray.py", "import crm_sync.connectors.dynamics", REGISTRY),
        ("crm_sync/emulators/stray.py", "import crm_sync.records", "Emulators import nothing of the product"),
        ("crm_sync/emulators/hubspot/stray.py", "import crm_sync.emulators.dynamics", STRANGERS),
        ("resources/stray.py", "import assets", "Dagster's rooms"),
    ],
)
def test_a_stray_import_is_noticed(copy: Path, module: str, line: str, contract: str) -> None:
    stray = copy / module
    stray.parent.mkdir(exist_ok=True)
    stray.write_text(f'"""Stray."""\n{line}\n', encoding="utf-8")
    try:
        result = lint(copy)
    finally:
        stray.unlink()
        if not any(p.name != "__pycache__" for p in stray.parent.iterdir()):
            shutil.rmtree(stray.parent)
    assert result.returncode != 0
    broken = [row for row in result.stdout.splitlines() if "BROKEN" in row or "ontainer" in row]
    assert any(contract in row for row in broken) or "brand_new" in result.stdout, result.stdout

"""A local installation in one state directory: key, pretend CRMs, Dagster's home.

Belongs here: the files that the demo and the UI share, and the environment that they give to processes.
Not here: the demo's story (demo.py, story.py), the emulators themselves (emulators/).
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.emulators.serving import CannotServe
from crm_sync.errors import BadSettings
from crm_sync.settings import Settings
from crm_sync.store.crypto import new_master_key
from crm_sync.store.migrating import dagster_url, migrate

KEY_FILE: Final = "master.key"
EMULATORS: Final = "emulators"
DEMO: Final = "demo-"


def project_dir() -> Path:
    """Return the folder of definitions.py, dagster.yaml and workspace.yaml; BadSettings where it is not installed."""
    found = find_spec("definitions")
    if found is None or found.origin is None:
        raise BadSettings("definitions.py is not installed beside crm_sync; run from a clone: make .venv/.installed")
    return Path(found.origin).parent


def fresh_demo_dir(state_dir: Path) -> Path:
    """Make a new folder with a master key of its own; BadSettings where the state directory cannot be written."""
    folder = state_dir / f"{DEMO}{datetime.now(UTC):%Y%m%d-%H%M%S}"
    try:
        folder.mkdir(parents=True)
        descriptor = os.open(folder / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_master_key() + "\n")
    except OSError as error:
        raise BadSettings(
            f"The state directory {state_dir} cannot be written ({type(error).__name__}). Make it writable, or choose "
            "another with CRM_SYNC_STATE_DIR."
        ) from None
    return folder


def newest_demo_dir(state_dir: Path) -> Path:
    """Return the folder of the newest demo; BadSettings where there was none."""
    folders = sorted(p for p in state_dir.glob(f"{DEMO}*") if p.is_dir()) if state_dir.is_dir() else []
    if not folders:
        raise BadSettings(f"There is no demo in {state_dir} yet; run `crm-sync demo` first.")
    return folders[-1]


def is_demo(state_dir: Path) -> bool:
    """Tell whether a state directory was made by a demo: it has a key and pretend CRMs of its own."""
    return (state_dir / KEY_FILE).exists() and (state_dir / EMULATORS / "emulators.json").exists()


def start_emulators(state_dir: Path, options: Sequence[str] = (), only: Sequence[str] | None = None) -> EmulatorProcess:
    """Start the pretend CRMs of a state directory; BadSettings where a port is taken or the folder is unusable."""
    folder = state_dir / EMULATORS
    process = (
        EmulatorProcess(folder, options=options) if only is None else EmulatorProcess(folder, only, options=options)
    )
    try:
        return process.start(timeout_seconds=180.0)
    except (CannotServe, OSError) as error:
        raise BadSettings(str(error)) from None


def settings_of(state_dir: Path, addresses: Mapping[str, Any]) -> Settings:
    """Return the settings that point a process at the pretend CRMs of a state directory, and at nothing else."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("CRM_SYNC_MASTER_KEY", "CRM_SYNC_DATABASE_URL")}
    own = {"CRM_SYNC_STATE_DIR": str(state_dir), "CRM_SYNC_MASTER_KEY_FILE": str(state_dir / KEY_FILE)}
    config = str(Settings.load().config_dir)
    return Settings.load({**inherited, **environment(addresses), **own, "CRM_SYNC_CONFIG_DIR": config})


def dagster_environment(settings: Settings, database_url: str) -> dict[str, str]:
    """Prepare Dagster's home and tables, and return the environment of a process that runs Dagster."""
    migrate(database_url)
    home = settings.state_dir / "dagster"
    try:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(project_dir() / "dagster.yaml", home / "dagster.yaml")
    except OSError as error:
        raise BadSettings(f"{home} cannot be written ({type(error).__name__}); make it writable.") from None
    return {
        **settings.environment,
        "CRM_SYNC_STATE_DIR": str(settings.state_dir),
        "CRM_SYNC_CONFIG_DIR": str(settings.config_dir),
        "CRM_SYNC_DAGSTER_URL": dagster_url(database_url),
        "DAGSTER_HOME": str(home),
    }


def require_free_port(port: int) -> None:
    """Raise BadSettings where the port of 127.0.0.1 is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise BadSettings(
                f"Port {port} of 127.0.0.1 cannot be used ({type(error).__name__}); end what listens there, or choose "
                "another: --port N."
            ) from None

"""A local installation in one state directory: key, pretend CRMs, Dagster's home.

Belongs here: the files that the demo and the UI share, and the environment that they give to processes.
Not here: the demo's story (demo.py, story.py), the emulators themselves (emulators/).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.emulators.serving import CannotServe, addresses_file
from crm_sync.emulators.settings import CRMS
from crm_sync.errors import BadSettings
from crm_sync.settings import Settings, first_day_of
from crm_sync.store.crypto import new_master_key
from crm_sync.store.migrating import dagster_url, migrate

KEY_FILE: Final = "master.key"
EMULATORS: Final = "emulators"
DATABASE: Final = "postgres"
LOCK: Final = "up.lock"
FIRST_DAY_FILE: Final = "first-day"
UI_PORT: Final = 3000
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
        _write_key(folder)
    except OSError as error:
        raise _unwritable(state_dir, error) from None
    return folder


def _unwritable(state_dir: Path, error: OSError) -> BadSettings:
    return BadSettings(
        f"The state directory {state_dir} cannot be written ({error.strerror}). Make it writable, or choose another "
        "with CRM_SYNC_STATE_DIR."
    )


def _write_key(folder: Path) -> None:
    with suppress(FileExistsError):
        descriptor = os.open(folder / KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(new_master_key() + "\n")


def newest_demo_dir(state_dir: Path) -> Path:
    """Return the folder of the newest demo; BadSettings where there was none."""
    folders = sorted(p for p in state_dir.glob(f"{DEMO}*") if p.is_dir()) if state_dir.is_dir() else []
    if not folders:
        raise BadSettings(f"There is no demo in {state_dir} yet; run `crm-sync demo` first.")
    return folders[-1]


def holds_only_demos(settings: Settings) -> bool:
    """Tell whether a state directory has demos in it, and nothing of an installation of its own."""
    own = settings.database_url or any((settings.state_dir / name).exists() for name in (DATABASE, EMULATORS))
    return not own and any(settings.state_dir.glob(f"{DEMO}*/{KEY_FILE}"))


def is_demo(state_dir: Path) -> bool:
    """Tell whether a state directory was made by a demo: it has a key and pretend CRMs of its own."""
    return (state_dir / KEY_FILE).exists() and (state_dir / EMULATORS).is_dir()


def require_emulated(state_dir: Path) -> None:
    """Raise BadSettings where a state directory holds data, but no pretend CRMs: it belongs to real ones."""
    if (state_dir / DATABASE).exists() and not (state_dir / EMULATORS).exists():
        raise BadSettings(
            f"{state_dir} holds a database that did not come from pretend CRMs. Use --no-emulators, or another "
            "CRM_SYNC_STATE_DIR for the pretend ones; the two must not mix."
        )


def require_real(state_dir: Path) -> None:
    """Raise BadSettings where a state directory holds pretend CRMs, whose people must not reach real ones."""
    if (state_dir / EMULATORS).exists():
        raise BadSettings(
            f"{state_dir} holds pretend CRMs and their people. Use another CRM_SYNC_STATE_DIR for real CRMs, or leave "
            "--no-emulators out; the two must not mix."
        )


def local_key(settings: Settings) -> None:
    """Make a master key for a new state directory of pretend CRMs, where none is set."""
    if settings.master_key is None and not (settings.state_dir / DATABASE).exists():
        _write_key(settings.state_dir)


def population(seed: int | None, accounts: int, contacts: int) -> list[str]:
    """Return the emulators' options for a population; none without a seed."""
    return [] if seed is None else ["--seed", str(seed), "--accounts", str(accounts), "--contacts", str(contacts)]


def emulator_ports(given: Sequence[str] | None, option: str, names: Sequence[str] = CRMS) -> list[str]:
    """Return the emulators' options for ports given as NAME=PORT; BadSettings for what is none."""
    options = []
    for text in given or ():
        name, _, number = text.partition("=")
        if name not in names or not re.fullmatch(r"[0-9]{1,5}", number) or not 0 < int(number) < 65536:
            raise BadSettings(f"Found {option} {text}; expected <name>=<port> such as {names[0]}=8443.")
        options += ["--port", f"{name}={number}"]
    return options


@contextmanager
def alone(state_dir: Path) -> Iterator[None]:
    """Keep a state directory from being run twice at one time; BadSettings where it is, or cannot be written."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(state_dir, error) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadSettings(
                f"`crm-sync up` or `crm-sync ui` runs on {state_dir} already; end it, or choose another directory with "
                "CRM_SYNC_STATE_DIR."
            ) from None
        yield
    finally:
        os.close(descriptor)


def emulators_that_run(state_dir: Path) -> dict[str, Any] | None:
    """Return the addresses of the pretend CRMs that run in a state directory, None where none do."""
    try:
        found: dict[str, Any] = json.loads(addresses_file(state_dir / EMULATORS).read_bytes())
        os.kill(int(found["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    command = Path(f"/proc/{found['pid']}/cmdline")
    # A number is given again; where the system tells, see that it is theirs.
    return None if command.exists() and b"crm_sync.emulators" not in command.read_bytes() else found


def start_emulators(
    state_dir: Path, options: Sequence[str] = (), only: Sequence[str] | None = None, *, timeout_seconds: float = 180.0
) -> EmulatorProcess:
    """Start the pretend CRMs of a state directory; BadSettings where a port is taken or the folder is unusable."""
    folder = state_dir / EMULATORS
    if emulators_that_run(state_dir) is not None:
        raise BadSettings(
            f"Pretend CRMs run in {state_dir} already, and two must not share their records. End those first, or print "
            "how to reach them: crm-sync emulate --env"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(state_dir, error) from None
    process = (
        EmulatorProcess(folder, options=options) if only is None else EmulatorProcess(folder, only, options=options)
    )
    try:
        return process.start(timeout_seconds)
    except (CannotServe, OSError) as error:
        raise BadSettings(str(error)) from None


def settings_of(state_dir: Path, addresses: Mapping[str, Any]) -> Settings:
    """Return the settings that point a process at the pretend CRMs of a state directory, and at nothing else."""
    own = {"CRM_SYNC_STATE_DIR": str(state_dir)}
    foreign = {"CRM_SYNC_DATABASE_URL"}
    if (state_dir / KEY_FILE).exists():
        foreign.add("CRM_SYNC_MASTER_KEY")
        own["CRM_SYNC_MASTER_KEY_FILE"] = str(state_dir / KEY_FILE)
    inherited = {k: v for k, v in os.environ.items() if k not in foreign}
    config = str(Settings.load().config_dir)
    return Settings.load({**inherited, **environment(addresses), **own, "CRM_SYNC_CONFIG_DIR": config})


def dagster_environment(settings: Settings, database_url: str) -> dict[str, str]:
    """Prepare Dagster's home and tables, and return the environment of a process that runs Dagster."""
    migrate(database_url)
    home = settings.state_dir / "dagster"
    try:
        _remember_first_day(settings.state_dir, home)
        home.mkdir(parents=True, exist_ok=True)
        shutil.copy(project_dir() / "dagster.yaml", home / "dagster.yaml")
    except OSError as error:
        raise BadSettings(f"{home} cannot be written ({type(error).__name__}); make it writable.") from None
    return {
        **settings.environment,
        **_first_day(settings),
        "CRM_SYNC_STATE_DIR": str(settings.state_dir),
        "CRM_SYNC_CONFIG_DIR": str(settings.config_dir),
        "CRM_SYNC_DAGSTER_URL": dagster_url(database_url),
        "DAGSTER_HOME": str(home),
    }


def _remember_first_day(state_dir: Path, home: Path) -> None:
    # Where Dagster has a home already, its days were counted without the file, and stay as they are.
    if not home.exists() and not (state_dir / FIRST_DAY_FILE).exists():
        state_dir.mkdir(parents=True, exist_ok=True)
        (state_dir / FIRST_DAY_FILE).write_text(f"{datetime.now(UTC):%Y-%m-%d}\n", encoding="ascii")


def _first_day(settings: Settings) -> dict[str, str]:
    """Return the variable that tells the day on which a state directory was made; none where it is set or unknown."""
    path = settings.state_dir / FIRST_DAY_FILE
    if settings.environment.get("CRM_SYNC_FIRST_DAY") or not path.exists():
        return {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise BadSettings(
            f"{path} cannot be read ({error.strerror}). Expected a file with the day on which this installation began, "
            "as YYYY-MM-DD; mend it, or set CRM_SYNC_FIRST_DAY."
        ) from None
    return {"CRM_SYNC_FIRST_DAY": first_day_of(text, str(path)).isoformat()}


def database_host(url: str) -> tuple[str, int]:
    """Return host and port of a database's address."""
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 5432


def database_address(url: str) -> str:
    """Return where a database is, without user and password."""
    host, port = database_host(url)
    return f"{host}:{port}{urlsplit(url).path}"


def chosen_port(given: int | None) -> int:
    """Return the port of the UI: the one given, else 3000, or a free one; BadSettings where the given one is taken."""
    if given is None:
        return UI_PORT if _usable(UI_PORT) is None else free_port()
    reason = _usable(given)
    if reason is not None:
        raise BadSettings(
            f"Port {given} of 127.0.0.1 cannot be used ({reason}); end what listens there, or choose another: --port N."
        )
    return given


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(host: str, port: int) -> bool:
    """Tell whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, port)) == 0


def _usable(port: int) -> str | None:
    """Return why a port of 127.0.0.1 cannot be used, None where it can."""
    if not 0 < port < 65536:
        return "expected 1 to 65535"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return os.strerror(error.errno) if error.errno else type(error).__name__
    return None

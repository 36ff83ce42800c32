"""What the environment decides: directories, addresses, secrets, limits. Each field explained.

Belongs here: values of this machine and installation. Not here: rules that a business person may change (config/).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from crm_sync.errors import BadSettings

WEAKER_TLS: Final = "weaker-by-choice"
FIRST_DAY: Final = date(2020, 1, 1)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process.

    state_dir       where everything embedded keeps its files (database, emulators, logs). CRM_SYNC_STATE_DIR, default
    .state
    config_dir      where the rule files are. CRM_SYNC_CONFIG_DIR, default config
    database_url    an ordinary Postgres server; None means the embedded one in state_dir. CRM_SYNC_DATABASE_URL. Over
    the network its certificate and name are checked (sslmode=verify-full); less needs CRM_SYNC_DATABASE_TLS
    master_key      base64 of 32 bytes that wraps all other keys. CRM_SYNC_MASTER_KEY, or the file
    CRM_SYNC_MASTER_KEY_FILE
    ca_bundle       PEM file to trust instead of the system's. CRM_SYNC_CA_BUNDLE, default none
    batch_rows      rows absorbed in one transaction. CRM_SYNC_BATCH_ROWS, default 5000
    first_day       the UTC day on which this installation began; the days that Dagster shows begin with it.
    CRM_SYNC_FIRST_DAY, default 2020-01-01
    """

    state_dir: Path
    config_dir: Path
    database_url: str | None
    master_key: str | None
    ca_bundle: Path | None
    batch_rows: int
    environment: Mapping[str, str]
    first_day: date = FIRST_DAY

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the settings from the environment; BadSettings names the variable that is wrong."""
        env = dict(os.environ if environment is None else environment)
        key = env.get("CRM_SYNC_MASTER_KEY") or None
        key_file = env.get("CRM_SYNC_MASTER_KEY_FILE")
        if key is None and key_file:
            try:
                key = Path(key_file).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise BadSettings(
                    f"CRM_SYNC_MASTER_KEY_FILE names {key_file}, which cannot be read ({type(error).__name__}). "
                    "Expected a file with base64 of 32 bytes; create one with `crm-sync keys new`."
                ) from None
        rows_text = env.get("CRM_SYNC_BATCH_ROWS") or "5000"
        if not re.fullmatch(r"0*[1-9][0-9]{0,8}", rows_text):
            raise BadSettings(
                f"CRM_SYNC_BATCH_ROWS is {rows_text!r}; expected a whole number of rows from 1 to 999999999."
            )
        ca_bundle = env.get("CRM_SYNC_CA_BUNDLE") or None
        return cls(
            state_dir=Path(env.get("CRM_SYNC_STATE_DIR") or ".state").absolute(),
            config_dir=Path(env.get("CRM_SYNC_CONFIG_DIR") or "config").absolute(),
            database_url=secured(env["CRM_SYNC_DATABASE_URL"], env) if env.get("CRM_SYNC_DATABASE_URL") else None,
            master_key=key,
            ca_bundle=Path(ca_bundle).absolute() if ca_bundle else None,
            batch_rows=int(rows_text),
            environment=env,
            first_day=first_day_of(env.get("CRM_SYNC_FIRST_DAY") or FIRST_DAY.isoformat(), "CRM_SYNC_FIRST_DAY"),
        )


def first_day_of(text: str, place: str) -> date:
    """Return the day that an ISO date names; BadSettings, naming `place`, where it is none or has not begun in UTC."""
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            raise ValueError
        day = date.fromisoformat(text)
    except ValueError:
        raise BadSettings(
            f"{place} is {text!r}; expected the day on which this installation began as YYYY-MM-DD, such as "
            f"{FIRST_DAY.isoformat()}."
        ) from None
    current = datetime.now(UTC).date()
    if day > current:
        raise BadSettings(
            f"{place} is {text}, which is still to come; expected a day up to the current one, {current.isoformat()} "
            "in UTC. Name the day on which this installation began."
        )
    return day


def secured(url: str, environment: Mapping[str, str]) -> str:
    """Return the database's URL such that nobody between us and the server can read or answer for it.

    Unless the server is on this machine, its certificate is checked, and that it is its own: sslmode=verify-full,
    against the authorities of the URL, of PGSSLROOTCERT, of ~/.postgresql/root.crt, or else of the system. BadSettings
    where the URL asks for less and CRM_SYNC_DATABASE_TLS does not say that this is a choice.
    """
    try:
        parts = urlsplit(url)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        hosts = _hosts(parts.netloc, asked, environment)
    except ValueError:
        parts, asked, hosts = urlsplit(""), {}, []
    if parts.scheme not in ("postgresql", "postgres"):
        raise BadSettings(
            "CRM_SYNC_DATABASE_URL is not a database address; expected postgresql://user:password@host:port/database."
        )
    choice = environment.get("CRM_SYNC_DATABASE_TLS") or "verify-full"
    if choice not in ("verify-full", WEAKER_TLS):
        raise BadSettings(f"CRM_SYNC_DATABASE_TLS is {choice!r}; expected verify-full (the default) or {WEAKER_TLS}.")
    if all(_is_here(host) for host in hosts):
        return url
    mode = asked.get("sslmode") or environment.get("PGSSLMODE") or ""
    if mode not in ("", "verify-full"):
        if choice != WEAKER_TLS:
            raise BadSettings(
                f"The database's address asks for sslmode={mode}, which lets others on the way read along or answer in "
                f"the server's place. Leave sslmode out (verify-full is the default), or set CRM_SYNC_DATABASE_TLS="
                f"{WEAKER_TLS} if the way there is safe otherwise."
            )
        _warn(f"The connection to the database is only as safe as sslmode={mode}, by choice (CRM_SYNC_DATABASE_TLS).")
        return url
    further = [] if "sslmode" in asked else ["sslmode=verify-full"]
    if "sslrootcert" not in asked and not environment.get("PGSSLROOTCERT") and not _own_authorities(environment):
        further.append("sslrootcert=system")
    return "&".join([url if "?" in url else f"{url}?", *further]).replace("?&", "?", 1) if further else url


def _hosts(netloc: str, asked: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    # What is really dialled: hostaddr before host, several of them with commas between; none at all is a local socket.
    named = asked.get("hostaddr") or asked.get("host") or netloc.rpartition("@")[2]
    named = named or environment.get("PGHOSTADDR") or environment.get("PGHOST") or ""
    if not named and (asked.get("service") or environment.get("PGSERVICE")):
        return ["named in a service file"]
    return [_without_port(unquote(host)) for host in named.split(",")]


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]


def _is_here(host: str) -> bool:
    if host in ("", "localhost") or host.startswith(("/", "@")):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _own_authorities(environment: Mapping[str, str]) -> bool:
    home = environment.get("HOME")
    return bool(home) and (Path(str(home)) / ".postgresql" / "root.crt").exists()


@lru_cache
def _warn(message: str) -> None:
    # Once a process, however often it reads its settings.
    _LOG.warning(message)

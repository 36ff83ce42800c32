"""What the environment decides: directories, addresses, secrets, limits. Each field explained.

Belongs here: values of this machine and installation. Not here: rules that a business person may change (config/).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from crm_sync.errors import BadSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process.

    state_dir       where everything embedded keeps its files (database, emulators, logs). CRM_SYNC_STATE_DIR, default
    .state
    config_dir      where the rule files are. CRM_SYNC_CONFIG_DIR, default config
    database_url    an ordinary Postgres server; None means the embedded one in state_dir. CRM_SYNC_DATABASE_URL
    master_key      base64 of 32 bytes that wraps all other keys. CRM_SYNC_MASTER_KEY, or the file
    CRM_SYNC_MASTER_KEY_FILE
    ca_bundle       PEM file to trust instead of the system's. CRM_SYNC_CA_BUNDLE, default none
    batch_rows      rows absorbed in one transaction. CRM_SYNC_BATCH_ROWS, default 5000
    """

    state_dir: Path
    config_dir: Path
    database_url: str | None
    master_key: str | None
    ca_bundle: Path | None
    batch_rows: int
    environment: Mapping[str, str]

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
        rows_text = env.get("CRM_SYNC_BATCH_ROWS", "5000")
        if not rows_text.isdigit() or int(rows_text) < 1:
            raise BadSettings(f"CRM_SYNC_BATCH_ROWS is {rows_text!r}; expected a whole number of rows of 1 or more.")
        ca_bundle = env.get("CRM_SYNC_CA_BUNDLE") or None
        return cls(
            state_dir=Path(env.get("CRM_SYNC_STATE_DIR") or ".state").absolute(),
            config_dir=Path(env.get("CRM_SYNC_CONFIG_DIR") or "config").absolute(),
            database_url=env.get("CRM_SYNC_DATABASE_URL") or None,
            master_key=key,
            ca_bundle=Path(ca_bundle).absolute() if ca_bundle else None,
            batch_rows=int(rows_text),
            environment=env,
        )

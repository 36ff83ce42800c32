"""What one pretend CRM is told at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CRMS = ("salesforce", "hubspot", "dynamics")


@dataclass(frozen=True, slots=True)
class EmulatorSettings:
    """The settings of one emulator.

    url            the address as clients see it, without a slash at the end: https://localhost:PORT
    client_id, client_secret, refresh_token, token, tenant
                   what clients must present; those that a CRM has no use for are simply not asked for
    token_seconds  life of an access token
    knobs          first values of `Faults.knob`: "limits" (bool), "index_lag_seconds", ...
    name           the connection: that of the CRM, unless several of one kind are served
    declared       further objects and fields, as `declarations.load` takes them: load(FILE, settings.declared)
    security_token what a password is followed by where a CRM wants that; the knob of this name too
    ca_bundle      certificates to trust where the emulator calls others (webhook receivers)
    """

    crm: str
    url: str
    client_id: str
    client_secret: str
    refresh_token: str
    token: str
    tenant: str
    state_dir: Path
    token_seconds: float = 1800.0
    knobs: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    declared: Mapping[str, Any] = field(default_factory=dict)
    ca_bundle: Path | None = None
    security_token: str = ""

"""Ask every CRM what its objects are like, and compare with the mappings.

Belongs here: asking, and what keeps us from asking. Not here: the comparison itself (steps/fitting).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from crm_sync.errors import BadCredentials, BadSettings, CrmSyncError, ErrorClass, LimitReached, Refused, Unreachable
from crm_sync.specs.checking import unset
from crm_sync.specs.model import SpecSet
from crm_sync.steps.fitting import Finding, Severity, judge

if TYPE_CHECKING:
    from crm_sync.flows.context import Context


def access(specs: SpecSet, environment: Mapping[str, str], severity: Severity) -> list[Finding]:
    """Return one finding for each variable that an enabled connection needs and the environment lacks."""
    return [
        Finding(
            severity,
            "unset",
            connection,
            "",
            "",
            variable,
            (place := specs.place(connection)).file,
            place.line(f"{connection}.{what}", connection),
            f"the variable {variable} ({what.replace('_', ' ')}) is not set",
            f"set it, or leave {connection} out with `enabled: false`",
        )
        for connection, what, variable in unset(specs, environment)
    ]


def live_check(ctx: Context, connections: Sequence[str] | None = None) -> list[Finding]:
    """Describe every mapped object of every enabled connection, or of those named, and return what does not fit.

    A CRM that does not answer is one finding; the others go on.
    """
    names = list(connections or [n for n, c in ctx.specs.connections.items() if c.enabled])
    for name in names:
        ctx.connection_spec(name)
    lacking = [one for one in access(ctx.specs, ctx.settings.environment, Severity.ERROR) if one.connection in names]
    closed = {one.connection for one in lacking}
    asked = [name for name in names if name not in closed]
    if not asked:
        return lacking
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        return lacking + [one for found in pool.map(lambda name: _ask(ctx, name), asked) for one in found]


def _ask(ctx: Context, name: str) -> list[Finding]:
    found: list[Finding] = []
    for entity, spec in ctx.specs.entities.items():
        if (name, entity) not in ctx.specs.mappings:
            continue
        mapping = ctx.specs.mapping(name, entity)
        place = ctx.specs.place(name, entity)
        try:
            there = ctx.connector(name).describe(mapping)
        except Refused as error:
            # The object alone may be refused (it does not exist, or we may not see it); the others are worth asking.
            missing = error.error_class in (ErrorClass.NOT_FOUND, ErrorClass.SCHEMA)
            kind, line = "missing" if missing else "refused", place.line(".object")
            hint = "mend `object`, or let the integration user see it"
            found.append(
                Finding(Severity.ERROR, kind, name, entity, "", mapping.object, place.file, line, str(error), hint)
            )
        except CrmSyncError as error:
            return [*found, _closed(ctx, name, error)]
        else:
            found += judge(name, spec, mapping, there, place)
    return found


def _closed(ctx: Context, name: str, error: CrmSyncError) -> Finding:
    place = ctx.specs.place(name)
    kind, key, hint = "refused", name, ""
    if isinstance(error, BadCredentials):
        kind, key, hint = "credentials", f"{name}.secrets", "renew the secrets that secrets_env names"
    elif isinstance(error, BadSettings):
        kind, key = "unset", f"{name}.address"
    elif isinstance(error, Unreachable):
        kind, key = "unreachable", f"{name}.address"
        variable = ctx.connection_spec(name).address_env
        hint = f"nothing was compared; see that {variable} leads to the CRM, and ask again when it answers"
    elif isinstance(error, LimitReached):
        kind, hint = "limit", "nothing was compared; ask again later"
    message = str(error).removeprefix(f"{name}: ")
    return Finding(Severity.ERROR, kind, name, "", "", "", place.file, place.line(key, name), message, hint)

"""The commands `check` and `schema`: the rule files, alone, against what the CRMs describe, and in an editor.

Belongs here: its output and exit codes. Not here: finding mistakes (specs/), comparing with CRMs (steps/fitting).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crm_sync.cli.arguments import Connections, Json, known, opened
from crm_sync.cli.showing import as_json, progress, show
from crm_sync.errors import BadSettings, BadSpec
from crm_sync.settings import Settings
from crm_sync.specs.checking import summary, unset
from crm_sync.specs.json_schema import schemas
from crm_sync.specs.loader import load
from crm_sync.specs.model import SpecSet

if TYPE_CHECKING:
    from crm_sync.steps.fitting import Finding

_OURS = frozenset({"unset", "credentials"})
"""Kinds of findings that lie in this installation, not in the rules or the CRMs."""


def check(
    live: Annotated[bool, typer.Option("--live", help="Compare the mappings with what the CRMs describe.")] = False,
    connection: Connections = None,
    json: Json = False,
) -> None:
    """Check the rule files, with --live also against the CRMs.

    Prints every mistake in them, or what they amount to; that needs no database and no CRM. With --live
    every mapped object is described by its CRM: fields that are missing, too short, read-only, hidden or of another
    type, picklist values that are absent, keys that are not unique. Exit code 1: a CRM does not fit or does not
    answer; 2: the rules, variables or credentials are wrong.

    Examples:  crm-sync check;  crm-sync check --live -c hubspot
    """
    settings = Settings.load()
    try:
        specs = load(settings.config_dir, settings.environment)
    except BadSpec as error:
        if json:
            typer.echo(as_json({"mistakes": [dataclasses.asdict(mistake) for mistake in error.mistakes]}))
            raise typer.Exit(error.exit_code) from None
        raise
    known(connection, specs.connections, "connection", "config/connections.yaml")
    if live:
        _live(settings, connection, json=json)
        return
    if connection:
        raise BadSettings("`crm-sync check` was given --connection without --live; the rule files are checked as one.")
    _alone(settings, specs, json=json)


def schema(json: Json = False) -> None:
    """Write the JSON Schemas of the rule files, for editors.

    They go to schema/ in the directory of the rule files, whose first lines name them; an editor with a YAML language
    server then completes and checks rules while they are typed. Write them anew after an upgrade.

    Example:  crm-sync schema
    """
    folder = Settings.load().config_dir / "schema"
    files = {folder / f"{name}.json": as_json(made) + "\n" for name, made in schemas().items()}
    try:
        if not folder.parent.is_dir():
            raise BadSettings(f"There is no directory {folder.parent}; set CRM_SYNC_CONFIG_DIR.")
        folder.mkdir(exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadSettings(f"{folder} cannot be written ({error.strerror}); make it writable.") from None
    show([{"file": str(path)} for path in files], json=json, empty="")


def _alone(settings: Settings, specs: SpecSet, *, json: bool) -> None:
    overviews = [dataclasses.asdict(overview) for overview in summary(specs)]
    lacking = unset(specs, settings.environment)
    if json:
        named = [{"connection": c, "what": what, "variable": variable} for c, what, variable in lacking]
        typer.echo(as_json({"mistakes": [], "streams": overviews, "unset": named}))
        return
    shown = ("connection", "crm", "enabled", "entity", "object", "fields", "mapped", "lossy", "unmapped")
    show([{k: row[k] for k in shown} for row in overviews], json=False, empty="No connection syncs any entity.")
    typer.echo("The rule files hold no mistake.")
    by_connection: dict[str, list[str]] = {}
    for name, _, variable in lacking:
        by_connection.setdefault(name, []).append(variable)
    for name, variables in by_connection.items():
        typer.echo(f"warning: {name} cannot be reached before these are set: {', '.join(variables)}", err=True)


def _live(settings: Settings, connections: Sequence[str] | None, *, json: bool) -> None:
    # Imported here, so that the check of the files alone does not wait for it.
    from crm_sync.flows.live_check import live_check

    with opened("check", settings) as context, progress(json=json) as say:
        say("asking the CRMs what their objects are like")
        findings = live_check(context, connections)
        asked = list(connections or [n for n, c in context.specs.connections.items() if c.enabled])
    errors = [one for one in findings if one.severity == "error"]
    if json:
        found: dict[str, Any] = {"mistakes": [], "connections": asked}
        typer.echo(as_json(found | {"findings": [dataclasses.asdict(one) for one in findings]}))
    else:
        for one in findings:
            typer.echo(str(one))
        typer.echo(_verdict(asked, findings, len(errors)), err=bool(errors))
    if errors:
        raise typer.Exit(2 if any(one.kind in _OURS for one in errors) else 1)


def _verdict(asked: Sequence[str], findings: Sequence[Finding], errors: int) -> str:
    if not asked:
        return "No connection is enabled, so nothing was compared."
    where = ", ".join(asked)
    if not findings:
        return f"The mappings fit what {where} describe{'s' if len(asked) == 1 else ''}."
    warnings = len(findings) - errors
    counts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return f"{' and '.join(counts)} in {where}."

"""The commands that work on connected CRMs.

Belongs here: the call of one flow each. Not here: the check of the rules (checking.py), the comparison of everything
(reconciling.py), how far it is (standing.py), what runs on this machine (up.py, locally.py), the demo (demo.py),
arguments that commands share (arguments.py), forms of output (showing.py).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from crm_sync.cli.arguments import Connections, Entities, Json, known, opened
from crm_sync.cli.checking import check, schema
from crm_sync.cli.demo import demo
from crm_sync.cli.locally import emulate, ui
from crm_sync.cli.quality import quality
from crm_sync.cli.reconciling import reconcile
from crm_sync.cli.showing import as_json, progress, show
from crm_sync.cli.standing import status
from crm_sync.cli.telling import history_rows
from crm_sync.cli.up import up
from crm_sync.errors import BadCredentials, BadSettings
from crm_sync.specs.checking import unset
from crm_sync.store.crypto import new_master_key

app = typer.Typer(
    name="crm-sync",
    help="Keep customer data equal across Salesforce, HubSpot, Dynamics 365 and the hub.\n\n"
    "Exit codes: 0 all is well, 1 trouble or a connection was missed, 2 a person must change something.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)
keys = typer.Typer(help="The master key that wraps all other keys.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys, name="keys")
for _command in (check, schema, status, reconcile, quality, demo, up, ui, emulate):
    app.command()(_command)


@app.command()
def sync(
    connection: Connections = None,
    entity: Entities = None,
    full: Annotated[bool, typer.Option("--full", help="Read everything, not only what changed.")] = False,
    json: Json = False,
) -> None:
    """Make all connections equal, once.

    Reads each, merges, and tells each what changed elsewhere, until nothing is left to tell. A connection
    that is down is missed and the others go on; exit code 1 tells, or 2 where its settings or credentials are wrong.

    Examples:  crm-sync sync;  crm-sync sync -c hubspot -e contact;  crm-sync sync --full --json
    """
    from crm_sync.flows.sync import sync as run

    with opened("sync") as context, progress(json=json) as say:
        known(connection, context.specs.connections, "connection", "config/connections.yaml")
        known(entity, context.specs.entities, "entity", "config/entities")
        report = run(context, connection, entity, full, say)
    if json:
        typer.echo(as_json({"run_id": context.run_id, "rows": report.rows, "missed": report.missed}))
    else:
        show(report.rows, json=False, empty="Nothing to sync: no connection is enabled.")
        for name, reason in report.missed.items():
            typer.echo(f"missed {name}: {reason}", err=True)
    if report.missed:
        # Credentials and settings do not mend themselves.
        ours = (BadCredentials.__name__, BadSettings.__name__)
        raise typer.Exit(2 if any(why.startswith(ours) for why in report.missed.values()) else 1)


@app.command()
def provision(
    connection: Connections = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only list what is needed (the default).")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Create what is needed.")] = False,
    json: Json = False,
) -> None:
    """Prepare the CRMs: keys, fields, change tracking.

    Lists what must exist before a first sync; with --apply creates it.

    Examples:  crm-sync provision --plan;  crm-sync provision -c dynamics --apply
    """
    from crm_sync.flows.provision import provision as run

    if plan and apply:
        raise BadSettings("`crm-sync provision` was given --plan and --apply; give one of them.")
    with opened("provision") as context, progress(json=json) as say:
        known(connection, context.specs.connections, "connection", "config/connections.yaml")
        lacking = [v for c, _, v in unset(context.specs, context.settings.environment) if c in (connection or [c])]
        if lacking:
            raise BadSettings(f"Set these variables first, config/connections.yaml names them: {', '.join(lacking)}.")
        say("asking the CRMs")
        steps = run(context, connection, apply)
    show([dataclasses.asdict(step) for step in steps], json=json, empty="Nothing is needed.")


@app.command()
def explain(
    entity: Annotated[str, typer.Argument(help="Such as contact.")],
    record: Annotated[str, typer.Argument(help="A hub id, or <connection>:<record id>.")],
    field: Annotated[str | None, typer.Argument(help="Such as job_title; all fields otherwise.")] = None,
    json: Json = False,
) -> None:
    """Tell how a field came to its value.

    Every change of that field of a golden record, its source, and the rule that decided. This shows personal data.

    Example:  crm-sync explain contact salesforce:003000000000001AAA job_title
    """
    from crm_sync.flows.explain import explain as ask

    with opened("explain") as context:
        found = ask(context, entity, record, field)
    if json:
        typer.echo(as_json(dataclasses.asdict(found)))
        return
    typer.echo(f"{entity} {found.hub_id}\n")
    for title, rows, empty in (
        ("in the CRMs", found.links, "nowhere; the next sync creates it"),
        ("in the hub now", found.fields, "nothing"),
        ("how it came about", history_rows(found.history), "no change of it was ever decided on"),
    ):
        typer.echo(f"{title}:")
        show(rows, json=False, empty=empty)
        typer.echo("")


@app.command()
def edit(
    entity: Annotated[str, typer.Argument(help="Such as contact.")],
    hub_id: Annotated[UUID, typer.Argument(help="The golden record.")],
    changes: Annotated[list[str], typer.Argument(help="<field>=<value>; an empty value clears the field.")],
    actor: Annotated[str, typer.Option(help="Who makes the change; it stands in the audit.")],
    json: Json = False,
) -> None:
    """Change a golden record in the hub.

    The next sync tells the CRMs.

    Example:  crm-sync edit contact 0199aaaa-0000-7000-8000-000000000001 city=Leeds --actor jane
    """
    from crm_sync.flows.edit import edit as change

    values: dict[str, str | None] = {}
    for number, text in enumerate(changes, 1):
        name, separator, value = text.partition("=")
        if not separator:
            # It may be a value, which no message repeats.
            raise BadSettings(
                f"Change {number} of {len(changes)} has no `=`; expected <field>=<value>, such as city=Leeds."
            )
        values[name] = value or None
    with opened("edit") as context:
        change(context, entity, hub_id, values, actor)
        run_id = context.run_id
    show([{"run_id": run_id, "hub_id": hub_id, "changed": list(values)}], json=json, empty="")


@keys.command("new")
def keys_new() -> None:
    """Print a new master key.

    It is base64 of 32 random bytes. Keep it as safe as the data it opens.

    Example:  crm-sync keys new > master.key && export CRM_SYNC_MASTER_KEY_FILE=$PWD/master.key
    """
    typer.echo(new_master_key())


@keys.command("rotate")
def keys_rotate(
    new_key_file: Annotated[Path, typer.Argument(help="A file with the new key, from `crm-sync keys new`.")],
    json: Json = False,
) -> None:
    """Put all keys under a new master key.

    May be interrupted: run it again to finish.

    Example:  crm-sync keys rotate new-master.key
    """
    try:
        new = new_key_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadSettings(
            f"{new_key_file} cannot be read ({type(error).__name__}). Expected a file with base64 of 32 bytes; "
            f"make one: crm-sync keys new > {new_key_file}"
        ) from None
    with opened("rotation") as context:
        rewrapped = context.keyring.rotate(new)
    show([{"rewrapped": rewrapped}], json=json, empty="")
    if not json:
        typer.echo(f"From now on use the key in {new_key_file}; the former one opens nothing any more.")

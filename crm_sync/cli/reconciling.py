"""The command that compares everything."""

from __future__ import annotations

import typer

from crm_sync.cli.arguments import Connections, Entities, Json, known, opened
from crm_sync.cli.showing import as_json, progress, show
from crm_sync.errors import CrmSyncError, Misconfigured

_SHOWN = ("missing_there", "missing_here", "differing", "orphan_link", "duplicate", "lagging", "held", "queued")


def reconcile(connection: Connections = None, entity: Entities = None, json: Json = False) -> None:
    """Compare all records of the CRMs with what we believe of them.

    Reads everything, trusts no events and changes nothing: finds edits, deletions and records that were missed,
    and what should have been sent. Exit code 1 where more drifts or lags than `drift_threshold` allows, or a
    connection was missed; 2 where its settings or credentials are wrong.

    Examples:  crm-sync reconcile;  crm-sync reconcile -c hubspot -e contact --json
    """
    from crm_sync.flows.reconcile import ReconcileReport
    from crm_sync.flows.reconcile import reconcile as run

    reports: list[ReconcileReport] = []
    missed: dict[str, CrmSyncError] = {}
    with opened("reconcile") as context, progress(json=json) as say:
        known(connection, context.specs.connections, "connection", "config/connections.yaml")
        known(entity, context.specs.entities, "entity", "config/entities")
        names = connection or [name for name, spec in context.specs.connections.items() if spec.enabled]
        streams = [(n, e) for n in names for e in entity or context.specs.entities if (n, e) in context.specs.mappings]
        for name, each in streams:
            if name not in missed:
                say(f"comparing {each} of {name}")
                try:
                    reports.append(run(context, name, each))
                except CrmSyncError as error:
                    missed[name] = error
        limits = {name: context.specs.connections[name].drift_threshold for name in names}
    rows = [
        {"connection": r.connection, "entity": r.entity, "compared": r.compared, "drift": f"{r.drift_share:.2%}"}
        | {finding: r.classes[finding] for finding in _SHOWN}
        for r in reports
    ]
    if json:
        typer.echo(
            as_json({"run_id": context.run_id, "reports": reports, "missed": {n: str(e) for n, e in missed.items()}})
        )
    else:
        none = "Nothing was compared." if missed else "Nothing to compare: no connection syncs any entity."
        show(rows, json=False, empty=none)
        for line in (line for report in reports for line in report.differences()):
            typer.echo(line)
        for name, reason in missed.items():
            typer.echo(f"missed {name}: {type(reason).__name__}: {reason}", err=True)
    # Credentials and settings do not mend themselves.
    if any(isinstance(error, Misconfigured) for error in missed.values()):
        raise typer.Exit(2)
    if missed or any(max(r.drift_share, r.lag_share) > limits[r.connection] for r in reports):
        raise typer.Exit(1)

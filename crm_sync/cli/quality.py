"""The command `quality`: what must hold of the data at rest, and a page that shows it.

Belongs here: arguments and output. Not here: what is checked (flows/quality), the page (flows/quality_page).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crm_sync.cli.arguments import Entities, Json, known, opened
from crm_sync.cli.showing import as_json, progress, show
from crm_sync.errors import BadSettings


def quality(
    entity: Entities = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="PATH", help="Write a page that shows it all.")] = None,
    json: Json = False,
) -> None:
    """Check the data at rest.

    Required fields, references in the hub and across CRMs, links, uniqueness of golden records, and the share of
    source records that were refused. Exit code 1 where an expectation is not met.

    Example:  crm-sync quality --html quality.html
    """
    # Imported here, so that other commands do not wait for the flows' libraries.
    from crm_sync.flows.quality import check_quality
    from crm_sync.flows.quality_page import write

    if html is not None and not html.absolute().parent.is_dir():
        raise BadSettings(f"There is no directory {html.absolute().parent} for the page; make it, or choose another.")
    with opened("quality") as context, progress(json=json) as say:
        known(entity, context.specs.entities, "entity", "config/entities")
        synced = [name for name in context.specs.entities if context.streams(name)]
        reports = []
        for name in entity or synced:
            say(f"checking all records of {name}")
            reports.append(check_quality(context, name))
    if html is not None:
        write(html, reports)
    rows = [row for report in reports for row in report.rows()]
    broken = [outcome for report in reports for outcome in report.outcomes if not outcome.passed]
    if json:
        examples = [{"where": o.demand.place, "expected": o.demand.title, "rows": o.examples} for o in broken]
        typer.echo(as_json({"passed": not broken, "rows": rows, "examples": examples, "page": html}))
    else:
        shown = ("check", "where", "expected", "passed", "checked", "unexpected")
        show([{name: row[name] for name in shown} for row in rows], json=False, empty="No connection syncs any entity.")
        typer.echo(f"\n{len(broken)} expectations are not met." if broken else "\nAll expectations are met.")
        if html is not None:
            typer.echo(f"The page: {html}")
    if broken:
        raise typer.Exit(1)

"""The command `demo`: three pretend CRMs, a first sync through Dagster, then a story that checks itself.

Belongs here: setting up, telling, and the verdict. Not here: the chapters of the story (story.py), the numbers of runs
(rounds.py).
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Annotated

import typer

from crm_sync.cli.installation import (
    dagster_environment,
    fresh_demo_dir,
    settings_of,
    start_emulators,
)
from crm_sync.cli.runner import Runner
from crm_sync.cli.showing import as_json, print_table, progress
from crm_sync.settings import Settings
from crm_sync.specs.loader import load
from crm_sync.store import postgres


def demo(
    accounts: Annotated[int, typer.Option(min=10, help="Real accounts of the population.")] = 300,
    contacts: Annotated[int, typer.Option(min=50, help="Real contacts of the population.")] = 1500,
    seed: Annotated[int, typer.Option(help="The population's number; the same gives the same people.")] = 2026,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show it all, on this machine alone.

    Three pretend CRMs, a first sync of a dirty population, then edits that arrive everywhere. Everything
    lies in a new folder of the state directory. The demo checks itself: exit code 1 if something did not arrive.

    Example:  crm-sync demo --accounts 30 --contacts 150
    """
    # Imported here, so that other commands do not wait for the flows' libraries.
    from crm_sync.cli.rounds import Rounds
    from crm_sync.cli.story import Story
    from crm_sync.flows.context import open_context
    from crm_sync.flows.provision import provision

    began = time.monotonic()
    settings = Settings.load()
    specs = load(settings.config_dir)
    folder = fresh_demo_dir(settings.state_dir)
    with progress(json=json) as say, ExitStack() as stack:
        say(f"starting three pretend CRMs with {accounts} accounts and {contacts} contacts in {folder}")
        population = ["--seed", str(seed), "--accounts", str(accounts), "--contacts", str(contacts)]
        emulators = start_emulators(folder, population)
        stack.callback(emulators.stop)
        settings = settings_of(folder, emulators.addresses)
        say("starting the database")
        url = stack.enter_context(postgres.running(folder))
        variables = dagster_environment(settings, url)
        say("creating our keys and fields in the CRMs")
        with open_context(settings, kind="provision") as context:
            created = [step for step in provision(context, None, True) if step.needed]
        say("starting Dagster")
        runner = stack.enter_context(Runner(variables, folder / "dagster.log"))
        rounds = Rounds(runner, settings, specs, say)
        table = rounds.first()
        story = Story(settings, specs, emulators.addresses, rounds)
        story.tell()
        comparisons = rounds.reconcile()
        rounds.at_rest()
    verdict = [*rounds.verdicts, *story.verdicts]
    passed = all(one["ok"] for one in verdict)
    seconds = time.monotonic() - began
    if json:
        result = {"state_dir": folder, "provisioned": len(created), "table": table, "story": story.lines}
        result |= {"reconciliation": comparisons, "warnings": rounds.warnings}
        typer.echo(as_json(result | {"checks": verdict, "passed": passed, "seconds": round(seconds, 1)}))
    else:
        typer.echo(f"\nOur keys and fields in the CRMs: {len(created)} created.")
        typer.echo("\nThe first sync, by connection and entity:\n")
        print_table(table)
        typer.echo(
            "\n  matched: joined a golden record that another CRM had brought; quarantined: refused for its content;"
            "\n  in review: waits for a person; withheld: a value that a CRM refused while it took the rest;"
            "\n  dead: commands given up; balanced: every record read is accounted for."
        )
        typer.echo("\nThe story:\n")
        for line in story.lines:
            typer.echo(f"  {line}")
        typer.echo("\nAll records of the CRMs compared with what we believe of them:\n")
        print_table(comparisons)
        typer.echo("\n  drifting: not as we believe; lagging: not as the hub wants it, with nothing under way.")
        if rounds.warnings:
            typer.echo("\nWaiting for a person (`crm-sync status` says why):\n")
            for warning in rounds.warnings:
                typer.echo(f"  {warning}")
        typer.echo("\nChecked:\n")
        for one in verdict:
            typer.echo(f"  {'ok    ' if one['ok'] else 'FAILED'}  {one['what']}")
        typer.echo(f"\n{'All of it arrived' if passed else 'Not all of it arrived'}, in {seconds:.0f} s.")
        typer.echo(f"Dagster's UI on what just happened:  crm-sync ui --state {folder}   (or: make ui)")
    if not passed:
        raise typer.Exit(1)

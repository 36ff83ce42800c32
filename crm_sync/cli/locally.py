"""Commands that run a part of it on this machine: pretend CRMs, and Dagster's UI on what is there.

Belongs here: starting, announcing and stopping them. Not here: their insides (emulators/, definitions.py), everything
together (up.py).
"""

from __future__ import annotations

import os
import shlex
import signal
from pathlib import Path
from types import FrameType
from typing import Annotated, Final

import typer

from crm_sync.cli.arguments import Json
from crm_sync.cli.installation import (
    KEY_FILE,
    chosen_port,
    emulator_ports,
    emulators_that_run,
    holds_only_demos,
    is_demo,
    newest_demo_dir,
    population,
    start_emulators,
)
from crm_sync.cli.showing import as_json
from crm_sync.cli.up import PORT, run_here
from crm_sync.emulators.launcher import environment
from crm_sync.emulators.settings import CRMS
from crm_sync.errors import BadSettings
from crm_sync.settings import Settings
from crm_sync.specs.loader import load

MANY: Final = 100_000


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def emulate(
    only: Annotated[list[str] | None, typer.Option(metavar="CRM", help="Only this one; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fill empty CRMs with the population of this number.")] = None,
    accounts: Annotated[int, typer.Option(min=1, help="Real accounts of the population.")] = 300,
    contacts: Annotated[int, typer.Option(min=1, help="Real contacts of the population.")] = 1500,
    invalid_share: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Share of records that a sync must refuse, such as 0.3.")
    ] = None,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="Each real thing of the population is in each CRM.")
    ] = False,
    connection: Annotated[
        list[str] | None, typer.Option(metavar="NAME=CRM", help="Serve these instead, such as eu=hubspot.")
    ] = None,
    declarations: Annotated[Path | None, typer.Option(help="TOML: further objects and fields, by CRM.")] = None,
    faults: Annotated[Path | None, typer.Option(help="TOML or JSON: faults that wait, by CRM.")] = None,
    limits: Annotated[bool, typer.Option("--limits", help="Enforce the CRMs' rate limits and quotas.")] = False,
    crossroads: Annotated[
        int | None, typer.Option(metavar="PORT", help="Also a proxy that answers for the CRMs' own host names.")
    ] = None,
    port: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PORT", help="May be repeated; else free ones.")
    ] = None,
    env: Annotated[bool, typer.Option("--env", help="Print the environment of those that run, and end.")] = False,
    json: Json = False,
) -> None:
    """Run pretend CRMs until interrupted.

    Prints the environment that connects crm-sync, or any other client, to them: addresses, credentials and the
    certificate to trust. Records, ports and credentials stay in the state directory, so that a restart goes on where
    it was. With --env it only prints that environment, of pretend CRMs that run already (also under `crm-sync up`).

    Each has a control API without credentials at <its address>/__emulator__/: faults, clock, webhooks, and snapshots
    (POST snapshots {"name": "before"} saves all records, POST snapshots/restore brings them back, while it serves).
    docs/emulators.md tells all of it.

    Examples:

    \b
      crm-sync emulate --seed 7 --port salesforce=8443
      eval "$(crm-sync emulate --env)"
      crm-sync emulate --connection eu=hubspot --connection us=hubspot --faults storm.toml
    """
    if only and connection:
        raise BadSettings("`crm-sync emulate` was given --only and --connection; give one of them.")
    named = dict(one.partition("=")[::2] for one in connection or ())
    if not env and not all(name and crm in CRMS for name, crm in named.items()):
        told = " ".join(f"--connection {one}" for one in connection or ())
        raise BadSettings(f"Found {told}; expected <name>=<CRM> such as eu=hubspot, the CRM one of {', '.join(CRMS)}.")
    chosen = list(named) or only or list(CRMS)
    strangers = [crm for crm in only or () if crm not in CRMS]
    if strangers and not env:
        raise BadSettings(f"There is no emulator {strangers[0]!r}; expected some of {', '.join(CRMS)}.")
    state_dir = Settings.load().state_dir
    if env:
        _print_environment(_of_those_that_run(state_dir, [*named] or only), json=json)
        return
    options = [*population(seed, accounts, contacts), *emulator_ports(port, "--port", chosen)]
    options += [] if seed is None or invalid_share is None else ["--invalid-share", str(invalid_share)]
    options += ["--everywhere"] * everywhere + ["--limits"] * limits
    options += [] if crossroads is None else ["--crossroads", str(crossroads)]
    options += [text for one in connection or () for text in ("--connection", one)]
    options += [] if declarations is None else ["--declarations", str(declarations.absolute())]
    options += [] if faults is None else ["--faults", str(faults.absolute())]
    signal.signal(signal.SIGTERM, _stop)
    if seed is not None and contacts >= MANY:
        typer.echo(f"Filling them with {contacts:,} contacts, if they are empty, takes minutes.", err=True)
    slow = contacts / 300 if seed is not None else 0.0
    process = start_emulators(state_dir, options, None if named else chosen, timeout_seconds=180.0 + slow)
    try:
        _print_environment(environment(process.addresses), json=json)
        typer.echo("The pretend CRMs listen; Ctrl-C ends them.", err=True)
        if process.process is not None and process.process.wait() != 0:
            raise BadSettings(f"The pretend CRMs ended; see {process.state_dir / 'emulators.log'}.")
    except KeyboardInterrupt:
        typer.echo("The pretend CRMs have ended.", err=True)
    finally:
        process.stop()


def _of_those_that_run(state_dir: Path, chosen: list[str] | None) -> dict[str, str]:
    found = emulators_that_run(state_dir)
    if found is None:
        raise BadSettings(
            f"No pretend CRMs run in {state_dir}. Start them in another shell: crm-sync emulate, or crm-sync up; or "
            "name their directory with CRM_SYNC_STATE_DIR."
        )
    running = [name for name, one in found.items() if isinstance(one, dict)]
    if chosen and not set(chosen) & set(running):
        raise BadSettings(
            f"None of {', '.join(chosen)} runs in {state_dir}, but {', '.join(running)}; those: crm-sync emulate --env."
        )
    kept = {name: one for name, one in found.items() if not isinstance(one, dict) or name in (chosen or running)}
    key = state_dir / KEY_FILE
    return environment(kept) | ({"CRM_SYNC_MASTER_KEY_FILE": str(key)} if key.exists() else {})


def _print_environment(variables: dict[str, str], *, json: bool) -> None:
    if json:
        typer.echo(as_json(variables))
        return
    for name, value in variables.items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def ui(
    state: Annotated[
        Path | None, typer.Option("--state", help="A state directory; else CRM_SYNC_STATE_DIR, or its newest demo.")
    ] = None,
    newest: Annotated[bool, typer.Option("--demo", help="The state directory of the newest demo.")] = False,
    port: Annotated[int | None, typer.Option(help=PORT)] = None,
    json: Json = False,
) -> None:
    """Open Dagster's UI on what is there, until interrupted.

    Its schedules and sensors run meanwhile, those that are switched on; on a demo, its pretend CRMs too. Without
    --state and --demo it opens CRM_SYNC_STATE_DIR, or the newest demo in it where nothing else was ever run there.

    Examples:  crm-sync ui --demo;  crm-sync ui --state .state --port 3100
    """
    if newest and state is not None:
        raise BadSettings("`crm-sync ui` was given --demo and --state; give one of them.")
    settings = Settings.load()
    newest = newest or (state is None and holds_only_demos(settings))
    state_dir = newest_demo_dir(settings.state_dir) if newest else state.absolute() if state else settings.state_dir
    if state is not None and not state_dir.is_dir():
        raise BadSettings(f"There is no directory {state_dir}; expected a state directory, such as one of a demo.")
    load(settings.config_dir, settings.environment)  # a mistake in the rules is better told here than by Dagster
    if state_dir != settings.state_dir:
        settings = Settings.load({**os.environ, "CRM_SYNC_STATE_DIR": str(state_dir)})
    run_here(settings, chosen_port(port), pretend=[] if is_demo(state_dir) else None, json=json)

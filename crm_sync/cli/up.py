"""The command `up`: everything on this machine, in the foreground.

Belongs here: what is started, in which order, and what is announced. Not here: processes (supervising.py), Dagster's
programs (dagster_ui.py), the files of an installation (installation.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from crm_sync.cli.arguments import Json, opened
from crm_sync.cli.dagster_ui import DagsterUi
from crm_sync.cli.installation import (
    alone,
    chosen_port,
    dagster_environment,
    database_address,
    database_host,
    emulator_ports,
    listens,
    local_key,
    population,
    require_emulated,
    require_real,
    settings_of,
    start_emulators,
)
from crm_sync.cli.showing import as_json, progress
from crm_sync.cli.supervising import Ended, Supervisor
from crm_sync.emulators.launcher import EmulatorProcess
from crm_sync.errors import BadSettings
from crm_sync.settings import Settings
from crm_sync.specs.checking import unset
from crm_sync.specs.loader import load
from crm_sync.store import postgres

_LOST_SECONDS: Final = 30.0
"""How long the database may be away: its keeper starts it anew meanwhile."""
PORT: Final = "The port of the UI; else 3000, or a free one where that is taken."


def up(
    emulators: Annotated[bool, typer.Option(help="Run pretend CRMs too, or work with the real ones.")] = True,
    seed: Annotated[
        int | None, typer.Option(help="Fill empty pretend CRMs with the population of this number.")
    ] = None,
    accounts: Annotated[int, typer.Option(min=1, help="Real accounts of the population.")] = 300,
    contacts: Annotated[int, typer.Option(min=1, help="Real contacts of the population.")] = 1500,
    sync: Annotated[bool, typer.Option("--sync", help="Sync now, and switch on schedules and sensors.")] = False,
    port: Annotated[int | None, typer.Option(help=PORT)] = None,
    emulator_port: Annotated[
        list[str] | None, typer.Option(metavar="CRM=PORT", help="May be repeated; else the last ones, or free ones.")
    ] = None,
    json: Json = False,
) -> None:
    """Run everything here: database, pretend CRMs, Dagster.

    Stays in the foreground and prints the addresses; Ctrl-C ends all of it. Records and settings stay in the
    state directory, and the next start goes on where this one was. Once on, schedules stay on until they are switched
    off in the UI.

    Examples:  crm-sync up --seed 7 --sync;  crm-sync up --no-emulators --port 3000
    """
    settings = Settings.load()
    load(settings.config_dir, settings.environment)  # a mistake in the rules is better told here than by Dagster
    if not emulators and (seed is not None or emulator_port):
        raise BadSettings("--seed and --emulator-port belong to pretend CRMs; leave them or --no-emulators out.")
    options = [*population(seed, accounts, contacts), *emulator_ports(emulator_port, "--emulator-port")]
    ui_port = chosen_port(port)
    (require_emulated if emulators else require_real)(settings.state_dir)
    run_here(settings, ui_port, pretend=options if emulators else None, provision=emulators, sync=sync, json=json)


def run_here(
    settings: Settings,
    port: int,
    *,
    pretend: list[str] | None,
    provision: bool = False,
    sync: bool = False,
    json: bool = False,
) -> None:
    """Run an installation until it is asked to end; `pretend` are the emulators' options, None for real CRMs."""
    told, started = False, list[str]()
    try:
        with Supervisor() as supervisor, ExitStack() as stack:
            stack.enter_context(alone(settings.state_dir))
            with progress(json=json) as say:
                addresses: Mapping[str, Any] = {}
                if pretend is not None:
                    say("starting pretend CRMs")
                    process = start_emulators(settings.state_dir, pretend)
                    stack.callback(process.stop)
                    addresses = process.addresses
                    _adopt(supervisor, process)
                    local_key(settings)
                    settings = settings_of(settings.state_dir, addresses)
                say("starting the database")
                url = settings.database_url or stack.enter_context(postgres.running(settings.state_dir))
                if provision:
                    say("creating our keys and fields in the pretend CRMs")
                with opened("up", replace(settings, database_url=url)) as context:
                    if provision:
                        from crm_sync.flows.provision import provision as prepare

                        prepare(context, None, True)
                stack.callback(supervisor.end)  # Dagster ends before what it works with
                say("starting Dagster, which takes some ten seconds")
                ui = DagsterUi(port, dagster_environment(settings, url))
                ui.start(supervisor)
                if sync:
                    ui.switch_on()
                    started = ui.sync_now()
            _announce(settings, ui, addresses, url, started, json=json)
            told = True
            supervisor.watch(_DatabaseWatch(url) if settings.database_url is None else lambda: None)
    except KeyboardInterrupt:
        typer.echo("Everything has ended." if told else "Everything that had been started has ended.", err=True)


def _adopt(supervisor: Supervisor, process: EmulatorProcess) -> None:
    if process.process is not None:
        supervisor.adopt("The process of the pretend CRMs", process.process, process.state_dir / "emulators.log")


def _announce(
    settings: Settings, ui: DagsterUi, addresses: Mapping[str, Any], url: str, started: list[str], *, json: bool
) -> None:
    running = ui.running()
    crms = {name: one["url"] for name, one in addresses.items() if isinstance(one, Mapping) and "url" in one}
    lacking = unset(load(settings.config_dir), settings.environment)
    if json:
        named = [variable for _, _, variable in lacking]
        found = {"ui": ui.url, "crms": crms, "database": database_address(url), "state_dir": settings.state_dir}
        typer.echo(as_json({**found, "running": running, "started": started, "unset": named}))
        return
    lines = {"Dagster's UI": ui.url, **crms, "database": database_address(url), "files": settings.state_dir}
    lines["syncs"] = ", ".join(running) if running else "nothing by itself; --sync, or the UI, switches schedules on"
    if started:
        lines["first runs"] = f"{', '.join(started)}, started now: {ui.url}/runs"
    width = max(map(len, lines))
    for name, text in lines.items():
        typer.echo(f"{name.ljust(width)}  {text}")
    for connection, _, variable in lacking:
        typer.echo(f"warning: {connection} cannot be reached before {variable} is set", err=True)
    if crms:
        typer.echo("\nOther commands in another shell work on these pretend CRMs after:")
        typer.echo(f'  export CRM_SYNC_STATE_DIR={settings.state_dir}; eval "$(crm-sync emulate --env)"')
    typer.echo("Ctrl-C ends all of it.", err=True)


class _DatabaseWatch:
    """Notice that the embedded database is away for good."""

    def __init__(self, url: str) -> None:
        self._url, self._seen, self._next = url, time.monotonic(), 0.0

    def __call__(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 2.0
        if listens(*database_host(self._url)):
            self._seen = now
        elif now - self._seen > _LOST_SECONDS:
            raise Ended(
                f"The database at {database_address(self._url)} does not answer any more, so everything was ended. "
                "Nothing is lost; look at its log, then start again."
            )

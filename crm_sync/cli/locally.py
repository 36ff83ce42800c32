"""Commands that run something on this machine: pretend CRMs, and Dagster's UI.

Belongs here: starting, announcing and stopping them. Not here: their insides (emulators/, definitions.py).
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from crm_sync.cli.installation import (
    dagster_environment,
    is_demo,
    newest_demo_dir,
    project_dir,
    require_free_port,
    settings_of,
    start_emulators,
)
from crm_sync.cli.showing import as_json
from crm_sync.emulators.launcher import environment
from crm_sync.emulators.settings import CRMS
from crm_sync.errors import BadSettings
from crm_sync.settings import Settings
from crm_sync.specs.loader import load
from crm_sync.store import postgres


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def emulate(
    only: Annotated[list[str] | None, typer.Option(metavar="CRM", help="Only this one; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Fill empty CRMs with the population of this number.")] = None,
    accounts: Annotated[int, typer.Option(help="Real accounts of the population.")] = 300,
    contacts: Annotated[int, typer.Option(help="Real contacts of the population.")] = 1500,
    limits: Annotated[bool, typer.Option("--limits", help="Enforce the CRMs' rate limits and quotas.")] = False,
    port: Annotated[list[str] | None, typer.Option(metavar="CRM=PORT", help="May be repeated; else free ones.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Run pretend CRMs until interrupted.

    Prints the environment that connects crm-sync to them. Records, ports and credentials stay
    in the state directory, so that a restart goes on where it was.

    Example:  crm-sync emulate --seed 7 --port salesforce=8443
    """
    chosen = only or list(CRMS)
    strangers = [name for name in chosen if name not in CRMS]
    if strangers:
        raise BadSettings(f"There is no emulator {strangers[0]!r}; expected some of {', '.join(CRMS)}.")
    options = [] if seed is None else ["--seed", str(seed), "--accounts", str(accounts), "--contacts", str(contacts)]
    options += ["--limits"] if limits else []
    for text in port or ():
        crm, _, number = text.partition("=")
        if crm not in CRMS or not number.isdigit():
            raise BadSettings(f"Found --port {text}; expected <crm>=<port> such as salesforce=8443.")
        options += [f"--{crm}-port", number]
    signal.signal(signal.SIGTERM, _stop)
    process = start_emulators(Settings.load().state_dir, options, chosen)
    try:
        variables = environment(process.addresses)
        if json:
            typer.echo(as_json(variables))
        else:
            for name, value in variables.items():
                typer.echo(f"export {name}={shlex.quote(value)}")
        typer.echo("The pretend CRMs listen; Ctrl-C ends them.", err=True)
        if process.process is not None and process.process.wait() != 0:
            raise BadSettings(f"The pretend CRMs ended; see {process.state_dir / 'emulators.log'}.")
    except KeyboardInterrupt:
        typer.echo("The pretend CRMs have ended.", err=True)
    finally:
        process.stop()


def ui(
    state: Annotated[Path | None, typer.Option("--state", help="A state directory; else CRM_SYNC_STATE_DIR.")] = None,
    newest: Annotated[bool, typer.Option("--demo", help="The state directory of the newest demo.")] = False,
    port: Annotated[int, typer.Option(help="The port of 127.0.0.1 to listen on.")] = 3000,
) -> None:
    """Open Dagster's UI until interrupted.

    Its schedules and sensors run meanwhile; on a demo, its pretend CRMs too.

    Examples:  crm-sync ui --demo;  crm-sync ui --state .state --port 3100
    """
    settings = Settings.load()
    state_dir = newest_demo_dir(settings.state_dir) if newest else state.absolute() if state else settings.state_dir
    require_free_port(port)
    load(settings.config_dir, settings.environment)  # a mistake in the rules is better told here than by Dagster
    signal.signal(signal.SIGTERM, _stop)
    with ExitStack() as stack:
        if is_demo(state_dir):
            process = start_emulators(state_dir)
            stack.callback(process.stop)
            settings = settings_of(state_dir, process.addresses)
        elif state is not None:
            settings = Settings.load({**os.environ, "CRM_SYNC_STATE_DIR": str(state_dir)})
        url = settings.database_url or stack.enter_context(postgres.running(settings.state_dir))
        variables = dagster_environment(settings, url)
        command = [sys.executable, "-m", "dagster", "dev", "-w", str(project_dir() / "workspace.yaml")]
        command += ["-h", "127.0.0.1", "-p", str(port)]
        # A session of its own: Ctrl-C reaches us alone, and Dagster's children can be ended with it.
        dagster = subprocess.Popen(command, cwd=project_dir(), env=variables, start_new_session=True)
        typer.echo(f"Dagster's UI opens at http://127.0.0.1:{port} in some ten seconds; Ctrl-C ends it.", err=True)
        try:
            code = dagster.wait()
        except KeyboardInterrupt:
            code = 0
            _end_session(dagster)
        raise typer.Exit(1 if code else 0)


def _end_session(leader: subprocess.Popen[bytes]) -> None:
    leader.terminate()
    with suppress(subprocess.TimeoutExpired):
        leader.wait(10)  # its code server may wait for a heartbeat much longer
    with suppress(ProcessLookupError):
        os.killpg(leader.pid, signal.SIGKILL)
    leader.wait()




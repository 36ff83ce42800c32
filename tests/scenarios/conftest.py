"""A stage for each story: a database and three pretend CRMs of its own, on one database server."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests.integration.conftest import _on_server, _state_dir, _template, _with_name, server_url  # noqa: F401
from tests.scenarios.stage import Stage, set_up

SetStage = Callable[..., AbstractContextManager[Stage]]


@pytest.fixture(scope="session")
def set_stage(server_url: str, _template: str) -> SetStage:  # noqa: F811
    """Return how to set a stage (the options of stage.set_up); its books are checked at the end."""

    @contextmanager
    def stage(**options: Any) -> Iterator[Stage]:
        name = f"scenario_{secrets.token_hex(6)}"
        directory = _state_dir("crm-sync-scenario-")
        _on_server(server_url, f"CREATE DATABASE {name} TEMPLATE {_template}")
        try:
            with set_up(directory, _with_name(server_url, name), **options) as ready:
                yield ready
                ready.check_books()
        finally:
            _on_server(server_url, f"DROP DATABASE {name} WITH (FORCE)")
            shutil.rmtree(directory)

    return stage

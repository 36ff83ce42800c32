"""Fresh portals: inside the process for most tests; behind a socket, with HubSpot's own client, where that matters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hubspot import HubSpot

from tests.unit.emulators.hubspot.inside import Inside
from tests.unit.emulators.hubspot_portal import Portal, portal_in


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    one = Inside(tmp_path)
    yield one
    one.close()


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    with portal_in(tmp_path) as running:
        yield running


@pytest.fixture
def client(portal: Portal) -> Iterator[Any]:
    pools: list[Any] = []

    def make(package: Any, name: str, config: dict[str, Any]) -> Any:
        configuration = package.Configuration()
        for key, value in config.items():
            if key == "api_key":
                configuration.api_key["developer_hapikey"] = value
            else:
                setattr(configuration, key, value)
        api = getattr(package, name)(api_client=package.ApiClient(configuration=configuration))
        pools.append(api.api_client.rest_client.pool_manager)
        return api

    yield HubSpot(
        access_token=portal.settings.token, api_key=portal.settings.token, host=portal.url,
        ssl_ca_cert=str(portal.ca_bundle), api_factory=make,
    )  # fmt: skip
    for pool in pools:
        pool.clear()

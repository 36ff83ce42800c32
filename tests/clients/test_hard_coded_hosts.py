"""A client that knows only the CRM's own hosts (singer's tap-salesforce) is led to the emulator by a proxy."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.clients.conftest import CLIENTS, World

pytestmark = pytest.mark.proof

STREAMS = ("Account", "Contact")


class Tap:
    """tap-salesforce with one kind of API: "REST", or "BULK"."""

    def __init__(self, world: World, place: Path, api: str) -> None:
        self.place = place
        bundle = world.environment["CRM_SYNC_CA_BUNDLE"]
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(place), "REQUESTS_CA_BUNDLE": bundle,
            "HTTPS_PROXY": world.environment["EMULATORS_PROXY"], "NO_PROXY": "localhost,127.0.0.1",
        }  # fmt: skip
        names = ("client_id", "client_secret", "refresh_token")
        config = {name: world.environment[f"SALESFORCE_{name.upper()}"] for name in names}
        self.write("config", {**config, "api_type": api, "start_date": "2000-01-01T00:00:00Z"})

    def write(self, name: str, content: Any) -> None:
        (self.place / name).write_text(json.dumps(content), encoding="utf-8")

    def run(self, *options: str) -> str:
        command = [str(CLIENTS / "bin" / "tap-salesforce"), "--config", "config", *options]
        done = subprocess.run(
            command, cwd=self.place, env=self.environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def discover(self) -> None:
        """Select every column of the streams that the tap can read."""
        catalog = json.loads(self.run("--discover"))
        for stream in catalog["streams"]:
            for one in stream["metadata"]:
                about = one["metadata"]
                about["selected"] = stream["tap_stream_id"] in STREAMS and about.get("inclusion") != "unsupported"
                if one["breadcrumb"] == []:
                    about |= {"replication-method": "INCREMENTAL", "replication-key": "SystemModstamp"}
        self.write("catalog", catalog)

    def sync(self, *options: str) -> list[dict[str, Any]]:
        """Return the records of one run, and keep its state for the next."""
        lines = [json.loads(line) for line in self.run("--properties", "catalog", *options).splitlines()]
        self.write("state", [one["value"] for one in lines if one["type"] == "STATE"][-1])
        return [one for one in lines if one["type"] == "RECORD"]


def control(world: World, path: str, **body: Any) -> Any:
    answer = requests.post(
        f"{world.environment['SALESFORCE_URL']}/__emulator__/{path}", json=body,
        verify=world.environment["CRM_SYNC_CA_BUNDLE"], timeout=60,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer.json()


def live(world: World, object: str) -> int:
    answer = requests.get(
        f"{world.environment['SALESFORCE_URL']}/__emulator__/dump", params={"object": object},
        verify=world.environment["CRM_SYNC_CA_BUNDLE"], timeout=60,
    )  # fmt: skip
    return len(answer.json()["records"])


@pytest.mark.parametrize("api", ["REST", "BULK"])
def test_a_tap_reads_everything_and_then_what_changed(world: World, tmp_path: Path, api: str) -> None:
    tap = Tap(world, tmp_path, api)
    tap.discover()
    first = Counter(one["stream"] for one in tap.sync() if not one["record"]["IsDeleted"])
    assert first == {name: live(world, name) for name in STREAMS}
    assert first["Contact"] > 400
    made = control(world, "create", object="Contact", values={"LastName": f"After {api}"})["id"]
    [again] = [one for one in tap.sync("--state", "state") if one["record"]["Id"] == made]
    assert again["record"]["LastName"] == f"After {api}"
    assert len(tap.sync("--state", "state")) < 100


def test_the_crossroads_lead_nowhere_else(world: World) -> None:
    crossroads = world.environment["EMULATORS_PROXY"]
    with pytest.raises(requests.exceptions.ProxyError, match="403 Forbidden"):
        requests.get("https://example.com/", proxies={"https": crossroads}, timeout=30)

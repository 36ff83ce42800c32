"""What the command line asks for: connections, ports, declarations, faults; and all of it in one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from crm_sync.emulators.__main__ import main, parser, planned
from crm_sync.emulators.declarations import load, merged, read_more
from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.emulators.serving import Plan

TOML = """
[[hubspot]]
action = "limit"
kind = "daily"
[[eu]]
action = "drop_before"
path = "/crm"
"""


def plan(*options: str) -> Plan:
    return planned(parser().parse_args(["--state", "s", *options]))


def test_the_three_are_served_unless_told_otherwise() -> None:
    assert plan().connections == {crm: crm for crm in ("salesforce", "hubspot", "dynamics")}
    assert plan("--only", "hubspot").connections == {"hubspot": "hubspot"}
    two = plan("--connection", "eu=hubspot", "--connection", "us=hubspot", "--port", "us=8443")
    assert (two.connections, two.ports) == ({"eu": "hubspot", "us": "hubspot"}, {"us": 8443})
    assert plan("--hubspot-port", "8443").ports == {"hubspot": 8443}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--connection", "eu=sugar"], "--connection names sugar; expected some of salesforce"),
        (["--connection", "eu=hubspot", "--connection", "eu=salesforce"], "--connection names one of eu twice"),
        (["--connection", "eu"], "expected <name>=<crm> such as eu=hubspot"),
        (["--connection", "../eu=hubspot"], "expected a-z, 0-9 and _"),
        (["--connection", "salesforce=hubspot"], "not another CRM's name"),
        (["--port", "eu=1"], "expected <name>=<number> of salesforce"),
        (["--port", "hubspot=99999"], "expected <name>=<number>"),
        (["--crossroads", "99999"], "Found --crossroads 99999; expected a port"),
        (["--faults", "absent.toml"], "absent.toml cannot be read"),
        (["--declarations", "absent.toml"], "absent.toml cannot be read"),
    ],
)
def test_what_cannot_be_served_is_one_clear_message(
    options: list[str], told: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--state", str(tmp_path), *options]) == 2
    assert told in capsys.readouterr().err


def test_faults_come_from_a_file_by_crm_or_connection(tmp_path: Path) -> None:
    (tmp_path / "f.toml").write_text(TOML)
    (tmp_path / "f.json").write_text('{"hubspot": [{"action": "limit"}]}')
    read = plan("--connection", "eu=hubspot", "--faults", str(tmp_path / "f.toml")).faults
    assert read["hubspot"] == [{"action": "limit", "kind": "daily"}]
    assert read["eu"] == [{"action": "drop_before", "path": "/crm"}]
    assert plan("--faults", str(tmp_path / "f.json")).faults == {"hubspot": [{"action": "limit"}]}
    for text, told in (("[sugar]\n", "no lists"), ("[[sugar]]\naction='limit'\n", "faults for 'sugar'"), ("x", "read")):
        (tmp_path / "f.toml").write_text(text)
        with pytest.raises(ValueError, match=told):
            plan("--faults", str(tmp_path / "f.toml"))


def test_declarations_are_merged_with_the_built_in_ones(tmp_path: Path) -> None:
    built_in, more = tmp_path / "built_in.toml", tmp_path / "more.toml"
    built_in.write_text('[objects.A]\nlabel="A"\nkey="1"\n[objects.A.fields.x]\ntype="string"\n')
    more.write_text(
        '[eu.objects.A]\nlabel="AA"\n[eu.objects.A.fields.y]\ntype="int"\n[eu.objects.B]\nlabel="B"\n'
        '[hubspot.objects.C]\n'
    )  # fmt: skip
    declared = read_more(more, ["eu", "hubspot"])
    found = load(built_in, merged(declared["hubspot"], declared["eu"]))
    assert {name: list(one.fields) for name, one in found.items()} == {"A": ["x", "y"], "C": [], "B": []}
    assert found["A"].extra == {"label": "AA", "key": "1"}
    for text, told in (
        ("[sugar.objects.A]\n", "declares for 'sugar'"),
        ("[eu.tables.A]\n", "found eu.tables; expected eu.objects"),
        ("[eu.objects.A.fields.x]\nlabel='x'\n", "eu.objects.A.fields.x has no type"),
    ):
        more.write_text(text)
        with pytest.raises(ValueError, match=told):
            read_more(more, ["eu", "hubspot"])


def test_two_of_one_kind_have_their_own_ports_records_and_snapshots(tmp_path: Path) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text('[[us]]\naction = "status"\nstatus = 503\n')
    options = ("--connection", "eu=hubspot", "--connection", "us=hubspot", "--faults", str(faults), "--crossroads", "0")

    with EmulatorProcess(tmp_path / "state", options=options) as process, requests.Session() as http:
        http.trust_env, http.verify = False, process.addresses["ca_bundle"]

        def call(name: str, method: str, path: str, body: Any = None) -> Any:
            url = f"{process.addresses[name]['url']}/__emulator__/{path}"
            return http.request(method, url, json=body, timeout=10).json()

        variables = environment(process.addresses)
        assert {"EU_URL", "US_URL", "EU_TOKEN", "US_TOKEN"} < set(variables)
        assert variables["EU_TOKEN"] != variables["US_TOKEN"] and process.addresses["eu"]["crm"] == "hubspot"
        created = {"object": "contacts", "values": {"email": "a@x.test"}}
        id = call("eu", "POST", "create", created)["id"]
        call("eu", "POST", "snapshots", {"name": "one"})
        call("eu", "POST", "delete", {"object": "contacts", "id": id})
        assert [len(call(name, "GET", "dump?object=contacts")["records"]) for name in ("eu", "us")] == [0, 0]
        call("eu", "POST", "snapshots/restore", {"name": "one"})
        assert call("eu", "GET", "dump?object=contacts")["records"][0]["id"] == id
        assert [one["name"] for one in call("eu", "GET", "snapshots")["snapshots"]] == ["one"]
        assert "no snapshot" in call("us", "POST", "snapshots/restore", {"name": "one"})["error"]
        assert [len(call(name, "GET", "faults")["faults"]) for name in ("eu", "us")] == [0, 1]
        answers = [http.get(f"{process.addresses[name]['url']}/crm/v3/none", timeout=10) for name in ("us", "eu", "us")]
        assert answers[0].status_code == 503 and 503 not in (answers[1].status_code, answers[2].status_code)
        assert call("us", "GET", "faults/log")["log"][0]["action"] == "status"

        proxy = {"https": environment(process.addresses)["EMULATORS_PROXY"]}
        led = http.get("https://api.hubapi.com/__emulator__/find?object=contacts&field=id&value=" + id, proxies=proxy)
        assert led.json()["records"][0]["values"]["email"] == "a@x.test", "the first of its kind"
        for elsewhere in ("https://example.org/", "https://login.salesforce.com/"):
            with pytest.raises(requests.exceptions.ProxyError):
                http.get(elsewhere, proxies=proxy, timeout=10)

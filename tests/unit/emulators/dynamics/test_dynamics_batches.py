"""Send $batch requests to the pretend Dataverse as other clients write them."""

from __future__ import annotations

from uuid import uuid4

import pytest
import requests

from tests.unit.emulators.dynamics.client import KEY, Client


def part(request: str, body: str = "", content_id: str = "", **headers: str) -> str:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    lines += [f"Content-ID: {content_id}"] if content_id else []
    lines += ["", f"{request} HTTP/1.1", "Content-Type: application/json"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\n".join([*lines, "", body, ""])


def change_set(*parts: str) -> str:
    body = "".join(f"--set\n{one}" for one in parts) + "--set--\n"
    return f'Content-Type: multipart/mixed; boundary="set"\n\n{body}'


def send(api: Client, *parts: str, line_end: str = "\n", **headers: str) -> requests.Response:
    body = "".join(f"--b\n{one}" for one in parts) + "--b--\n"
    given = {"Content-Type": 'multipart/mixed; boundary="b"', **{n.replace("_", "-"): v for n, v in headers.items()}}
    return api.session.post(f"{api.root}$batch", data=body.replace("\n", line_end).encode(), headers=given, timeout=10)


def statuses(answer: requests.Response) -> list[int]:
    return [int(line.split()[1]) for line in answer.text.splitlines() if line.startswith("HTTP/1.1 ")]


@pytest.mark.fact("dynamics:batch_line_ends", "dynamics:batch_stops")
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_parts_are_answered_in_order_and_stop_at_the_first_failure(api: Client, line_end: str) -> None:
    good, bad = part("GET /api/data/v9.2/WhoAmI"), part(f"GET {api.root}contacts({uuid4()})")
    answer = send(api, good, bad, good, line_end=line_end)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("multipart/mixed; boundary=batchresponse_")
    assert statuses(answer) == [200, 404]
    assert "\r\n" in answer.text and answer.text.rstrip().endswith("--")


@pytest.mark.fact("dynamics:batch_blanks")
def test_the_address_of_a_part_may_have_blanks_and_letters_of_any_kind(api: Client) -> None:
    name = f"Żak {uuid4()}"
    id = api.create("contacts", lastname=name)
    found = send(api, part(f"GET /api/data/v9.2/contacts?$filter=lastname eq '{name}'&$select=lastname"))
    assert statuses(found) == [200] and id in found.text
    assert send(api, part("GET")).status_code == 400


@pytest.mark.fact("dynamics:batch_continue")
def test_with_continue_on_error_every_part_is_answered(api: Client) -> None:
    good, bad = part("GET WhoAmI"), part("GET contactz")
    answer = send(api, good, bad, good, Prefer="odata.continue-on-error")
    assert (answer.status_code, statuses(answer)) == (200, [200, 404, 200])


def test_each_part_has_its_own_precondition_and_preference(api: Client) -> None:
    key = uuid4()
    target = f"PATCH /api/data/v9.2/contacts({KEY}='{key}')?$select=contactid"
    one = part(target, '{"lastname":"Li"}', If_None_Match="*", Prefer="return=representation")
    answer = send(api, one, one, Prefer="odata.continue-on-error")
    assert statuses(answer) == [201, 412]
    assert '"@odata.etag"' in answer.text and "0x80040237" in answer.text


@pytest.mark.fact("dynamics:change_set", "dynamics:content_id")
def test_a_change_set_succeeds_as_one_and_its_members_may_refer_to_each_other(api: Client) -> None:
    name = f"Set {uuid4()}"[:50]
    answer = send(
        api,
        change_set(
            part("POST accounts", f'{{"name":"{name}"}}', "1"),
            part("POST contacts", f'{{"lastname":"{name}","parentcustomerid_account@odata.bind":"$1"}}', "2"),
            part("PATCH $2", '{"firstname":"Ann"}', "3"),
        ),
    )
    assert (answer.status_code, statuses(answer)) == (200, [204, 204, 204])
    assert "Content-ID: 2" in answer.text and "changesetresponse_" in answer.text
    (account,) = api.get(f"accounts?$filter=name eq '{name}'")["value"]
    (contact,) = api.get(f"contacts?$filter=lastname eq '{name}'")["value"]
    assert (contact["_parentcustomerid_value"], contact["firstname"]) == (account["accountid"], "Ann")


@pytest.mark.fact("dynamics:change_set")
def test_a_failed_change_set_leaves_nothing_behind_and_the_rest_goes_on(api: Client) -> None:
    name = f"Set {uuid4()}"[:50]
    failing = change_set(
        part("POST contacts", f'{{"lastname":"{name}"}}', "1"),
        part("POST contacts", f'{{"lastname":"{name}","nosuch":1}}', "2"),
    )
    unknown = change_set(part("PATCH $9", "{}", "1"))
    after = part("POST contacts", f'{{"lastname":"{name}"}}')
    answer = send(api, failing, unknown, after, Prefer="odata.continue-on-error")
    assert (answer.status_code, statuses(answer)) == (200, [400, 400, 204])
    assert len(api.get(f"contacts?$filter=lastname eq '{name}'")["value"]) == 1


@pytest.mark.fact("dynamics:batch_limits")
def test_what_a_batch_may_not_hold_is_refused_as_a_whole(api: Client) -> None:
    assert send(api, change_set(part("GET WhoAmI"))).status_code == 400
    assert send(api, change_set(change_set(part("POST contacts", "{}")))).status_code == 400
    assert send(api, part("POST $batch")).status_code == 400
    assert send(api, *[part("GET WhoAmI")] * 1001).status_code == 400
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    for body in ("", "--b\nnot a part", "--b\nContent-Type: text/plain\n\nx\n--b--"):
        answer = api.session.post(f"{api.root}$batch", data=body, headers=headers, timeout=10)
        assert answer.json()["error"]["code"] == "0x80048d19"

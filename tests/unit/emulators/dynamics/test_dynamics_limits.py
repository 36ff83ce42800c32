"""What nobody should send is refused, and never an accident of ours: values, depths and sizes beyond all bounds."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.unit.emulators.dynamics.local import Local

CRM = "Microsoft.Dynamics.CRM."
STRANGE = (
    None, "", "x", 0, -1, 1.5, True, [], {}, [1], {"a": 1}, 2**70, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
    "2026-13-01", "--1", "²", "é" * 3000, "\u0000", 1e308,
)  # fmt: skip


@pytest.mark.parametrize("set_name", ["accounts", "contacts", "incidents", "opportunities", "emails", "annotations"])
def test_strange_values_of_all_columns_are_stored_or_refused(here: Local, set_name: str) -> None:
    table = here.front.service.tables.by_set(set_name)
    unset = {column.name: None for column in table.columns.values() if not column.targets}
    assert here.call("POST", set_name, unset).status == (400 if set_name == "incidents" else 204)
    for name in (*unset, *table.navigation, *(f"{one}@odata.bind" for one in table.navigation)):
        for value in STRANGE:
            assert here.call("POST", set_name, {name: value}).status in (204, 400, 404), (name, value)


@pytest.mark.fact("dynamics:states")
def test_null_is_no_state(here: Local) -> None:
    id = here.create("opportunities", name="O", statecode=None, statuscode=None)
    here.done("PATCH", f"opportunities({id})", {"statuscode": 2})
    here.done("PATCH", f"opportunities({id})", {"name": "P", "statecode": None, "statuscode": None})
    row = here.get(f"opportunities({id})")
    assert (row["name"], row["statecode"], row["statuscode"]) == ("P", 0, 2)


@pytest.mark.fact("dynamics:query_limits")
def test_a_query_has_at_most_500_conditions(here: Local) -> None:
    here.create("accounts", name="x")

    def fetch(count: int) -> str:
        conditions = '<condition attribute="name" operator="eq" value="x"/>' * count
        text = f'<fetch><entity name="account"><filter type="or">{conditions}</filter></entity></fetch>'
        return f"accounts?fetchXml={quote(text)}"

    for query in (lambda count: "accounts?$filter=" + " or ".join(["(name eq 'x')"] * count), fetch):
        assert len(here.rows(query(500))) == 1
        assert here.call("GET", query(501)).error == (400, "0x8004430c")


@pytest.mark.parametrize(
    "query",
    [
        "$filter=" + "(" * 500 + "name eq 'x'" + ")" * 500,
        "$filter=" + "not " * 500 + "name eq 'x'",
        "$filter=@a eq 1&@a=@a",
        "$expand=" + "parentaccountid($expand=" * 500 + "x" + ")" * 500,
        "$top=²",
        f"$filter={CRM}LastXDays(PropertyName='createdon',PropertyValue=99999999999)",
        f"$filter={CRM}OlderThanXYears(PropertyName='createdon',PropertyValue=99999)",
        f"$filter={CRM}Between(PropertyName='numberofemployees',PropertyValues=['1','x'])",
        f"fetchXml=<fetch><entity name='account'>{'<filter>' * 500}{'</filter>' * 500}</entity></fetch>",
        f"fetchXml=<fetch page='{'9' * 20}'><entity name='account'/></fetch>",
    ],
)
def test_what_goes_too_deep_or_too_far_is_refused(here: Local, query: str) -> None:
    assert here.call("GET", f"accounts?{query}").status == 400


@pytest.mark.parametrize("address", ["https://[x", "https://elsewhere.example/accounts(x)", "$7"])
def test_an_address_that_is_none_is_refused(here: Local, address: str) -> None:
    given: dict[str, Any] = {"lastname": "Li", "parentcustomerid_account@odata.bind": address}
    assert here.call("POST", "contacts", given).status in (400, 404)
    part = f"--b\r\nContent-Type: application/http\r\n\r\nGET {address} HTTP/1.1\r\n\r\n\r\n--b--"
    headers = {"Content_Type": "multipart/mixed; boundary=b"}
    assert here.call("POST", "$batch", part.encode(), **headers).status in (400, 404)

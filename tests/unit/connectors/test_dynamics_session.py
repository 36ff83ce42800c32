"""Run the connector against the pretend Dataverse: reading, writing, limits, tokens, broken connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import requests

from crm_sync.connectors.dynamics.connector import DynamicsConnector
from crm_sync.emulators.launcher import EmulatorProcess, environment
from crm_sync.errors import BadCredentials, BadSettings, CursorExpired, ErrorClass, LimitReached, Refused
from crm_sync.ports import Lane, Services, Token
from crm_sync.records import Action, Command, Outcome, Page, Status
from crm_sync.settings import Settings
from crm_sync.specs.model import ConnectionSpec, FieldMapping, MappingSpec

CONNECTION = ConnectionSpec(
    name="d365",
    crm="dynamics",
    auth="client_credentials",
    address_env="DYNAMICS_URL",
    secrets_env={
        "authority": "DYNAMICS_AUTHORITY",
        "client_id": "DYNAMICS_CLIENT_ID",
        "client_secret": "DYNAMICS_CLIENT_SECRET",
    },
    mappings="dynamics",
    entities=("account", "contact"),
)
COMMON = {"crm": "dynamics", "version": 1, "stamp_field": "modifiedon", "external_key": "crmsync_hubid"}
ACCOUNT = MappingSpec(
    entity="account",
    object="accounts",
    singular="account",
    id_field="accountid",
    fields=(FieldMapping("name", "name", "text"),),
    **COMMON,  # type: ignore[arg-type]
)
CONTACT = MappingSpec(
    entity="contact",
    object="contacts",
    singular="contact",
    id_field="contactid",
    fields=(
        FieldMapping("first_name", "firstname", "text"),
        FieldMapping("last_name", "lastname", "text"),
        FieldMapping("email_opt_out", "donotbulkemail", "boolean"),
        FieldMapping(
            "account",
            "_parentcustomerid_value",
            "reference",
            bind="parentcustomerid_account",
            target_object="accounts",
        ),
    ),
    **COMMON,  # type: ignore[arg-type]
)


class Ports:
    """All ports in memory; the clock is real, sleeping is only noted."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.pauses: list[float] = []
        self.counted: list[str] = []
        self.stored: Token | None = None
        self.lock = threading.Lock()
        self.services = Services(clock=self, tokens=self, budget=self, journal=self)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def get(self, connection: str) -> Token | None:
        return self.stored

    def put(self, connection: str, token: Token) -> None:
        assert self.lock.locked()
        self.stored = token

    def forget(self, connection: str) -> None:
        self.stored = None

    @contextmanager
    def refreshing(self, connection: str) -> Iterator[None]:
        with self.lock:
            yield

    def acquire(self, connection: str, lane: Lane, calls: int = 1) -> None:
        assert connection == "d365"

    def pause(self, connection: str, seconds: float, reason: str) -> None:
        self.pauses.append(seconds)

    def observe(self, connection: str, *, limit: int | None, remaining: int | None) -> None:
        raise AssertionError("Dataverse tells no daily quota")

    def call(self, connection: str, operation: str, *, ok: bool) -> None:
        self.counted.append(operation)

    def operation(self, connection: str, operation: str, result: str, detail: str = "") -> None:
        assert "secret" not in detail


class Environment:
    """The emulator, with its control API."""

    def __init__(self, process: EmulatorProcess) -> None:
        self.variables = environment(process.addresses)
        self.url = self.variables["DYNAMICS_URL"]
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = self.variables["CRM_SYNC_CA_BUNDLE"]

    def control(self, path: str, body: Any = None, method: str = "POST", **query: str) -> Any:
        answer = self._session.request(method, f"{self.url}/__emulator__/{path}", json=body, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, path: str, action: str, **further: Any) -> None:
        self.control("faults", [{"path": path, "action": action, **further}])

    def find(self, field: str, value: str, object: str = "contact") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("find", None, "GET", object=object, field=field, value=value)[
            "records"
        ]
        return found

    def close(self) -> None:
        self._session.close()


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    with EmulatorProcess(tmp_path_factory.mktemp("dynamics"), only=("dynamics",)) as running:
        yield running


@pytest.fixture(scope="module")
def provisioned(process: EmulatorProcess) -> None:
    connector, _ = connect(environment(process.addresses))
    for mapping in (ACCOUNT, CONTACT):
        connector.provision(mapping, apply=True)
    connector.close()


@pytest.fixture
def crm(process: EmulatorProcess, provisioned: None) -> Iterator[Environment]:
    made = Environment(process)
    made.control("faults", method="DELETE")
    made.control("knobs", {"limits": False, "page_rows": 5000})
    yield made
    made.close()


def connect(variables: Mapping[str, str]) -> tuple[DynamicsConnector, Ports]:
    ports = Ports()
    return DynamicsConnector(CONNECTION, ports.services, Settings.load(variables)), ports


@pytest.fixture
def connected(crm: Environment) -> Iterator[tuple[DynamicsConnector, Ports]]:
    connector, ports = connect(crm.variables)
    yield connector, ports
    connector.close()


@pytest.fixture
def connector(connected: tuple[DynamicsConnector, Ports]) -> DynamicsConnector:
    return connected[0]


@pytest.fixture
def ports(connected: tuple[DynamicsConnector, Ports]) -> Ports:
    return connected[1]


def create(hub_id: UUID, number: int = 1, account: str | None = None, **values: Any) -> Command:
    references = {} if account is None else {"_parentcustomerid_value": account}
    return Command(number, Action.CREATE, hub_id, None, values, references)


def update(record_id: str, version: str | None, number: int = 1, **values: Any) -> Command:
    return Command(number, Action.UPDATE, uuid4(), record_id, values, {}, version)


def write(connector: DynamicsConnector, *commands: Command, mapping: MappingSpec = CONTACT) -> list[Outcome]:
    return connector.write(mapping, commands, Lane.OUTBOUND)


def made(connector: DynamicsConnector, **values: Any) -> Outcome:
    (outcome,) = write(connector, create(uuid4(), **values))
    assert outcome.status is Status.DELIVERED
    return outcome


def watermark(pages: Sequence[Page]) -> str:
    assert all(page.watermark is None for page in pages[:-1])
    assert pages[-1].watermark is not None
    return pages[-1].watermark


def changes(connector: DynamicsConnector, since: str | None, resume: str | None = None) -> list[Page]:
    return list(connector.changes(CONTACT, since, resume, Lane.INCREMENTAL))


def ids(pages: Sequence[Page]) -> list[str]:
    return [one for page in pages for one in page.batch.record_ids]


# -- provisioning and describing


def test_provisioning_twice_changes_nothing_more(connector: DynamicsConnector) -> None:
    steps = connector.provision(CONTACT, apply=True)
    assert [step.what for step in steps] == [
        "column crmsync_hubid",
        "alternate key on crmsync_hubid",
        "change tracking",
    ]
    assert not any(step.needed for step in steps)


def test_a_fresh_environment_lacks_everything_until_applied(tmp_path: Path) -> None:
    with EmulatorProcess(tmp_path, only=("dynamics",)) as running:
        connector, _ = connect(environment(running.addresses))
        assert all(step.needed for step in connector.provision(ACCOUNT, apply=False))
        with pytest.raises(Refused):
            list(connector.changes(ACCOUNT, None, None, Lane.INCREMENTAL))
        connector.provision(ACCOUNT, apply=True)
        assert not any(step.needed for step in connector.provision(ACCOUNT, apply=False))
        assert len(list(connector.changes(ACCOUNT, None, None, Lane.INCREMENTAL))) == 1
        connector.close()


def test_the_description_knows_lengths_options_and_lookups(connector: DynamicsConnector) -> None:
    fields = connector.describe(CONTACT).fields
    assert fields["jobtitle"].max_length == 100
    assert fields["gendercode"].options == ("1", "2")
    assert fields["_parentcustomerid_value"].type == "Customer"
    assert fields["crmsync_hubid"].unique and not fields["fullname"].writable


# -- reading


def test_nothing_changed_costs_one_call(connector: DynamicsConnector) -> None:
    since = watermark(changes(connector, None))
    (page,) = changes(connector, since)
    assert (len(page.batch), page.calls) == (0, 1)
    assert watermark([page])


def test_edits_creations_and_deletions_all_show(connector: DynamicsConnector, crm: Environment) -> None:
    edited, deleted = made(connector, lastname="Ek").record_id, made(connector, lastname="Oz").record_id
    since = watermark(changes(connector, None))
    crm.control("edit", {"object": "contact", "id": edited, "values": {"firstname": "Eva"}})
    crm.control("delete", {"object": "contact", "id": deleted})
    created = crm.control("create", {"object": "contact", "values": {"lastname": "Ny"}})["id"]
    (page,) = changes(connector, since)
    shown = dict(zip(page.batch.record_ids, page.batch.deleted, strict=True))
    assert shown == {edited: False, deleted: True, created: False}
    at = page.batch.record_ids.index(str(edited))
    assert page.batch.values["firstname"][at] == "Eva"
    assert changes(connector, watermark([page]))[0].batch.record_ids == []


def test_a_merge_shows_the_loser_and_where_it_went(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    winner, loser = made(connector, lastname="Win").record_id, made(connector, lastname="Lose").record_id
    since = watermark(changes(connector, None))
    token = ports.stored
    assert token is not None
    kind = "Microsoft.Dynamics.CRM.contact"
    body = {
        "Target": {"contactid": winner, "@odata.type": kind},
        "Subordinate": {"contactid": loser, "@odata.type": kind},
        "UpdateContent": {"@odata.type": kind, "firstname": "Both"},
        "PerformParentingChecks": False,
    }
    answer = requests.post(
        f"{crm.url}/api/data/v9.2/Merge",
        json=body,
        headers={"Authorization": f"Bearer {token.access}"},
        verify=crm.variables["CRM_SYNC_CA_BUNDLE"],
        timeout=10,
    )
    assert answer.status_code == 204
    (page,) = changes(connector, since)
    at = page.batch.record_ids.index(str(loser))
    assert (page.batch.deleted[at], page.batch.merged_into[at]) == (True, winner)


def test_a_long_read_pages_resumes_and_loses_no_change_made_meanwhile(
    connector: DynamicsConnector, crm: Environment
) -> None:
    for number in range(12):
        made(connector, lastname=f"Page {number}")
    everything = set(ids(changes(connector, None)))
    crm.control("knobs", {"page_rows": 5})
    reading = connector.changes(CONTACT, None, None, Lane.BACKFILL)
    first = next(reading)
    assert len(first.batch) == 5 and first.cursor is not None and first.watermark is None
    early = first.batch.record_ids[0]
    crm.control("edit", {"object": "contact", "id": early, "values": {"firstname": "Meanwhile"}})
    rest = changes(connector, None, resume=first.cursor)
    assert set(ids([first, *rest])) == everything
    late = [page for page in rest if early in page.batch.record_ids]
    assert late, "an edit behind the read must come with it or with the next"
    assert rest[-1].cursor is None and watermark(rest)
    for page in rest[:-1]:
        assert page.cursor is not None
    again = changes(connector, None, resume=rest[-2].cursor)
    assert watermark(again) == watermark(rest)


def test_an_incremental_read_pages_and_resumes_too(connector: DynamicsConnector, crm: Environment) -> None:
    since = watermark(changes(connector, None))
    new = {made(connector, lastname=f"New {number}").record_id for number in range(7)}
    crm.control("knobs", {"page_rows": 3})
    first = next(connector.changes(CONTACT, since, None, Lane.INCREMENTAL))
    rest = changes(connector, since, resume=first.cursor)
    assert set(ids([first, *rest])) == new
    assert changes(connector, watermark(rest))[0].batch.record_ids == []


def test_a_window_reads_by_stamp_and_gives_no_watermark(connector: DynamicsConnector, crm: Environment) -> None:
    crm.control("knobs", {"page_rows": 4})
    all_of_them = set(ids(changes(connector, None)))
    pages = list(connector.snapshot(CONTACT, None, Lane.BACKFILL, ("2020-01-01", "2100-01-01")))
    assert set(ids(pages)) == all_of_them and all(page.watermark is None for page in pages)
    resumed = list(connector.snapshot(CONTACT, pages[0].cursor, Lane.BACKFILL, ("2020-01-01", "2100-01-01")))
    assert ids(resumed) == ids(pages[1:])
    (empty,) = connector.snapshot(CONTACT, None, Lane.BACKFILL, ("2020-01-01", "2020-01-02"))
    assert len(empty.batch) == 0


def test_an_expired_token_asks_for_a_full_read(connector: DynamicsConnector, crm: Environment) -> None:
    since = watermark(changes(connector, None))
    crm.control("knobs", {"delta_seconds": -1})
    with pytest.raises(CursorExpired):
        changes(connector, since)
    crm.control("knobs", {"delta_seconds": 604800})
    assert watermark(list(connector.snapshot(CONTACT, None, Lane.BACKFILL)))


def test_a_stream_of_other_columns_or_no_stream_at_all_asks_for_a_full_read(connector: DynamicsConnector) -> None:
    other = watermark(list(connector.changes(ACCOUNT, None, None, Lane.INCREMENTAL)))
    for text in (other, "nonsense", '{"select": 1}'):
        with pytest.raises(CursorExpired):
            changes(connector, text)


def test_a_token_never_travels_to_another_host(connector: DynamicsConnector, ports: Ports) -> None:
    since = watermark(changes(connector, None))
    before = len(ports.counted)
    with pytest.raises(CursorExpired):
        changes(connector, since.replace("localhost", "elsewhere.example"))
    assert len(ports.counted) == before


def test_fetching_tells_what_is_not_there(connector: DynamicsConnector) -> None:
    hub_id = uuid4()
    (outcome,) = write(connector, create(hub_id, lastname="Here", donotbulkemail=True))
    missing, never = str(uuid4()), "not-a-guid"
    fetched = connector.fetch(CONTACT, [missing, str(outcome.record_id).upper(), never], Lane.NOTICE)
    assert fetched.record_ids == [missing, outcome.record_id, never]
    assert list(fetched.deleted) == [True, False, True]
    found = connector.fetch_by_key(CONTACT, [str(uuid4()), str(hub_id)], Lane.NOTICE)
    assert (found.record_ids, found.hub_ids) == ([outcome.record_id], [str(hub_id)])
    assert (found.versions, found.values["donotbulkemail"][0]) == ([outcome.version], True)


def test_many_ids_are_fetched_within_the_length_of_an_address(connector: DynamicsConnector, ports: Ports) -> None:
    before = len(ports.counted)
    assert connector.fetch(CONTACT, [str(uuid4()) for _ in range(301)], Lane.RECONCILE).deleted.all()
    assert ports.counted[before:].count("fetch contacts") == 2


# -- writing


def test_a_bad_command_fails_beside_good_neighbours(connector: DynamicsConnector) -> None:
    outcomes = write(
        connector,
        create(uuid4(), 1, lastname="Good"),
        create(uuid4(), 2, lastname="x" * 51),
        create(uuid4(), 3, lastname="Good", account=str(uuid4())),
        create(uuid4(), 4, lastname="Good", unknown="x"),
        create(uuid4(), 5, lastname="Good"),
    )
    assert [one.command_id for one in outcomes] == [1, 2, 3, 4, 5]
    assert [one.status is Status.DELIVERED for one in outcomes] == [True, False, False, False, True]
    assert [one.error_class for one in outcomes[1:4]] == [
        ErrorClass.VALIDATION,
        ErrorClass.REFERENCE,
        ErrorClass.VALIDATION,
    ]


def test_a_create_never_overwrites(connector: DynamicsConnector, crm: Environment) -> None:
    hub_id = uuid4()
    first, second = write(connector, create(hub_id, 1, lastname="First"), create(hub_id, 2, lastname="Second"))
    assert (first.status, second.status) == (Status.DELIVERED, Status.CHANGED)
    (record,) = crm.find("crmsync_hubid", str(hub_id))
    assert record["values"]["lastname"] == "First"


def test_our_own_version_is_in_the_receipt_and_the_next_update_may_build_on_it(connector: DynamicsConnector) -> None:
    created = made(connector, lastname="Li")
    (updated,) = write(connector, update(str(created.record_id), created.version, firstname="Ann"))
    assert updated.status is Status.DELIVERED and updated.version != created.version
    assert connector.fetch(CONTACT, [str(created.record_id)], Lane.NOTICE).versions == [updated.version]


def test_a_stale_update_and_one_of_a_deleted_row_change_nothing(connector: DynamicsConnector, crm: Environment) -> None:
    stale, gone = made(connector, lastname="Stale"), made(connector, lastname="Gone")
    crm.control("edit", {"object": "contact", "id": stale.record_id, "values": {"lastname": "Edited"}})
    crm.control("delete", {"object": "contact", "id": gone.record_id})
    outcomes = write(
        connector,
        update(str(stale.record_id), stale.version, lastname="Blind"),
        update(str(gone.record_id), gone.version, lastname="Blind"),
        update(str(gone.record_id), None, lastname="Blind"),
    )
    assert [one.status for one in outcomes] == [Status.CHANGED] * 3
    assert crm.find("lastname", "Blind") == []


def test_a_reference_is_set_and_cleared(connector: DynamicsConnector) -> None:
    (account,) = write(connector, create(uuid4(), name="Acme"), mapping=ACCOUNT)
    (contact,) = write(connector, create(uuid4(), lastname="Li", account=account.record_id))
    assert contact.record_id is not None
    read = connector.fetch(CONTACT, [contact.record_id], Lane.NOTICE)
    assert read.values["_parentcustomerid_value"][0] == account.record_id
    clear = {"_parentcustomerid_value": None}
    write(connector, Command(1, Action.UPDATE, uuid4(), contact.record_id, {}, clear, contact.version))
    read = connector.fetch(CONTACT, [contact.record_id], Lane.NOTICE)
    assert read.values["_parentcustomerid_value"][0] is None


def test_a_parent_that_is_a_person_is_no_account(connector: DynamicsConnector, crm: Environment) -> None:
    parent = made(connector, lastname="Parent").record_id
    values = {"lastname": "Child", "parentcustomerid_contact": parent}
    child = crm.control("create", {"object": "contact", "values": values})["id"]
    assert connector.fetch(CONTACT, [child], Lane.NOTICE).values["_parentcustomerid_value"][0] is None


def test_more_than_a_hundred_commands_take_two_calls(connector: DynamicsConnector, ports: Ports) -> None:
    before = len(ports.counted)
    outcomes = write(connector, *(create(uuid4(), number, lastname=f"Bulk {number}") for number in range(101)))
    assert [one.command_id for one in outcomes] == list(range(101))
    assert all(one.status is Status.DELIVERED for one in outcomes)
    assert ports.counted[before:].count("write contacts") == 2


# -- what goes wrong on the way


def test_a_connection_lost_after_the_write_is_unknown_and_makes_no_duplicate(
    connector: DynamicsConnector, crm: Environment
) -> None:
    hub_id = uuid4()
    crm.fault("batch$", "drop_after")
    (lost,) = write(connector, create(hub_id, lastname="Lost"))
    assert lost.status is Status.UNKNOWN
    found = connector.fetch_by_key(CONTACT, [str(hub_id)], Lane.OUTBOUND)
    assert len(found) == 1
    (again,) = write(connector, create(hub_id, lastname="Lost"))
    assert again.status is Status.CHANGED
    assert len(crm.find("crmsync_hubid", str(hub_id))) == 1


def test_a_connection_lost_stops_the_calls_behind_it(connector: DynamicsConnector, crm: Environment) -> None:
    crm.fault("batch$", "drop_before")
    outcomes = write(connector, *(create(uuid4(), number, lastname="Li") for number in range(150)))
    assert [one.status for one in outcomes] == [Status.UNKNOWN] * 100 + [Status.RETRY] * 50


def test_a_read_survives_broken_connections_and_server_trouble(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    crm.fault("/contacts", "drop_before")
    crm.fault("/contacts", "status", status=503, headers={"Retry-After": "2"})
    (page,) = changes(connector, None)
    assert page.calls >= 3 and len(ports.slept) == 2 and ports.slept[1] >= 2


def test_a_short_limit_is_waited_for_and_a_long_one_ends_the_read(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    body = {"error": {"code": "0x80072322", "message": "Number of requests exceeded the limit of 6000."}}
    crm.fault("/contacts", "status", status=429, headers={"Retry-After": "4"}, body=body)
    assert watermark(changes(connector, None))
    assert ports.pauses == [4.0] and ports.slept[0] >= 4
    crm.fault("/contacts", "status", status=429, headers={"Retry-After": "240"}, body=body)
    with pytest.raises(LimitReached) as caught:
        changes(connector, None)
    assert caught.value.retry_after_seconds == 240


def test_a_limit_while_writing_leaves_the_commands_for_later(connector: DynamicsConnector, crm: Environment) -> None:
    body = {"error": {"code": "0x80072322", "message": "m"}}
    crm.fault("batch$", "status", status=429, headers={"Retry-After": "240"}, body=body)
    (outcome,) = write(connector, create(uuid4(), lastname="Li"))
    assert (outcome.status, outcome.error_class) == (Status.RETRY, ErrorClass.LIMIT_BURST)
    assert outcome.retry_after_seconds == 240


def test_the_limits_of_the_crm_itself_are_met_and_respected(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    changes(connector, None)
    crm.control("knobs", {"limits": True, "window_requests": 2, "window_seconds": 200})
    try:
        changes(connector, None)
        changes(connector, None)
        with pytest.raises(LimitReached):
            changes(connector, None)
    finally:
        crm.control("knobs", {"limits": False, "window_requests": 6000, "window_seconds": 300})
    assert ports.pauses and ports.pauses[0] > 60


def test_a_call_refused_for_its_content_is_halved_until_the_culprit_stands_alone(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    body = {"error": {"code": "0x8004418A", "message": "too large"}}
    for skip in (0, 0, 0):
        crm.fault("batch$", "status", status=413, body=body, skip=skip)
    outcomes = write(connector, *(create(uuid4(), number, lastname="Li") for number in range(4)))
    assert [one.status for one in outcomes] == [Status.REFUSED] + [Status.DELIVERED] * 3
    assert ports.counted.count("write contacts") == 5


# -- tokens


def test_one_token_serves_all_calls_and_a_refused_one_is_renewed_once(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    changes(connector, None)
    changes(connector, None)
    assert ports.counted.count("token") == 1
    crm.control("tokens/expire")
    assert watermark(changes(connector, None))
    assert ports.counted.count("token") == 2


def test_a_token_refused_twice_is_a_matter_of_credentials(connector: DynamicsConnector, crm: Environment) -> None:
    crm.fault("/contacts", "status", status=401, times=2)
    with pytest.raises(BadCredentials):
        changes(connector, None)


@pytest.mark.parametrize("variable", ["DYNAMICS_CLIENT_SECRET", "DYNAMICS_CLIENT_ID"])
def test_wrong_credentials_are_told_with_the_variables_and_without_the_secret(crm: Environment, variable: str) -> None:
    connector, ports = connect({**crm.variables, variable: "wrong-value"})
    with pytest.raises(BadCredentials) as caught:
        changes(connector, None)
    assert "DYNAMICS_CLIENT_SECRET" in str(caught.value) and "wrong-value" not in str(caught.value)
    assert ports.stored is None
    with pytest.raises(BadCredentials):
        write(connector, create(uuid4(), lastname="Li"))
    connector.close()


def test_a_wrong_tenant_names_the_authority(crm: Environment) -> None:
    connector, _ = connect({**crm.variables, "DYNAMICS_AUTHORITY": f"{crm.url}/no-such-tenant"})
    with pytest.raises(BadSettings, match="DYNAMICS_AUTHORITY"):
        changes(connector, None)
    connector.close()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("DYNAMICS_AUTHORITY", "http://localhost/x"), ("DYNAMICS_CLIENT_ID", ""), ("DYNAMICS_URL", "localhost")],
)
def test_settings_that_cannot_be_right_are_told_before_the_first_call(
    crm: Environment, variable: str, value: str
) -> None:
    with pytest.raises(BadSettings, match=variable):
        connect({**crm.variables, variable: value})


def test_the_token_endpoint_may_have_trouble_for_a_moment(
    connector: DynamicsConnector, crm: Environment, ports: Ports
) -> None:
    crm.fault("/token$", "status", status=503)
    crm.fault("/token$", "drop_before")
    assert watermark(changes(connector, None))
    assert ports.counted.count("token") == 3

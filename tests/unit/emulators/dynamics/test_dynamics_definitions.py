"""Read and change definitions: tables, columns, keys, relationships, choices, and the whole of it as CSDL."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.unit.emulators.dynamics.local import Local

EDM = "{http://docs.oasis-open.org/odata/ns/edm}"
CONTACT = "EntityDefinitions(LogicalName='contact')"
CAST = "Microsoft.Dynamics.CRM."
TABLES = {
    "account": ("accounts", "accountid", 1),
    "contact": ("contacts", "contactid", 2),
    "lead": ("leads", "leadid", 4),
    "incident": ("incidents", "incidentid", 112),
    "opportunity": ("opportunities", "opportunityid", 3),
    "task": ("tasks", "activityid", 4212),
    "phonecall": ("phonecalls", "activityid", 4210),
    "email": ("emails", "activityid", 4202),
    "appointment": ("appointments", "activityid", 4201),
    "annotation": ("annotations", "annotationid", 5),
    "systemuser": ("systemusers", "systemuserid", 8),
}


def label(text: str) -> dict[str, Any]:
    return {"LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}


def column(name: str, kind: str, **more: Any) -> dict[str, Any]:
    needed = {"DisplayName": label(name), "RequiredLevel": {"Value": "None"}}
    return {"@odata.type": f"{CAST}{kind}AttributeMetadata", "SchemaName": name, **needed, **more}


@pytest.mark.fact("dynamics:tables", "dynamics:activity_key")
@pytest.mark.parametrize("logical", TABLES)
def test_every_table_has_its_names_and_its_set(shared: Local, logical: str) -> None:
    set_name, id, code = TABLES[logical]
    names = "EntitySetName,PrimaryIdAttribute,ObjectTypeCode,IsActivity"
    row = shared.get(f"EntityDefinitions(LogicalName='{logical}')?$select={names}")
    assert (row["EntitySetName"], row["PrimaryIdAttribute"], row["ObjectTypeCode"]) == (set_name, id, code)
    assert row["IsActivity"] == (id == "activityid")
    assert shared.get(f"EntityDefinitions({row['MetadataId']})")["LogicalName"] == logical
    assert isinstance(shared.rows(f"{set_name}?$top=1"), list)
    assert {"name": set_name, "kind": "EntitySet", "url": set_name} in shared.rows("")


@pytest.mark.fact("dynamics:entity_definitions", "dynamics:definitions_never_paged")
def test_tables_are_found_and_expanded(shared: Local) -> None:
    rows = shared.rows("EntityDefinitions?$select=EntitySetName,LogicalName", Prefer="odata.maxpagesize=2")
    assert {tuple(row) for row in rows} == {("MetadataId", "LogicalName", "EntitySetName")} and len(rows) > 15
    found = shared.rows("EntityDefinitions?$select=LogicalName&$filter=IsActivity eq true and LogicalName ne 'task'")
    assert {row["LogicalName"] for row in found} == {"phonecall", "email", "appointment", "incidentresolution"}
    picklists = f"AttributeType eq {CAST}AttributeTypeCode'Picklist'"
    expand = f"$expand=Attributes($select=LogicalName;$filter={picklists}),Keys"
    row = shared.get(f"{CONTACT}?$select=LogicalName&{expand}")
    assert "gendercode" in {one["LogicalName"] for one in row["Attributes"]} and row["Keys"] == []
    assert shared.call("GET", "EntityDefinitions(LogicalName='nosuch')").error == (404, "0x80060888")
    assert shared.call("GET", "EntityDefinitions?$select=NoSuch").error == (400, "0x80060888")
    assert shared.call("GET", "EntityDefinitions?$orderby=LogicalName").status == 501


@pytest.mark.fact("dynamics:attribute_shapes", "dynamics:attribute_casts")
def test_columns_show_their_types(shared: Local) -> None:
    rows = {row["LogicalName"]: row for row in shared.rows(f"{CONTACT}/Attributes")}
    assert rows["parentcustomerid"]["AttributeType"] == "Customer"
    assert rows["parentcustomerid"]["Targets"] == ["account", "contact"]
    assert rows["birthdate"]["DateTimeBehavior"] == {"Value": "DateOnly"}
    assert (rows["lastname"]["MaxLength"], rows["fullname"]["IsValidForCreate"]) == (50, False)
    assert rows["createdon"]["IsValidForUpdate"] is False and rows["contactid"]["IsPrimaryId"] is True
    assert rows["ownerid"]["AttributeType"] == "Owner" and "OptionSet" not in rows["gendercode"]
    path = f"{CONTACT}/Attributes(LogicalName='statuscode')/{CAST}StatusAttributeMetadata"
    status = shared.get(f"{path}?$select=LogicalName&$expand=OptionSet($select=Options),GlobalOptionSet")
    assert [(one["Value"], one["State"]) for one in status["OptionSet"]["Options"]] == [(1, 0), (2, 1)]
    assert status["GlobalOptionSet"] is None
    assert shared.get(f"{path}/OptionSet")["OptionSetType"] == "Status"
    flags = shared.rows(f"{CONTACT}/Attributes/{CAST}BooleanAttributeMetadata?$select=LogicalName&$expand=OptionSet")
    assert {one["OptionSet"]["TrueOption"]["Value"] for one in flags} == {1}
    lookups = shared.rows(f"{CONTACT}/Attributes/{CAST}LookupAttributeMetadata?$select=LogicalName,Targets")
    assert {"LogicalName": "ownerid", "Targets": ["systemuser"]}.items() <= next(
        one for one in lookups if one["LogicalName"] == "ownerid"
    ).items()
    filter = "$filter=AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Money'"
    money = shared.rows(f"EntityDefinitions(LogicalName='account')/Attributes?$select=LogicalName&{filter}")
    names = {name + end for name in ("revenue", "creditlimit", "marketcap") for end in ("", "_base")}
    assert {one["LogicalName"] for one in money} == names
    assert shared.call("GET", f"{CONTACT}/Attributes(LogicalName='nosuch')").error == (404, "0x80060888")


@pytest.mark.fact("dynamics:attribute_create")
def test_columns_of_every_kind_are_created_and_used(here: Local) -> None:
    options = {"Options": [{"Value": 10, "Label": label("Ten")}, {"Value": 20, "Label": label("Twenty")}]}
    kinds: list[tuple[dict[str, Any], Any, Any]] = [
        (column("new_Text", "String", MaxLength=5, FormatName={"Value": "Email"}), "abc", "abcdef"),
        (column("new_Long", "Memo", MaxLength=50), "x", 5),
        (column("new_Flag", "Boolean", DefaultValue=True), False, "no"),
        (column("new_Day", "DateTime", DateTimeBehavior={"Value": "DateOnly"}), "2026-01-02", "x"),
        (column("new_Count", "Integer", MinValue=0, MaxValue=9), 9, 10),
        (column("new_Rate", "Decimal", MinValue=0, MaxValue=1), 0.5, 1.5),
        (column("new_Sum", "Money"), 5.25, "5"),
        (column("new_Kind", "Picklist", OptionSet=options), 20, 30),
        (column("new_Kinds", "MultiSelectPicklist", OptionSet=options), "10,20", "10,30"),
    ]
    for body, _, _ in kinds:
        assert here.done("POST", f"{CONTACT}/Attributes", body).headers["OData-EntityId"].count("Attributes(") == 1
        assert here.call("POST", f"{CONTACT}/Attributes", body).error == (400, "0x80047013")
    good = {body["SchemaName"].lower(): value for body, value, _ in kinds}
    id = here.create("contacts", lastname="Li", **good)
    row = here.get(f"contacts({id})", Prefer='odata.include-annotations="*"')
    assert {name: row[name] for name in good} == good
    assert row["new_kinds@OData.Community.Display.V1.FormattedValue"] == "Ten; Twenty"
    for body, _, bad in kinds:
        assert here.call("PATCH", f"contacts({id})", {body["SchemaName"].lower(): bad}).error[0] == 400
    contains = "Microsoft.Dynamics.CRM.ContainValues(PropertyName='new_kinds',PropertyValues=['20'])"
    assert len(here.rows(f"contacts?$filter={contains}")) == 1
    assert here.call("POST", f"{CONTACT}/Attributes", column("Text", "String", MaxLength=5)).error[0] == 400
    assert here.call("POST", f"{CONTACT}/Attributes", column("new_T", "String", MaxLength=5000)).error[0] == 400
    assert here.call("POST", f"{CONTACT}/Attributes", column("new_Pic", "Image")).status == 501
    assert (
        here.call("POST", f"{CONTACT}/Attributes", {**column("new_T", "Memo", MaxLength=5), "DisplayName": None}).error[
            0
        ]
        == 400
    )


@pytest.mark.fact("dynamics:global_choices")
def test_a_choice_is_shared(here: Local) -> None:
    body = {"Name": "new_size", "DisplayName": label("Size"), "Options": [{"Value": 1, "Label": label("S")}]}
    where = here.done("POST", "GlobalOptionSetDefinitions", body).headers["OData-EntityId"]
    id = where.rpartition("(")[2].rstrip(")")
    bind = {"GlobalOptionSet@odata.bind": f"/GlobalOptionSetDefinitions({id})"}
    here.done("POST", f"{CONTACT}/Attributes", column("new_Size", "Picklist", **bind))
    path = f"{CONTACT}/Attributes(LogicalName='new_size')/{CAST}PicklistAttributeMetadata"
    shown = here.get(f"{path}?$select=LogicalName&$expand=OptionSet,GlobalOptionSet($select=Name)")
    assert (shown["OptionSet"], shown["GlobalOptionSet"]["Name"]) == (None, "new_size")
    assert here.get("GlobalOptionSetDefinitions(Name='new_size')")["Options"][0]["Value"] == 1
    assert [one["Name"] for one in here.rows("GlobalOptionSetDefinitions?$select=Name")] == ["new_size"]
    assert here.call("GET", "GlobalOptionSetDefinitions(Name='nosuch')").error[0] == 404
    assert here.call("POST", "GlobalOptionSetDefinitions", body).error == (400, "0x80047013")


@pytest.mark.fact("dynamics:relationship_metadata")
def test_relationships_are_told_from_both_ends(shared: Local) -> None:
    many = {
        row["SchemaName"]: row for row in shared.rows("EntityDefinitions(LogicalName='account')/OneToManyRelationships")
    }
    one = many["contact_customer_accounts"]
    assert (one["ReferencingEntity"], one["ReferencingAttribute"]) == ("contact", "parentcustomerid")
    assert one["ReferencingEntityNavigationPropertyName"] == "parentcustomerid_account"
    assert many["Account_Tasks"]["CascadeConfiguration"]["Delete"] == "Cascade"
    single = shared.rows(f"{CONTACT}/ManyToOneRelationships?$select=SchemaName,ReferencedEntity")
    assert {"contact_customer_accounts", "contact_customer_contacts"} <= {row["SchemaName"] for row in single}
    (link,) = shared.rows(f"{CONTACT}/ManyToManyRelationships")
    assert (link["IntersectEntityName"], link["Entity2LogicalName"]) == ("contactleads", "lead")
    assert shared.get("RelationshipDefinitions(SchemaName='Account_Tasks')")["ReferencedEntity"] == "account"
    kinds = shared.rows(f"RelationshipDefinitions/{CAST}ManyToManyRelationshipMetadata?$select=SchemaName")
    assert {row["SchemaName"] for row in kinds} == {"contactleads_association", "accountleads_association"}


@pytest.mark.fact("dynamics:relationship_create")
def test_relationships_are_created_and_followed(here: Local) -> None:
    lookup = {"SchemaName": "new_HomeId", "DisplayName": label("Home")}
    body = {
        "@odata.type": f"{CAST}OneToManyRelationshipMetadata",
        "SchemaName": "new_account_contact_home",
        "ReferencedEntity": "account",
        "ReferencingEntity": "contact",
        "Lookup": lookup,
    }
    here.done("POST", "RelationshipDefinitions", body)
    assert here.call("POST", "RelationshipDefinitions", body).error == (400, "0x80047013")
    account = here.create("accounts", name="Home")
    id = here.create("contacts", lastname="Li", **{"new_HomeId@odata.bind": f"/accounts({account})"})
    assert here.get(f"contacts({id})?$select=_new_homeid_value")["_new_homeid_value"] == account
    assert [row["contactid"] for row in here.rows(f"accounts({account})/new_account_contact_home")] == [id]
    link = {
        "@odata.type": f"{CAST}ManyToManyRelationshipMetadata",
        "SchemaName": "new_contact_incident",
        "Entity1LogicalName": "contact",
        "Entity2LogicalName": "incident",
        "IntersectEntityName": "new_contact_incident",
    }
    here.done("POST", "RelationshipDefinitions", link)
    case = here.create("incidents", title="T", **{"customerid_account@odata.bind": f"/accounts({account})"})
    here.done("POST", f"contacts({id})/new_contact_incident/$ref", {"@odata.id": f"incidents({case})"})
    assert len(here.rows(f"incidents({case})/new_contact_incident")) == 1
    assert here.call("POST", "RelationshipDefinitions", {**link, "SchemaName": "x"}).error[0] == 400
    saved = here.settings.state_dir / "saved.sqlite"
    here.state.save(saved)
    here.done("POST", "RelationshipDefinitions", {**link, "SchemaName": "new_after"})
    here.state.restore(saved)
    assert here.call("GET", f"contacts({id})/new_after").error[0] == 404
    assert len(here.rows(f"incidents({case})/new_contact_incident")) == 1


@pytest.mark.fact("dynamics:keys_columns", "dynamics:keys_index")
def test_a_key_of_several_columns_addresses_and_stays_unique(here: Local) -> None:
    first = here.create("contacts", employeeid="7", governmentid="DE")
    body = {"SchemaName": "new_person", "KeyAttributes": ["employeeid", "governmentid"], "DisplayName": label("Person")}
    here.done("POST", f"{CONTACT}/Keys", body)
    statuses = [here.rows(f"{CONTACT}/Keys")[0]["EntityKeyIndexStatus"] for _ in range(3)]
    assert statuses == ["InProgress", "Active", "Active"]
    target = "contacts(employeeid='7',governmentid='DE')"
    assert here.get(target)["contactid"] == first
    assert here.call("POST", "contacts", {"employeeid": "7", "governmentid": "de"}).error == (412, "0x80060892")
    second = here.create("contacts", employeeid="7", governmentid="FR")
    assert here.call("PATCH", f"contacts({second})", {"governmentid": "DE"}).error == (412, "0x80060892")
    made = here.done("PATCH", "contacts(employeeid='9',governmentid='IT')", {"lastname": "Li"})
    assert made.headers["OData-EntityId"].endswith("contacts(employeeid='9',governmentid='IT')")
    assert here.get("contacts(governmentid='IT',employeeid='9')")["lastname"] == "Li"
    assert here.call("GET", "contacts(employeeid='7')").error == (400, "0x80060888")
    assert here.call("GET", "contacts(employeeid='7',governmentid='XX')").error == (404, "0x80060891")


@pytest.mark.fact("dynamics:keys_columns")
def test_a_key_may_hold_numbers_and_lookups_and_fails_over_doubles(here: Local) -> None:
    here.key("account", "numberofemployees")
    here.done("PATCH", "accounts(numberofemployees=12)", {"name": "Twelve"})
    assert here.get("accounts(numberofemployees=12)")["name"] == "Twelve"
    here.key("account", "primarycontactid")
    contact = here.create("contacts", lastname="Li")
    id = here.create("accounts", name="A", **{"primarycontactid@odata.bind": f"/contacts({contact})"})
    assert here.get(f"accounts(_primarycontactid_value={contact})")["accountid"] == id
    for _ in range(2):
        here.create("contacts", employeeid="same")
    here.key("contact", "employeeid")
    states = {key["SchemaName"]: key["EntityKeyIndexStatus"] for key in here.rows(f"{CONTACT}/Keys")}
    assert states["new_employeeid_key"] == "Failed"
    for columns in (["nosuch"], ["donotemail"], []):
        body = {"SchemaName": "new_k", "KeyAttributes": columns, "DisplayName": {}}
        assert here.call("POST", f"{CONTACT}/Keys", body).error[0] == 400


@pytest.mark.fact("dynamics:csdl")
def test_the_whole_is_told_as_csdl(shared: Local) -> None:
    reply = shared.call("GET", "$metadata")
    assert reply.headers["Content-Type"].startswith("application/xml")
    schema = ET.fromstring(reply.text).find(f".//{EDM}Schema")
    assert schema is not None and schema.get("Namespace") == "Microsoft.Dynamics.CRM"
    types = {one.get("Name"): one for one in schema.findall(f"{EDM}EntityType")}
    assert set(TABLES) <= set(types)
    contact = types["contact"]
    assert contact.find(f"{EDM}Key/{EDM}PropertyRef").get("Name") == "contactid"  # type: ignore[union-attr]
    kinds = {one.get("Name"): one.get("Type") for one in contact.findall(f"{EDM}Property")}
    assert kinds["_parentcustomerid_value"] == "Edm.Guid" and kinds["birthdate"] == "Edm.Date"
    assert kinds["createdon"] == "Edm.DateTimeOffset" and kinds["lastname"] == "Edm.String"
    navigation = {one.get("Name"): one for one in contact.findall(f"{EDM}NavigationProperty")}
    assert navigation["Contact_Tasks"].get("Type") == "Collection(mscrm.task)"
    constraint = navigation["parentcustomerid_account"].find(f"{EDM}ReferentialConstraint")
    assert constraint is not None and constraint.get("Property") == "_parentcustomerid_value"
    assert types["systemuser"].get("BaseType") == "mscrm.principal"
    sets = {one.get("Name") for one in schema.findall(f"{EDM}EntityContainer/{EDM}EntitySet")}
    assert {set_name for set_name, _, _ in TABLES.values()} <= sets


@pytest.mark.fact("dynamics:message_filters")
def test_a_client_can_ask_what_a_table_can_do(shared: Local) -> None:
    probe = "sdkmessagefilters?$filter=sdkmessageid/name eq '{}' and primaryobjecttypecode eq '{}'"
    assert len(shared.rows(probe.format("CreateMultiple", "account"))) == 1
    assert shared.rows(probe.format("Merge", "task")) == []
    expand = "$expand=sdkmessageid($select=name)&$filter=primaryobjecttypecode eq 'contact'"
    names = {
        row["sdkmessageid"]["name"] for row in shared.rows(f"sdkmessagefilters?$select=sdkmessagefilterid&{expand}")
    }
    assert {"Create", "UpsertMultiple", "Merge"} <= names


def test_tables_may_be_declared_in_a_file(tmp_path: Path) -> None:
    fields = {
        "new_name": {"type": "String", "max_length": 50},
        "new_account": {
            "type": "Lookup",
            "navigation": {"new_Account": "account"},
            "collections": {"account": "new_account_projects"},
        },
    }
    here = Local(
        tmp_path, objects={"new_project": {"fields": fields}, "contact": {"fields": {"new_x": {"type": "Integer"}}}}
    )
    try:
        account = here.create("accounts", name="A")
        id = here.create("new_projects", new_name="P", **{"new_Account@odata.bind": f"/accounts({account})"})
        row = here.get(f"new_projects({id})?$select=new_name,statecode&$expand=new_Account($select=name)")
        assert (row["new_name"], row["statecode"], row["new_Account"]["name"]) == ("P", 0, "A")
        assert len(here.rows(f"accounts({account})/new_account_projects")) == 1
        definition = here.get("EntityDefinitions(LogicalName='new_project')")
        assert (definition["IsCustomEntity"], definition["PrimaryNameAttribute"]) == (True, "new_name")
        here.create("contacts", new_x=5, lastname="Li")
        assert len(here.rows("contacts?$filter=new_x eq 5")) == 1
    finally:
        here.close()


@pytest.mark.fact("dynamics:table_create")
def test_a_table_is_created_used_kept_and_deleted(tmp_path: Path) -> None:
    here = Local(tmp_path)
    name = column("new_Title", "String", MaxLength=50, IsPrimaryName=True)
    body = {
        "@odata.type": f"{CAST}EntityMetadata",
        "SchemaName": "new_Box",
        "DisplayName": label("Box"),
        "OwnershipType": "UserOwned",
        "Attributes": [name, column("new_Depth", "Integer", MinValue=0, MaxValue=9)],
    }
    here.done("POST", "EntityDefinitions?SolutionUniqueName=x", body)
    assert here.call("POST", "EntityDefinitions", body).error == (400, "0x80047013")
    for bad in ({"SchemaName": "Box"}, {"Attributes": []}, {"Attributes": [body["Attributes"][1]]}):
        assert here.call("POST", "EntityDefinitions", {**body, "SchemaName": "new_Bad", **bad}).error[0] == 400
    (row,) = here.rows("EntityDefinitions?$select=EntitySetName,PrimaryIdAttribute&$filter=LogicalName eq 'new_box'")
    assert (row["EntitySetName"], row["PrimaryIdAttribute"]) == ("new_boxes", "new_boxid")
    id = here.create("new_boxes", new_title="T", new_depth=3)
    here.done("POST", "EntityDefinitions(LogicalName='new_box')/Attributes", column("new_Note", "Memo", MaxLength=9))
    here.done("PATCH", f"new_boxes({id})", {"new_note": "N"})
    here.close()
    again = Local(tmp_path)
    assert again.get(f"new_boxes({id})?$select=new_title,new_note")["new_note"] == "N"
    again.done("DELETE", "EntityDefinitions(LogicalName='new_box')/Attributes(LogicalName='new_note')")
    assert again.call("GET", "new_boxes?$select=new_note").error == (400, "0x80060888")
    assert again.call("DELETE", f"{CONTACT}/Attributes(LogicalName='lastname')").error == (400, "0x80047007")
    assert again.call("DELETE", CONTACT).error == (400, "0x80047008")
    again.done("DELETE", f"EntityDefinitions({row['MetadataId']})", If_Match="*")
    assert again.call("GET", "new_boxes").error[0] == 404
    again.done("POST", "EntityDefinitions", body)
    assert again.rows("new_boxes") == []
    again.close()

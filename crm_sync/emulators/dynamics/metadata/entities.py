"""Show a table as EntityMetadata."""

from __future__ import annotations

from typing import Any

from crm_sync.emulators.dynamics.metadata.shapes import label, managed, metadata_id
from crm_sync.emulators.dynamics.tables import Table


def entity_row(table: Table, *, tracked: bool) -> dict[str, Any]:
    """Return a table's definition; `tracked`: change tracking is on."""
    extra = table.extra
    name = extra.get("label", extra["schema_name"])
    return {
        "MetadataId": metadata_id(table.logical),
        "LogicalName": table.logical,
        "SchemaName": extra["schema_name"],
        "EntitySetName": table.set_name,
        "LogicalCollectionName": table.set_name,
        "CollectionSchemaName": f"{extra['schema_name']}s",
        "PrimaryIdAttribute": table.id,
        "PrimaryNameAttribute": table.primary_name,
        "PrimaryImageAttribute": None,
        "ObjectTypeCode": extra["type_code"],
        "OwnershipType": "UserOwned" if extra.get("owned", True) else "OrganizationOwned",
        "TableType": "Standard",
        "DataProviderId": None,
        "IsActivity": table.activity,
        "IsActivityParty": table.logical in ("account", "contact", "lead", "systemuser"),
        "IsCustomEntity": bool(extra.get("custom")),
        "IsManaged": not extra.get("custom"),
        "IsIntersect": False,
        "IsLogicalEntity": False,
        "IsPrivate": False,
        "IsValidForAdvancedFind": True,
        "IsOptimisticConcurrencyEnabled": True,
        "IsDuplicateDetectionEnabled": managed(True, "canmodifyduplicatedetectionsettings"),
        "IsCustomizable": managed(True, "iscustomizable"),
        "HasNotes": table.logical not in ("annotation", "activityparty"),
        "HasActivities": table.logical in ("account", "contact", "lead", "incident", "opportunity"),
        "ChangeTrackingEnabled": tracked,
        "CanChangeTrackingBeEnabled": managed(True, "canchangetrackingbeenabled"),
        "DisplayName": label(name),
        "DisplayCollectionName": label(f"{name}s"),
        "Description": label(""),
        "SyncToExternalSearchIndex": False,
    }

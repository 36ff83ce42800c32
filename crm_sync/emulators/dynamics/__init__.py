"""The pretend Dynamics 365: Entra ID tokens and the Dataverse Web API v9.2.

Goals: what a sync client meets: OData reads with paging, annotations, $expand, $apply and change tracking, conditional
writes by id or alternate key, $batch with change sets, bulk actions, merges, activities, definitions and $metadata,
service protection limits, webhooks, the real error bodies. matrix.toml lists it all.
Non-goals: plug-ins, security roles, views, elastic tables. They answer 501 by name.
Belongs here: what only Dataverse does. Not here: records, faults, tokens, serving (the package above).
"""

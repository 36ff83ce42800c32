"""The pretend Dynamics 365: Entra ID tokens and the Dataverse Web API v9.2 over accounts and contacts.

Goals: what a sync client meets: OData reads with paging, annotations and change tracking, conditional writes by id or
alternate key, $batch with change sets, bulk actions, definitions, service protection limits, the real error bodies.
Non-goals: other tables, plug-ins, security roles, views, FetchXML, $expand, $apply. They answer 501 by name.
Belongs here: what only Dataverse does. Not here: records, faults, tokens, serving (the package above).
"""

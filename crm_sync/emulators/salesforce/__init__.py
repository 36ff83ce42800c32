"""A pretend Salesforce org: OAuth, SOQL, REST records, collections, composite, describe, custom fields.

Goals: what a synchronising client needs, strict as the real thing, with its error bodies; whole-second stamps,
18-character ids, query cursors that keep their membership. Not goals: Bulk API, SOAP, SOSL, triggers, sharing, Apex,
field-level security (the knob "hidden_fields" hides some). What is not supported answers 501 and names the request.
Not here: anything another CRM would do the same way (crm_sync/emulators/), reading and writing CRMs (connectors/).
"""

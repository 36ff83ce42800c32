"""A pretend Salesforce org: OAuth, SOQL, REST records, collections, composite, describe, custom fields.

Belongs here: what Salesforce alone does, by its fact sheet, strict as the real thing and with its error bodies:
whole-second stamps, 18-character ids, query cursors that keep their membership, deletions that cascade.
Not here: Bulk API, SOAP, SOSL, triggers, sharing, Apex, field-level security (the knob "hidden_fields" hides fields):
these answer 501 and name the request; what all emulators share (crm_sync/emulators/); connector code (connectors/).
"""

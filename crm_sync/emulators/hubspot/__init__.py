"""The HubSpot emulator: CRM v3 objects and properties, v4 associations, OAuth v1.

Belongs here: what HubSpot alone does. Not here: the record store, faults, tokens and serving that all emulators share
(crm_sync/emulators); anything of the product (an emulator imports nothing of it).
"""

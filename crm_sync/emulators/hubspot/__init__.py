"""The HubSpot emulator.

Belongs here: what HubSpot alone does, by its fact sheet. Not here: what all emulators share (crm_sync/emulators); any
connector code (connectors/).
"""

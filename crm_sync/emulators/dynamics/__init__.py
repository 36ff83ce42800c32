"""The Dynamics 365 emulator.

Belongs here: what Dynamics 365 alone does, by its fact sheet. Not here: what all emulators share (crm_sync/emulators); any
connector code (connectors/).
"""

"""The definitions of tables: EntityDefinitions and what hangs below it, relationships, option sets, $metadata.

Belongs here: showing and changing definitions. Not here: the rows themselves (the package above), how the definitions
are kept (crm_sync/emulators/declarations.py).
"""

"""WITH WHAT assets work: Dagster resources that hand out objects of crm_sync.

Belongs here: ConfigurableResource classes. Not here: decisions (crm_sync/), assets (assets/), schedules (sensors/).
"""

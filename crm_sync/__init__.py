"""The domain library: HOW customer data is kept equal across CRMs.

Belongs here: everything that decides, reads or writes. It never imports dagster.
Not here: what is materialised (assets/), with what (resources/), when (sensors/), which rules (config/).
"""

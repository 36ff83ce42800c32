"""The benchmark: what one machine does with many contacts of one CRM, beside the floors of the same run.

Belongs here: populations, floors, stopwatches, the table. Not here: anything that the product needs (crm_sync/), what
must hold (tests/; a benchmark tells, it never fails for being slow).
"""

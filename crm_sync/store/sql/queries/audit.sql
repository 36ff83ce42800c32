-- name: ensure_partitions
-- The partitions of this month and the next.
select ensure_audit_partition(current_date), ensure_audit_partition((current_date + interval '1 month')::date);

-- name: history
-- Everything that happened to a golden record and to those united into it, oldest first.
select at, run_id, direction, action, disposition, connection, object, record_id, fields, contents, actor, result, hub_id
from audit
where hub_id in (select hub_id from hub_record where hub_id = %(hub_id)s or united_into = %(hub_id)s)
order by at, audit_id;

-- name: count_by_action
-- Audit rows of a run by connection, entity and action.
select connection, entity, direction, action, count(*) from audit
where run_id = any(%(run_ids)s) group by 1, 2, 3, 4;

-- name: count_by_disposition
-- Dispositions of the records that a run read.
select connection, entity, disposition, count(*) from audit
where read_run_id = any(%(run_ids)s) and disposition is not null group by 1, 2, 3;

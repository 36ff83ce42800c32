-- name: one_moment
-- All statements of this transaction see the store as it is at the first of them.
set transaction isolation level repeatable read, read only;

-- name: save
-- The result of a comparison; the newest of a day stays.
insert into reconciliation (day, connection, entity, run_id, at, compared, drifting, lagging, drift_share, counts, fields, examples)
values (%(day)s, %(connection)s, %(entity)s, %(run_id)s, %(at)s, %(compared)s, %(drifting)s, %(lagging)s, %(drift_share)s,
        %(counts)s, %(fields)s, %(examples)s)
on conflict on constraint one_reconciliation_per_day do update
set run_id = excluded.run_id, at = excluded.at, compared = excluded.compared, drifting = excluded.drifting,
    lagging = excluded.lagging, drift_share = excluded.drift_share, counts = excluded.counts, fields = excluded.fields,
    examples = excluded.examples
where reconciliation.at <= excluded.at;

-- name: newest
-- The newest comparison of every stream.
select distinct on (connection, entity)
       day, connection, entity, run_id, at, compared, drifting, lagging, drift_share, counts, fields, examples
from reconciliation order by connection, entity, at desc;

-- name: hub_states
-- Golden records, and what waits for them in one CRM object.
select h.hub_id, h.form_id, h.vector, h.united_into is not null, o.state, c.hub_id is not null
from hub_record h
left join outbox o on o.hub_id = h.hub_id and o.connection = %(connection)s and o.object = %(object)s
left join hub_change c on c.hub_id = h.hub_id
where h.hub_id = any(%(hub_ids)s);

-- name: record_states
-- What waits for records of one CRM object: quarantine, questions about the whole record, notices.
select record_id, 'quarantined', gate, stamp from quarantine
where connection = %(connection)s and object = %(object)s and record_id = any(%(record_ids)s)
union all
select record_id, 'in_review', null, null from review
where connection = %(connection)s and object = %(object)s and record_id = any(%(record_ids)s)
  and state = 'open' and link_id is null
union all
select distinct record_id, 'noticed', null::bigint, null::timestamptz from inbox
where connection = %(connection)s and object = %(object)s and record_id = any(%(record_ids)s) and taken_at is null;

-- name: waiting_references
-- Inbound references of links that wait for their target.
select link_id, field, target_record_id from parked_in where link_id = any(%(link_ids)s);

-- name: parked_outward
-- Outward references of golden records that wait for their target in one CRM.
select hub_id, field from parked_out where connection = %(connection)s and hub_id = any(%(hub_ids)s);

-- name: withheld
-- Values of golden records that one CRM refused.
select hub_id, field, form_id from withheld where connection = %(connection)s and hub_id = any(%(hub_ids)s);

-- name: quarantine_staged
-- Source records refused for their content; a newer version replaces the older.
insert into quarantine (connection, entity, object, record_id, gate, stamp, reasons, body, run_id)
select connection, entity, object, record_id, gate, stamp, reasons, body, run_id from stage_quarantine
on conflict on constraint one_quarantined_version_per_record do update
set gate = excluded.gate, stamp = excluded.stamp, reasons = excluded.reasons, body = excluded.body, held_at = now(),
    run_id = excluded.run_id;

-- name: unquarantine
-- Records that became acceptable.
delete from quarantine
where connection = %(connection)s and object = %(object)s and record_id = any(%(record_ids)s)
returning record_id;

-- name: quarantined_links
-- Links whose record is in quarantine.
select l.link_id from identity_link l
join quarantine q on q.connection = l.connection and q.object = l.object and q.record_id = l.record_id
where l.link_id = any(%(link_ids)s);

-- name: open_cells
-- Cells with an open question.
select review_id, link_id, field, crm_hash, hub_hash from review
where state = 'open' and link_id = any(%(link_ids)s);

-- name: close_reviews
-- Questions that are no longer open.
update review set state = %(state)s, closed_at = now() where review_id = any(%(review_ids)s) and state = 'open';

-- name: forget_questions
-- Questions about records that are away.
update review set state = 'moot', closed_at = now() where link_id = any(%(link_ids)s) and state = 'open';

-- name: forget_parked_in
-- Inbound references of records that are away.
delete from parked_in where link_id = any(%(link_ids)s);

-- name: close_match_reviews
-- Records that found their golden record after all.
update review set state = 'moot', closed_at = now()
where connection = %(connection)s and object = %(object)s and record_id = any(%(record_ids)s)
  and state = 'open' and link_id is null;

-- name: insert_reviews
-- New questions; the same question is asked once.
insert into review (kind, connection, entity, object, record_id, hub_id, link_id, field, crm_hash, hub_hash, gate, question, run_id)
select kind, connection, entity, object, record_id, hub_id, link_id, field, crm_hash, hub_hash, gate, question, run_id
from stage_review
on conflict (connection, object, record_id) where state = 'open' and link_id is null
do update set gate = excluded.gate, question = excluded.question, run_id = excluded.run_id;

-- name: parked_cells
-- Cells whose inbound reference waits.
select link_id, field from parked_in where link_id = any(%(link_ids)s);

-- name: park_in
-- Inbound references that wait for their target.
insert into parked_in (link_id, field, connection, target_object, target_record_id, earliest, latest, run_id)
select link_id, field, connection, target_object, target_record_id, earliest, latest, run_id from stage_parked_in
on conflict on constraint one_parked_reference_per_cell do update
set target_record_id = excluded.target_record_id, earliest = excluded.earliest, latest = excluded.latest;

-- name: unpark_in
-- Inbound references that no longer wait.
delete from parked_in p using unnest(%(link_ids)s::bigint[], %(fields)s::text[]) as t (link_id, field)
where p.link_id = t.link_id and p.field = t.field;

-- name: woken_in
-- Parked inbound references of an entity whose target is linked now.
select p.link_id, p.field, p.target_record_id, p.earliest, p.latest, t.hub_id, l.connection, l.object, l.record_id
from parked_in p
join identity_link l on l.link_id = p.link_id
join identity_link t on t.connection = p.connection and t.object = p.target_object and t.record_id = p.target_record_id
where l.entity = %(entity)s and l.state = 'live'
order by p.link_id
limit %(limit)s;

-- name: park_out
-- Outward references whose target is not in that CRM yet.
insert into parked_out (hub_id, connection, field, target_hub_id, run_id)
select hub_id, connection, field, target_hub_id, run_id from stage_parked_out
on conflict on constraint one_parked_outward_reference do update set target_hub_id = excluded.target_hub_id;

-- name: unpark_out
-- Outward references of golden records, before the plan parks again what still waits.
delete from parked_out where connection = %(connection)s and hub_id = any(%(hub_ids)s);

-- name: forget_parked_out
-- Outward references of golden records that were united into others.
delete from parked_out where hub_id = any(%(hub_ids)s);

-- name: wake_out
-- Golden records whose parked outward reference can be sent now; a united target answers with its successor's record.
select distinct p.hub_id from parked_out p
join hub_record h on h.hub_id = p.hub_id
join hub_record g on g.hub_id = p.target_hub_id
join identity_link t on t.hub_id = coalesce(g.united_into, g.hub_id) and t.connection = p.connection and t.is_primary
    and t.state = 'live'
where h.entity = %(entity)s and h.united_into is null;

-- name: count_held
-- What is held, by connection, entity and kind.
select connection, entity, 'quarantined', count(*) from quarantine group by 1, 2
union all
select connection, entity, 'in_review', count(*) from review where state = 'open' group by 1, 2
union all
select l.connection, l.entity, 'parked', count(*) from parked_in p join identity_link l using (link_id) group by 1, 2
union all
select p.connection, h.entity, 'parked_out', count(*) from parked_out p join hub_record h using (hub_id) group by 1, 2
union all
select w.connection, h.entity, 'withheld', count(*) from withheld w join hub_record h using (hub_id) group by 1, 2;

-- name: quarantine_reasons
-- Why records are in quarantine, by connection, entity, field and code.
select q.connection, q.entity, r ->> 'field', r ->> 'code', count(*)
from quarantine q, jsonb_array_elements(q.reasons) r group by 1, 2, 3, 4 order by 5 desc;

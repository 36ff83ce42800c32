-- name: load_hub_records
-- Golden records by id.
select hub_id, form_id, doc, vector, evidence, sources, revision
from hub_record where hub_id = any(%(hub_ids)s);

-- name: existing_hub_ids
-- Which of these ids are golden records of the entity.
select hub_id from hub_record where entity = %(entity)s and hub_id = any(%(hub_ids)s);

-- name: insert_staged
-- New golden records.
insert into hub_record (hub_id, entity, form_id, doc, vector, evidence, sources, facts, missing_required)
select hub_id, entity, form_id, doc, vector, evidence, sources, facts, missing_required from stage_hub_record;

-- name: update_staged
-- Golden records that changed.
update hub_record h
set form_id = s.form_id, doc = s.doc, vector = s.vector, evidence = s.evidence, sources = s.sources, facts = s.facts,
    missing_required = s.missing_required, revision = h.revision + 1, updated_at = now()
from stage_hub_record s
where h.hub_id = s.hub_id;

-- name: enqueue_changes
-- Golden records to plan anew.
insert into hub_change (hub_id, entity)
select distinct hub_id, %(entity)s from unnest(%(hub_ids)s::uuid[]) as hub_id
on conflict (hub_id) do nothing;

-- name: take_changes
-- Take golden records to plan, oldest first; they leave the queue with this transaction.
delete from hub_change where hub_id in (
    select hub_id from hub_change where entity = %(entity)s order by changed_at, hub_id limit %(limit)s
    for update skip locked
) returning hub_id;

-- name: count_changes
-- How many golden records of an entity wait for planning.
select count(*) from hub_change where entity = %(entity)s;

-- name: count_records
-- How many golden records an entity has, and how many lack a required field.
select count(*), count(*) filter (where missing_required > 0) from hub_record where entity = %(entity)s;

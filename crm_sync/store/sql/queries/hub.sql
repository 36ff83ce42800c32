-- name: load_hub_records
-- Golden records by id.
select hub_id, form_id, doc, vector, evidence, sources, revision
from hub_record where hub_id = any(%(hub_ids)s);

-- name: update_staged
-- Golden records that changed.
update hub_record h
set form_id = s.form_id, doc = s.doc, vector = s.vector, evidence = s.evidence, sources = s.sources, facts = s.facts,
    missing_required = s.missing_required, refs = s.refs, derived_by = s.derived_by, revision = h.revision + 1,
    updated_at = now()
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
-- How many golden records an entity has, and how many lack a required field; those united into others live on in them.
select count(*), count(*) filter (where missing_required > 0) from hub_record
where entity = %(entity)s and united_into is null;

-- name: roots
-- The golden record that each of these was united into, or itself; unknown ids are left out.
select hub_id, coalesce(united_into, hub_id) from hub_record
where entity = %(entity)s and hub_id = any(%(hub_ids)s);

-- name: unite
-- Golden records found to be the same real thing as another.
update hub_record h set united_into = t.winner, updated_at = now()
from unnest(%(losers)s::uuid[], %(winners)s::uuid[]) as t (loser, winner)
where h.hub_id = t.loser or h.united_into = t.loser;

-- name: forget_changes
-- United golden records are not planned any more.
delete from hub_change where hub_id = any(%(hub_ids)s);

-- name: count_anew
-- Have the planner know how much was just read: it takes new tables for small, and looks through all links a record.
analyze hub_record, identity_link;

-- name: enqueue_unlinked
-- Golden records that have no record in a CRM object, when it opens for creates.
insert into hub_change (hub_id, entity)
select h.hub_id, h.entity from hub_record h
where h.entity = %(entity)s and h.united_into is null and not exists (
    select 1 from identity_link l where l.hub_id = h.hub_id and l.connection = %(connection)s and l.object = %(object)s
)
on conflict (hub_id) do nothing;

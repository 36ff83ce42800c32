-- name: insert_staged
-- The match keys of records that wait without a golden record.
insert into held_key (connection, entity, object, record_id, rule, digest)
select connection, entity, object, record_id, rule, digest from stage_held_key
on conflict on constraint one_held_key_per_record do nothing;

-- name: forget
-- Records that wait no longer; the golden records that had waited for them.
with gone as (
    delete from held_key where connection = %(connection)s and object = %(object)s and record_id = any(%(record_ids)s)
    returning entity, rule, digest
)
select distinct m.hub_id from gone g join match_key m on m.entity = g.entity and m.rule = g.rule and m.digest = g.digest;

-- name: twins
-- Golden records that may be a record which waits in that CRM object.
select distinct m.hub_id
from match_key m join held_key k on k.entity = m.entity and k.rule = m.rule and k.digest = m.digest
where m.entity = %(entity)s and k.connection = %(connection)s and k.object = %(object)s and m.hub_id = any(%(hub_ids)s);

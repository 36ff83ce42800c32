-- name: candidates
-- Golden records that have one of these match keys.
select m.rule, m.digest, m.hub_id
from match_key m
join unnest(%(rules)s::text[], %(digests)s::bytea[]) as k (rule, digest) on m.rule = k.rule and m.digest = k.digest
where m.entity = %(entity)s;

-- name: forget
-- The match keys of golden records, before their new ones are written.
delete from match_key where hub_id = any(%(hub_ids)s);

-- name: insert_staged
-- New match keys.
insert into match_key (entity, rule, digest, hub_id)
select entity, rule, digest, hub_id from stage_match_key
on conflict on constraint one_match_key_per_rule do nothing;

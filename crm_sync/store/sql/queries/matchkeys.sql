-- name: candidates
-- Golden records that have one of these match keys.
select m.rule, m.digest, m.hub_id
from match_key m
join unnest(%(rules)s::text[], %(digests)s::bytea[]) as k (rule, digest) on m.rule = k.rule and m.digest = k.digest
where m.entity = %(entity)s;

-- name: copy_keys
-- The match keys of united golden records, under the golden record they were united into.
insert into match_key (entity, rule, digest, hub_id)
select m.entity, m.rule, m.digest, t.winner
from match_key m join unnest(%(losers)s::uuid[], %(winners)s::uuid[]) as t (loser, winner) on m.hub_id = t.loser
on conflict on constraint one_match_key_per_rule do nothing;

-- name: forget
-- The match keys of golden records.
delete from match_key where hub_id = any(%(hub_ids)s);

-- name: insert_staged
-- New match keys.
insert into match_key (entity, rule, digest, hub_id)
select entity, rule, digest, hub_id from stage_match_key
on conflict on constraint one_match_key_per_rule do nothing;

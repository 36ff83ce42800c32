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

-- name: matching
-- By which rules the match keys of an entity were made, and up to where.
select rules, after from matching where entity = %(entity)s;

-- name: records_after
-- Golden records of an entity, in the order of their ids.
select hub_id from hub_record
where entity = %(entity)s and hub_id > %(after)s and united_into is null
order by hub_id limit %(limit)s;

-- name: progress
-- Match keys were made up to here; null: of all.
insert into matching (entity, rules, after) values (%(entity)s, %(rules)s, %(after)s)
on conflict (entity) do update set rules = excluded.rules, after = excluded.after;

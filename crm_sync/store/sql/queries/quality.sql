-- name: to_derive
-- Golden records whose derived columns follow other rules than these.
select hub_id from hub_record
where entity = %(entity)s and united_into is null and derived_by is distinct from %(derived_by)s
order by hub_id limit %(limit)s;

-- name: derive_staged
-- Derived columns anew; the golden record itself has not changed, so neither do its revision and time.
update hub_record h
set facts = s.facts, missing_required = s.missing_required, refs = s.refs, derived_by = s.derived_by
from stage_hub_record s
where h.hub_id = s.hub_id;

-- name: shared_keys
-- Match keys that several live golden records have, or had: candidates to be verified on decrypted values.
select m.rule, m.digest, array_agg(m.hub_id order by m.hub_id)
from match_key m join hub_record h using (hub_id)
where m.entity = %(entity)s and m.rule = any(%(rules)s) and h.united_into is null
group by m.rule, m.digest
having count(*) > 1
order by m.rule, m.digest;

-- name: forget_twins
-- The twins of an entity, before they are found anew.
delete from twin where entity = %(entity)s;

-- name: insert_staged_twins
-- Twins found now.
insert into twin (entity, rule, hub_id, other_hub_id)
select entity, rule, hub_id, other_hub_id from stage_twin
on conflict on constraint one_twin_per_pair_and_rule do nothing;

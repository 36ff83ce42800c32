-- name: plan_staged
-- Commands to send. A waiting one is replaced; one under way is marked to be planned again; a dead one lives again if the plan is another.
insert into outbox (connection, entity, object, hub_id, link_id, action, plan_digest, run_id)
select connection, entity, object, hub_id, link_id, action, plan_digest, run_id from stage_outbox
on conflict on constraint one_command_per_record do update
set link_id = excluded.link_id, action = case when outbox.state = 'sent' then outbox.action else excluded.action end,
    again = outbox.state = 'sent',
    state = case when outbox.state = 'dead' and outbox.plan_digest <> excluded.plan_digest then 'waiting' else outbox.state end,
    attempts = case when outbox.state = 'dead' and outbox.plan_digest <> excluded.plan_digest then 0 else outbox.attempts end,
    next_attempt_at = case when outbox.state = 'dead' and outbox.plan_digest <> excluded.plan_digest then now()
                           else outbox.next_attempt_at end,
    plan_digest = excluded.plan_digest, run_id = excluded.run_id;

-- name: withdraw
-- Commands, dead letters too, of records that need none any more.
delete from outbox where connection = %(connection)s and object = %(object)s and hub_id = any(%(hub_ids)s) and state <> 'sent';

-- name: take_due
-- Commands whose time has come, oldest first.
select command_id, hub_id, link_id, action, attempts from outbox
where connection = %(connection)s and entity = %(entity)s and state = 'waiting' and next_attempt_at <= %(now)s
order by command_id
limit %(limit)s
for update;

-- name: by_ids
-- Commands by id.
select command_id, hub_id, link_id, action, attempts from outbox where command_id = any(%(command_ids)s) for update;

-- name: intend
-- Write intents: the vectors are committed before anything is sent.
update outbox o
set state = 'sent', form_id = s.form_id, crm_vector = s.crm_vector, hub_vector = s.hub_vector, mask = s.mask,
    payload = s.payload, link_id = s.link_id, action = s.action, sent_at = now(), again = false, attempts = o.attempts + 1
from stage_outbox s where o.command_id = s.command_id;

-- name: unsettled
-- Write intents without an outcome.
select command_id, hub_id, link_id, action, attempts, form_id, crm_vector, hub_vector, mask, payload from outbox
where connection = %(connection)s and entity = %(entity)s and state = 'sent'
order by command_id limit %(limit)s;

-- name: unsettled_by_ids
-- Write intents without an outcome, by id.
select command_id, hub_id, link_id, action, attempts, form_id, crm_vector, hub_vector, mask, payload from outbox
where command_id = any(%(command_ids)s) and state = 'sent';

-- name: unsettled_by_links
-- Write intents of links without an outcome.
select command_id, hub_id, link_id, action, attempts, form_id, crm_vector, hub_vector, mask, payload from outbox
where link_id = any(%(link_ids)s) and state = 'sent';

-- name: unsettled_by_hubs
-- Write intents to create a record in a CRM object, without an outcome.
select o.command_id, o.hub_id, o.link_id, o.action, o.attempts, o.form_id, o.crm_vector, o.hub_vector, o.mask, o.payload,
       coalesce(h.united_into, h.hub_id)
from outbox o join hub_record h using (hub_id)
where o.connection = %(connection)s and o.object = %(object)s and coalesce(h.united_into, h.hub_id) = any(%(hub_ids)s)
  and o.state = 'sent' and o.action = 'create';

-- name: settle
-- Commands that are done; the golden record changed meanwhile in those that stay.
delete from outbox where command_id = any(%(command_ids)s) and not again;

-- name: settle_again
-- What is left of settled commands is to be planned again.
update outbox set state = 'waiting', again = false, attempts = 0, next_attempt_at = now(), error_class = null,
    error_code = null, error_message = null, action = 'update'
where command_id = any(%(command_ids)s);

-- name: withdraw_ids
-- Commands that turned out to be unnecessary.
delete from outbox where command_id = any(%(command_ids)s);

-- name: postpone
-- Commands to try again later.
update outbox o
set state = 'waiting', next_attempt_at = t.at, error_class = t.class, error_code = t.code, error_message = t.message
from unnest(%(command_ids)s::bigint[], %(at)s::timestamptz[], %(classes)s::text[], %(codes)s::text[], %(messages)s::text[])
     as t (command_id, at, class, code, message)
where o.command_id = t.command_id;

-- name: bury
-- Dead letters: refused for good, or out of attempts.
update outbox o
set state = 'dead', error_class = t.class, error_code = t.code, error_message = t.message
from unnest(%(command_ids)s::bigint[], %(classes)s::text[], %(codes)s::text[], %(messages)s::text[])
     as t (command_id, class, code, message)
where o.command_id = t.command_id;

-- name: due_connections
-- Which connections have commands whose time has come, or intents to settle; and the newest command, as a stable name of that state.
select connection, max(command_id), count(*) from outbox
where (state = 'waiting' and next_attempt_at <= now()) or (state = 'sent' and sent_at < now() - interval '5 minutes')
group by connection order by connection;

-- name: count_commands
-- Commands by connection, entity and state, and the age of the oldest.
select connection, entity, state, count(*), extract(epoch from now() - min(planned_at))::float8
from outbox group by 1, 2, 3;

-- name: dead_letters
-- Dead letters and why.
select command_id, connection, entity, object, hub_id, action, attempts, error_class, error_code, error_message, planned_at
from outbox where state = 'dead' order by command_id;

-- name: withdraw_records
-- Commands not under way of golden records that were united into others.
delete from outbox where hub_id = any(%(hub_ids)s) and state <> 'sent';

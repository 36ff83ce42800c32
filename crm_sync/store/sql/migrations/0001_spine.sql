-- The tables of the spine. PII lies only in bytea columns that are encrypted (AES-256-GCM): under a day key where a record
-- has no golden record yet (landing, inbox, quarantine), under its subject key where it has.
-- Vectors are keyed 64-bit hashes, 8 bytes a field in the order of form.fields; bitmaps have one bit a field, first field highest.
-- What each batch writes by the ten thousand together with the row it belongs to (hub_record, hub_change, match_key, identity_link,
-- shadow) has no foreign key: checking them took a third of the server's time. The checks at rest look for rows that belong to nothing; nothing deletes golden
-- records, links or forms.

create table form (
    form_id     integer generated always as identity primary key,
    digest      bytea not null constraint one_row_per_form unique,
    key_id      bigint not null references data_key (key_id),
    entity      text not null,
    connection  text,
    fields      text[] not null,
    created_at  timestamptz not null default now()
);
comment on table form is 'What a vector means: hash key, fields in order, and (in the digest) entity spec, mapping and transforms. connection is null for the hub''s form.';

create table run (
    run_id      uuid primary key,
    kind        text not null,
    started_at  timestamptz not null default now(),
    ended_at    timestamptz,
    state       text not null default 'running' constraint run_state_is_known check (state in ('running', 'done', 'failed')),
    missed      jsonb not null default '{}'
);
comment on column run.missed is 'connection -> error class: what this run could not do.';

create table tally (
    run_id      uuid not null,
    connection  text not null,
    entity      text not null,
    term        text not null,
    rows        bigint not null,
    constraint one_tally_per_term primary key (run_id, connection, entity, term)
);
comment on table tally is 'Counts that no other table holds: read, landed, deduplicated, out_of_scope, unchanged. Written in the transaction of the work they count.';

create table watermark (
    connection      text not null,
    entity          text not null,
    watermark       text,
    resume          text,
    resume_mode     text,
    resume_from     text,
    read_at         timestamptz,
    opened_at       timestamptz,
    constraint one_watermark_per_stream primary key (connection, entity)
);
comment on table watermark is 'watermark: where the next incremental read starts. resume: where an unfinished read goes on; resume_from: the watermark it had started from. opened_at: since when records may be created there: all that it held had been read and absorbed.';

create table landing_page (
    page_id     bigint generated always as identity primary key,
    run_id      uuid not null,
    connection  text not null,
    entity      text not null,
    object      text not null,
    reason      text not null,
    records     integer not null,
    digest      bytea not null,
    body        bytea not null,
    landed_at   timestamptz not null default now(),
    absorbed_at timestamptz
);
create unique index a_waiting_page_lands_once on landing_page (connection, entity, digest) where absorbed_at is null;
create index landing_page_to_absorb on landing_page (entity, page_id) where absorbed_at is null;

create table inbox (
    notice_id   bigint generated always as identity primary key,
    connection  text not null,
    object      text not null,
    record_id   text not null,
    kind        text not null,
    received_at timestamptz not null default now(),
    body        bytea,
    taken_at    timestamptz
);
create index inbox_to_take on inbox (connection, object, notice_id) where taken_at is null;

create table hub_record (
    hub_id           uuid primary key,
    entity           text not null,
    form_id          integer not null,
    doc              bytea not null,
    vector           bytea not null,
    evidence         bytea not null,
    sources          text[] not null,
    facts            jsonb not null,
    missing_required smallint not null,
    united_into      uuid references hub_record,
    revision         bigint not null default 1,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now()
);
create index hub_record_by_entity on hub_record (entity, hub_id);
create index hub_record_united on hub_record (united_into) where united_into is not null;
comment on table hub_record is 'Golden records. united_into: found to be the same real thing as another, to which its links moved. doc: {field: canonical text}, encrypted. evidence: per field earliest and latest time of the edit (2 x int64 microseconds). sources: per field where the value came from. facts: the fields that are not PII, in the clear.';

create table hub_change (
    hub_id      uuid primary key,
    entity      text not null,
    changed_at  timestamptz not null default now()
);
create index hub_change_by_entity on hub_change (entity);
comment on table hub_change is 'Golden records to plan anew; emptied by propagate.';

create table match_key (
    entity      text not null,
    rule        text not null,
    digest      bytea not null constraint digest_of_128_bits check (length(digest) = 16),
    hub_id      uuid not null,
    constraint one_match_key_per_rule primary key (entity, rule, digest, hub_id)
);
create index match_key_by_hub on match_key (hub_id);

create table matching (
    entity  text primary key,
    rules   bytea not null,
    after   uuid
);
comment on table matching is 'By which match rules the match keys of an entity were made; after: up to where, null when all were.';

create table identity_link (
    link_id      bigint generated always as identity primary key,
    hub_id       uuid not null,
    entity       text not null,
    connection   text not null,
    object       text not null,
    record_id    text not null,
    is_primary   boolean not null,
    state        text not null default 'live' constraint link_state_is_known check (state in ('live', 'out_of_scope', 'tombstone')),
    merged_into  text,
    linked_by    text not null,
    linked_at    timestamptz not null default now(),
    run_id       uuid not null,
    constraint one_link_per_crm_record unique (connection, object, record_id)
);
create unique index one_live_primary_link_per_hub_record on identity_link (hub_id, connection, object)
    where is_primary and state = 'live';
create index identity_link_by_hub on identity_link (hub_id, connection);

create table shadow (
    link_id     bigint primary key,
    form_id     integer not null,
    crm_vector  bytea not null,
    hub_vector  bytea not null,
    crm_known   bytea not null,
    hub_known   bytea not null,
    gate        bigint not null,
    version     text,
    stamp       timestamptz,
    base        bytea not null,
    wrote       boolean not null default false
);
comment on table shadow is 'Our belief of what a CRM holds. gate: hash of the mapped source columns last seen. base: {source field: value} last decided on, encrypted. wrote: we wrote to the record since the gate was taken, so its old values with a newer stamp are an edit.';

create table quarantine (
    quarantine_id bigint generated always as identity primary key,
    connection  text not null,
    entity      text not null,
    object      text not null,
    record_id   text not null,
    gate        bigint not null,
    stamp       timestamptz,
    reasons     jsonb not null,
    body        bytea not null,
    held_at     timestamptz not null default now(),
    run_id      uuid not null,
    constraint one_quarantined_version_per_record unique (connection, object, record_id)
);

create table held_key (
    connection  text not null,
    entity      text not null,
    object      text not null,
    record_id   text not null,
    rule        text not null,
    digest      bytea not null,
    constraint one_held_key_per_record primary key (connection, object, record_id, rule, digest)
);
create index held_key_by_digest on held_key (entity, rule, digest);
comment on table held_key is 'Match keys of records that wait without a golden record, so that nobody creates their twin.';

create table review (
    review_id   bigint generated always as identity primary key,
    kind        text not null constraint review_kind_is_known
                check (kind in ('conflict', 'first_link', 'lossy', 'ambiguous_match')),
    state       text not null default 'open' constraint review_state_is_known
                check (state in ('open', 'moot', 'superseded', 'decided')),
    connection  text not null,
    entity      text not null,
    object      text not null,
    record_id   text not null,
    hub_id      uuid references hub_record deferrable initially deferred,
    link_id     bigint references identity_link,
    field       text,
    crm_hash    bigint,
    hub_hash    bigint,
    gate        bigint,
    question    bytea not null,
    opened_at   timestamptz not null default now(),
    closed_at   timestamptz,
    run_id      uuid not null
);
create unique index one_open_question_per_cell on review (link_id, field) where state = 'open' and link_id is not null;
create unique index one_open_question_per_record on review (connection, object, record_id) where state = 'open' and link_id is null;
comment on column review.question is 'Both values and the base of a cell (under the subject key), or the record as received (under a day key) where no golden record is chosen yet.';

create table parked_in (
    link_id           bigint not null references identity_link,
    field             text not null,
    connection        text not null,
    target_object     text not null,
    target_record_id  text not null,
    earliest          bigint not null,
    latest            bigint not null,
    parked_at         timestamptz not null default now(),
    run_id            uuid not null,
    constraint one_parked_reference_per_cell primary key (link_id, field)
);
create index parked_in_by_target on parked_in (connection, target_object, target_record_id);

create table parked_out (
    hub_id         uuid not null references hub_record,
    connection     text not null,
    field          text not null,
    target_hub_id  uuid not null,
    parked_at      timestamptz not null default now(),
    run_id         uuid not null,
    constraint one_parked_outward_reference primary key (hub_id, connection, field)
);
create index parked_out_by_target on parked_out (target_hub_id, connection);

create table outbox (
    command_id      bigint generated always as identity primary key,
    connection      text not null,
    entity          text not null,
    object          text not null,
    hub_id          uuid not null references hub_record,
    link_id         bigint references identity_link,
    action          text not null constraint action_is_known check (action in ('create', 'update')),
    state           text not null default 'waiting' constraint command_state_is_known check (state in ('waiting', 'sent', 'dead')),
    plan_digest     bytea not null,
    again           boolean not null default false,
    planned_at      timestamptz not null default now(),
    run_id          uuid not null,
    attempts        integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    error_class     text,
    error_code      text,
    error_message   text,
    form_id         integer references form,
    crm_vector      bytea,
    hub_vector      bytea,
    mask            bytea,
    payload         bytea,
    sent_at         timestamptz,
    constraint one_command_per_record unique (hub_id, connection, object),
    constraint sent_vectors_before_sending check (state <> 'sent' or (form_id is not null and crm_vector is not null
        and hub_vector is not null and mask is not null and payload is not null and sent_at is not null))
);
create index outbox_due on outbox (connection, entity, next_attempt_at) where state = 'waiting';
create index outbox_unsettled on outbox (connection, entity) where state = 'sent';
comment on table outbox is 'Commands: waiting -> sent (the write intent, committed before the call) -> deleted when settled; dead are the dead letters. again: the hub changed while it was sent.';

create table withheld (
    hub_id      uuid not null references hub_record,
    connection  text not null,
    field       text not null,
    form_id     integer not null references form,
    crm_hash    bigint not null,
    error_class text not null,
    error_code  text not null,
    withheld_at timestamptz not null default now(),
    run_id      uuid not null,
    constraint one_withheld_value_per_cell primary key (hub_id, connection, field)
);
comment on table withheld is 'Values that a CRM refused while it takes the rest of the record. crm_hash names the value: another one is tried again.';

create table audit (
    audit_id    bigint generated always as identity,
    at          timestamptz not null default now(),
    run_id      uuid not null,
    read_run_id uuid,
    direction   text not null constraint direction_is_known check (direction in ('in', 'out', 'hub')),
    action      text not null,
    disposition text,
    connection  text not null,
    entity      text not null,
    object      text not null,
    record_id   text,
    hub_id      uuid,
    fields      jsonb not null default '[]',
    contents    bytea,
    actor       text not null,
    result      text not null default 'ok',
    constraint audit_row_is_unique primary key (at, audit_id)
) partition by range (at);
create table audit_default partition of audit default;
create index audit_by_hub on audit (hub_id, at);
create index audit_by_run on audit (run_id, connection, entity);
create index audit_by_read_run on audit (read_run_id, connection, entity) where read_run_id is not null;
comment on table audit is 'Append-only: one row per changed record and direction. fields: [{fields, decision, rule, winner}]. contents: {field: {before, after, lost}} under the subject key (day key where there is no golden record).';

create function ensure_audit_partition(month date) returns void language plpgsql as $$
declare
    first_day date := date_trunc('month', month);
    part text := 'audit_' || to_char(date_trunc('month', month), 'YYYY_MM');
begin
    if to_regclass('crm_sync.' || part) is null then
        execute format('create table if not exists crm_sync.%I partition of crm_sync.audit for values from (%L) to (%L)',
                       part, first_day, (first_day + interval '1 month')::date);
    end if;
end $$;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'audit is append-only';
end $$;
create trigger audit_is_append_only before update or delete on audit for each row execute function refuse_change();

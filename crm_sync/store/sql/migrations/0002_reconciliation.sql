-- What the full comparisons found: ids and counts, never values.

create table reconciliation (
    day          date not null,
    connection   text not null,
    entity       text not null,
    run_id       uuid not null,
    at           timestamptz not null,
    compared     bigint not null constraint compared_is_a_count check (compared >= 0),
    drifting     bigint not null constraint drifting_is_a_count check (drifting >= 0),
    lagging      bigint not null constraint lagging_is_a_count check (lagging >= 0),
    drift_share  double precision not null,
    counts       jsonb not null,
    fields       jsonb not null,
    examples     jsonb not null,
    constraint one_reconciliation_per_day primary key (day, connection, entity)
);
comment on table reconciliation is 'The newest comparison of a day. counts: finding -> records. fields: finding -> field -> records. examples: finding -> some ids (record ids of the CRM, or hub ids where there is no record).';

-- Keys, locks, tokens, budgets and the operations journal: what every other table leans on.
-- Every statement here runs on PostgreSQL 15 and later. The search path is crm_sync.

CREATE SCHEMA IF NOT EXISTS dagster;

-- Which master key wraps all other keys. One row. During a rotation the predecessor is kept, wrapped by the new master,
-- so that an interrupted rotation can be finished with the new key alone.
CREATE TABLE master_key (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 16),
    predecessor_fingerprint bytea,
    predecessor_wrapped bytea,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((predecessor_fingerprint IS NULL) = (predecessor_wrapped IS NULL))
);

-- Keys that serve many rows. `label` is the UTC day for day keys, a running number for vector keys, else empty.
CREATE TABLE data_key (
    key_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('vector', 'match', 'day', 'token')),
    label text NOT NULL,
    wrapped bytea NOT NULL,
    master_fingerprint bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (purpose, label)
);

-- One key per golden record: without it, nothing that was encrypted for that record can be read again.
CREATE TABLE subject_key (
    hub_id uuid PRIMARY KEY,
    wrapped bytea NOT NULL,
    master_fingerprint bytea NOT NULL
);

-- Fencing tokens of exclusive work; the lock itself is an advisory lock of the holder's session.
CREATE TABLE lease (
    name text PRIMARY KEY,
    token bigint NOT NULL,
    holder text NOT NULL,
    taken_at timestamptz NOT NULL
);

-- Access and refresh tokens of the CRMs, encrypted.
CREATE TABLE crm_token (
    connection text PRIMARY KEY,
    access bytea,
    refresh bytea,
    expires_at timestamptz,
    changed_at timestamptz NOT NULL DEFAULT now()
);

-- The API budget of each connection, shared by all processes. `calls` may go below zero: a debt that refills first.
CREATE TABLE api_budget (
    connection text PRIMARY KEY,
    calls double precision NOT NULL,
    refilled_at timestamptz NOT NULL,
    paused_until timestamptz,
    pause_reason text NOT NULL DEFAULT '',
    quota_limit bigint,
    quota_remaining bigint,
    observed_at timestamptz
);

-- API calls counted per run; rows only ever grow.
CREATE TABLE api_call (
    run_id uuid NOT NULL,
    connection text NOT NULL,
    operation text NOT NULL,
    ok boolean NOT NULL,
    calls bigint NOT NULL,
    PRIMARY KEY (run_id, connection, operation, ok)
);

-- Audit of operations: authentication, refused page, failed read. `detail` carries neither field values nor secrets.
CREATE TABLE audit_operation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    run_id uuid NOT NULL,
    connection text NOT NULL,
    operation text NOT NULL,
    result text NOT NULL,
    detail text NOT NULL DEFAULT ''
);
CREATE INDEX audit_operation_by_run ON audit_operation (run_id);
CREATE INDEX audit_operation_by_time ON audit_operation (at);

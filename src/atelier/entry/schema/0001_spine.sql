-- The spine: accounts and keys, servers and their leases, graphs, jobs, attempts, events, holds, assets.
-- Times come from the database's clock. Old code must run on newer schemas: later files only add.

CREATE TABLE accounts (
    id          uuid PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id           uuid PRIMARY KEY,
    account_id   uuid NOT NULL REFERENCES accounts,
    role         text NOT NULL CHECK (role IN ('admin', 'member')),
    label        text NOT NULL DEFAULT '',
    prefix       text NOT NULL,
    digest       bytea NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_of_account ON api_keys (account_id, created_at);

-- Servers and who drives them -------------------------------------------------------------------

CREATE TABLE dispatchers (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    expires_at timestamptz NOT NULL
);

CREATE TABLE inventories (
    digest     bytea PRIMARY KEY,
    body       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE servers (
    id               text PRIMARY KEY,
    url              text NOT NULL,
    headers          jsonb NOT NULL DEFAULT '{}',
    enabled          boolean NOT NULL DEFAULT true,
    origin           text NOT NULL CHECK (origin IN ('setting', 'added', 'simulated')),
    added_at         timestamptz NOT NULL DEFAULT now(),
    removed_at       timestamptz,
    inventory_digest bytea REFERENCES inventories,
    system           jsonb NOT NULL DEFAULT '{}',
    health           text NOT NULL DEFAULT 'unknown'
                     CHECK (health IN ('unknown', 'ready', 'degraded', 'offline')),
    health_reason    text NOT NULL DEFAULT '',
    health_at        timestamptz
);
CREATE UNIQUE INDEX servers_in_use ON servers (url) WHERE removed_at IS NULL;

-- A lease's fence only grows. A claim locks this row FOR SHARE, a take-over updates it.
CREATE TABLE leases (
    server_id     text PRIMARY KEY REFERENCES servers ON DELETE CASCADE,
    dispatcher_id uuid,
    fence         bigint NOT NULL DEFAULT 0
);

-- Jobs ------------------------------------------------------------------------------------------

CREATE TABLE graphs (
    digest     bytea PRIMARY KEY,
    body       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE requirements (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    body   jsonb NOT NULL
);

-- No foreign key from jobs to accounts and graphs: its row locks on the few busy accounts and graphs would
-- become multixacts at hundreds of submits a second. Neither is ever deleted while a job names it.
CREATE TABLE jobs (
    id                 uuid PRIMARY KEY,
    account_id         uuid NOT NULL,
    end_user           text NOT NULL DEFAULT '',
    dialect            text NOT NULL,
    native_prompt_id   uuid,
    state              text NOT NULL DEFAULT 'queued' CHECK (state IN (
                           'preparing', 'queued', 'claimed', 'running', 'canceling',
                           'succeeded', 'failed', 'canceled', 'expired')),
    priority           smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 1 AND 10),
    position           bigint GENERATED ALWAYS AS IDENTITY,
    graph_digest       bytea NOT NULL,
    requirement_id     bigint NOT NULL,
    lane               text NOT NULL DEFAULT '',
    shape              bytea NOT NULL,
    metadata           jsonb NOT NULL DEFAULT '{}',
    secrets            jsonb,
    created_at         timestamptz NOT NULL DEFAULT now(),
    not_before         timestamptz NOT NULL DEFAULT now(),
    wait_until         timestamptz NOT NULL,
    keep_until         timestamptz NOT NULL,
    started_at         timestamptz,
    finished_at        timestamptz,
    attempt            integer NOT NULL DEFAULT 0,
    tries              integer NOT NULL DEFAULT 0,
    server_deaths      integer NOT NULL DEFAULT 0,
    dispatcher_losses  integer NOT NULL DEFAULT 0,
    event_seq          integer NOT NULL DEFAULT 0,
    error              jsonb,
    UNIQUE (account_id, native_prompt_id),
    CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'canceled', 'expired')))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0,
        autovacuum_analyze_scale_factor = 0.05);

CREATE INDEX jobs_waiting ON jobs (requirement_id, priority DESC, position) WHERE state = 'queued';
CREATE INDEX jobs_waiting_order ON jobs (priority DESC, position) WHERE state = 'queued';
CREATE INDEX jobs_of_account ON jobs (account_id, position DESC);
CREATE INDEX jobs_wait_until ON jobs (wait_until) WHERE state = 'queued';
CREATE INDEX jobs_keep_until ON jobs (keep_until) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_labels ON jobs USING gin (metadata jsonb_path_ops) WHERE metadata <> '{}';

-- One try of a job on one server. Every write after the claim says WHERE fence = the writer's fence.
CREATE TABLE attempts (
    job_id      uuid NOT NULL REFERENCES jobs ON DELETE CASCADE,
    number      integer NOT NULL,
    prompt_id   uuid NOT NULL UNIQUE,
    server_id   text NOT NULL,
    fence       bigint NOT NULL,
    state       text NOT NULL DEFAULT 'claimed'
                CHECK (state IN ('claimed', 'running', 'ended')),
    outcome     text CHECK (outcome IN ('succeeded', 'failed', 'rejected', 'lost', 'out_of_memory',
                                        'canceled', 'withdrawn', 'timed_out')),
    evidence    jsonb,
    claimed_at  timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    ended_at    timestamptz,
    PRIMARY KEY (job_id, number),
    CHECK ((state = 'ended') = (outcome IS NOT NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- At most one live attempt per job, whatever the code believes.
CREATE UNIQUE INDEX attempts_live_job ON attempts (job_id) WHERE state <> 'ended';
CREATE INDEX attempts_live_server ON attempts (server_id) WHERE state <> 'ended';

-- Event log: state changes and outputs. Partitioned by the job's own day, so that the one terminal event of
-- a job is unique within its partition and whole days can be dropped.
CREATE TABLE job_events (
    job_day    date NOT NULL,
    job_id     uuid NOT NULL,
    seq        integer NOT NULL,
    kind       text NOT NULL,
    terminal   boolean NOT NULL DEFAULT false,
    data       jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_day, job_id, seq)
) PARTITION BY RANGE (job_day);
CREATE UNIQUE INDEX job_events_one_end ON job_events (job_day, job_id) WHERE terminal;
CREATE TABLE job_events_default PARTITION OF job_events DEFAULT;

CREATE TABLE idempotency_keys (
    account_id uuid NOT NULL,
    end_user   text NOT NULL,
    dialect    text NOT NULL,
    key        text NOT NULL,
    body_hash  bytea NOT NULL,
    job_id     uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, end_user, dialect, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

-- Credits set aside for a job: held at submit, captured on success, released otherwise; exactly once.
CREATE TABLE holds (
    job_id     uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    amount     bigint NOT NULL CHECK (amount >= 0),
    state      text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'captured', 'released')),
    captured   bigint NOT NULL DEFAULT 0 CHECK (captured BETWEEN 0 AND amount),
    settled_at timestamptz
) WITH (fillfactor = 80);

-- Last-value only; lost with the server, by choice.
CREATE UNLOGGED TABLE job_progress (
    job_id     uuid PRIMARY KEY,
    seq        bigint NOT NULL,
    body       jsonb NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02);

CREATE UNLOGGED TABLE job_watches (
    job_id uuid PRIMARY KEY,
    until  timestamptz NOT NULL
);

CREATE UNLOGGED TABLE job_previews (
    job_id       uuid PRIMARY KEY,
    seq          bigint NOT NULL,
    node_id      text NOT NULL,
    content_type text NOT NULL,
    body         bytea NOT NULL
);

-- Measured run times per graph shape and server, for expectations.
CREATE TABLE run_times (
    shape      bytea NOT NULL,
    server_id  text NOT NULL,
    seconds    double precision NOT NULL,
    runs       integer NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shape, server_id)
);

-- Assets ----------------------------------------------------------------------------------------

-- Bytes that are stored once. A row stands before its bytes are written, so that nothing stored is ever unknown;
-- its storage key ends in its generation, so that removing an old key never meets bytes that were stored anew.
-- marked_at: since when perhaps no asset names it; it is looked at 24 h later.
CREATE TABLE blobs (
    hash         bytea PRIMARY KEY CHECK (octet_length(hash) = 32),
    generation   uuid NOT NULL DEFAULT gen_random_uuid(),
    size         bigint NOT NULL CHECK (size >= 0),
    content_type text NOT NULL DEFAULT 'application/octet-stream',
    created_at   timestamptz NOT NULL DEFAULT now(),
    pinned_until timestamptz NOT NULL DEFAULT now(),
    marked_at    timestamptz
);
CREATE INDEX blobs_marked ON blobs (marked_at) WHERE marked_at IS NOT NULL;

-- Who was told "known" may make an asset of these bytes until then, whatever is deleted meanwhile.
CREATE TABLE blob_pins (
    account_id uuid NOT NULL,
    hash       bytea NOT NULL REFERENCES blobs ON DELETE CASCADE,
    until      timestamptz NOT NULL,
    PRIMARY KEY (account_id, hash)
);
CREATE INDEX blob_pins_by_hash ON blob_pins (hash);

-- Keys whose rows are gone and whose bytes are still to be removed. Keys are never used again.
CREATE TABLE blob_removals (
    key text PRIMARY KEY
);

CREATE TABLE assets (
    id           uuid PRIMARY KEY,
    account_id   uuid NOT NULL,
    hash         bytea NOT NULL REFERENCES blobs,
    content_type text NOT NULL,
    file_path    text NOT NULL DEFAULT '',
    tags         text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    job_id       uuid
);
CREATE INDEX assets_of_account_by_hash ON assets (account_id, hash);
CREATE INDEX assets_by_hash ON assets (hash);
CREATE INDEX assets_expiry ON assets (expires_at) WHERE expires_at IS NOT NULL;

-- An output is an asset that a job made; the ids are the same.
CREATE TABLE outputs (
    asset_id   uuid PRIMARY KEY,
    job_id     uuid NOT NULL,
    attempt    integer NOT NULL,
    ordinal    integer NOT NULL,
    node_id    text NOT NULL,
    name       text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('image', 'video', 'audio', 'text', 'file', 'latent')),
    temporary  boolean NOT NULL DEFAULT false,
    UNIQUE (job_id, ordinal)
);

-- Assets that a live job reads cannot be deleted (409 asset_in_use).
CREATE TABLE job_inputs (
    job_id   uuid NOT NULL,
    asset_id uuid NOT NULL,
    PRIMARY KEY (job_id, asset_id)
);
CREATE INDEX job_inputs_by_asset ON job_inputs (asset_id);

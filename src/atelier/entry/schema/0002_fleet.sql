-- The fleet: fair shares, servers that are drained, quarantined, owned by one dispatcher, and jobs that were given up.

-- Accounts and keys: `weight` is the account's part of the fleet beside others' 1; NULL max_running: the setting's.
ALTER TABLE accounts
    ADD COLUMN weight double precision NOT NULL DEFAULT 1 CHECK (weight > 0 AND weight <= 1000),
    ADD COLUMN max_running integer CHECK (max_running >= 0);
ALTER TABLE api_keys
    ADD COLUMN max_priority smallint NOT NULL DEFAULT 5 CHECK (max_priority BETWEEN 1 AND 10),
    ADD COLUMN on_behalf boolean NOT NULL DEFAULT false;

-- Servers. `busy` and `draining` are told from what runs and from `drain`, not stored. `only_dispatcher` names the
-- dispatcher that alone can reach it ('': all can). `share` below 1 makes it a canary. NULL limits: the setting's.
ALTER TABLE servers
    DROP CONSTRAINT servers_health_check,
    ADD CONSTRAINT servers_health_check
        CHECK (health IN ('unknown', 'ready', 'degraded', 'quarantined', 'offline')),
    ADD COLUMN drain boolean NOT NULL DEFAULT false,
    ADD COLUMN share double precision NOT NULL DEFAULT 1 CHECK (share > 0 AND share <= 1),
    ADD COLUMN max_per_minute integer CHECK (max_per_minute >= 0),
    ADD COLUMN run_timeout double precision CHECK (run_timeout > 0),
    ADD COLUMN only_dispatcher text NOT NULL DEFAULT '',
    ADD COLUMN quarantined_at timestamptz,
    ADD COLUMN quarantine_reason text NOT NULL DEFAULT '',
    ADD COLUMN probe_asked_at timestamptz,
    ADD COLUMN warm text[] NOT NULL DEFAULT '{}',
    ADD COLUMN stay_until timestamptz;
DROP INDEX servers_in_use;
CREATE UNIQUE INDEX servers_in_use ON servers (url, only_dispatcher) WHERE removed_at IS NULL;

-- What happened to a server: health, quarantine, drain, leases. Kept for 30 days.
CREATE TABLE server_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    server_id  text NOT NULL,
    kind       text NOT NULL,
    data       jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX server_events_of_server ON server_events (server_id, id DESC);

-- What lies on a server's disk because of us; ComfyUI has no request that removes it. `reference` is the path below
-- ComfyUI's own folders. An input's `name` is made of its content; a folder of outputs is its own name. `used_at` is
-- right to the day. Since `leaving_at` somebody is about to remove it: it is never used again.
CREATE TABLE server_files (
    server_id  text NOT NULL,
    reference  text NOT NULL,
    name       text NOT NULL,
    size       bigint NOT NULL,
    placed_at  timestamptz NOT NULL DEFAULT now(),
    used_at    timestamptz NOT NULL DEFAULT now(),
    leaving_at timestamptz,
    PRIMARY KEY (server_id, reference)
);
CREATE UNIQUE INDEX server_files_in_use ON server_files (server_id, name) WHERE leaving_at IS NULL;

-- Model files per folder with their sizes in bytes (0: not told); part of what an inventory's digest is made of.
ALTER TABLE inventories ADD COLUMN files jsonb NOT NULL DEFAULT '{}';

-- Since when perhaps no job names it; whoever names it again takes the mark away. Deleted a day later.
ALTER TABLE graphs ADD COLUMN marked_at timestamptz;
ALTER TABLE requirements
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN marked_at timestamptz;
CREATE INDEX graphs_marked ON graphs (marked_at) WHERE marked_at IS NOT NULL;
CREATE INDEX requirements_marked ON requirements (marked_at) WHERE marked_at IS NOT NULL;

-- Jobs. `avoid`: servers that failed it; `vram_over`: bytes of VRAM that were too few. `wished_priority` is what was
-- asked for where the key does not reach that far. `run_timeout` in seconds, NULL: by what it makes.
ALTER TABLE jobs
    ADD COLUMN wished_priority smallint,
    ADD COLUMN run_timeout double precision,
    ADD COLUMN avoid text[] NOT NULL DEFAULT '{}',
    ADD COLUMN vram_over bigint NOT NULL DEFAULT 0,
    ADD COLUMN retry_of uuid;

-- One row per (class, account, end user): how much of the fleet it was given, in seconds divided by its weight.
-- `started` is its virtual time before the newest of them; the largest of a class is how far that class has come.
CREATE TABLE shares (
    priority     smallint NOT NULL,
    account_id   uuid NOT NULL,
    end_user     text NOT NULL,
    virtual_time double precision NOT NULL,
    started      double precision NOT NULL DEFAULT 0,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (priority, account_id, end_user)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- By an expression, so that nobody who looks for one party's row takes this index while the table is small.
CREATE INDEX shares_clock ON shares ((priority + 0), started);

CREATE INDEX jobs_waiting_by_party ON jobs (priority DESC, account_id, end_user, position) WHERE state = 'queued';
CREATE INDEX jobs_waiting_by_lane ON jobs (lane, priority DESC, position) WHERE state = 'queued';
CREATE INDEX jobs_on_servers ON jobs (account_id, end_user) WHERE state IN ('claimed', 'running', 'canceling');

-- Jobs that were given up for a reason that is not the graph's, until somebody replays or discards them.
CREATE TABLE dead_letters (
    job_id      uuid PRIMARY KEY,
    account_id  uuid NOT NULL,
    code        text NOT NULL,
    died_at     timestamptz NOT NULL DEFAULT now(),
    replayed_as uuid,
    settled_at  timestamptz
);
CREATE INDEX dead_letters_open ON dead_letters (died_at DESC, job_id) WHERE settled_at IS NULL;

-- Measured seconds that a lane's models take to load on a server, beyond the run itself.
CREATE TABLE load_times (
    lane       text NOT NULL,
    server_id  text NOT NULL,
    seconds    double precision NOT NULL,
    runs       integer NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (lane, server_id)
);

-- What a server was given lately, the newest first.
CREATE INDEX attempts_of_server ON attempts (server_id, claimed_at DESC);

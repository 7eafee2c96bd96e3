-- The native API: what its clients said and were shown, their files by name, their settings, their sessions.

-- Inside a party the lowest number runs first; NULL: the job's position. `forgotten`: its owner deleted it from the
-- native history; other dialects still show it.
ALTER TABLE jobs
    ADD COLUMN number double precision,
    ADD COLUMN forgotten boolean NOT NULL DEFAULT false;
CREATE INDEX jobs_waiting_by_turn ON jobs (priority DESC, account_id, end_user, (coalesce(number, position)), position)
    WHERE state = 'queued';
DROP INDEX jobs_waiting_by_party;

-- The id comes first: whoever asks for one prompt reads no other job of its account, however the plan was made.
CREATE UNIQUE INDEX jobs_by_prompt ON jobs (native_prompt_id, account_id) WHERE native_prompt_id IS NOT NULL;
ALTER TABLE jobs DROP CONSTRAINT jobs_account_id_native_prompt_id_key;

-- A native history in its order: all that ended, but what its owner deleted from it, or canceled before it began.
CREATE INDEX jobs_ended ON jobs (account_id, finished_at, position) INCLUDE (id, state)
    WHERE finished_at IS NOT NULL AND NOT forgotten AND (state <> 'canceled' OR started_at IS NOT NULL);

-- What came with a graph through the native API. `client_id` is where its messages go (NULL: nowhere in particular).
-- `extra_data` is without its secrets. `outputs`: the nodes that it is run for. `shown`: {node: {input: value}} as
-- the client wrote them, where the stored graph names an asset instead.
CREATE TABLE native_prompts (
    job_id     uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    client_id  text,
    extra_data json NOT NULL DEFAULT '{}',  -- as it was written, in its order
    outputs    text[] NOT NULL DEFAULT '{}',
    shown      jsonb NOT NULL DEFAULT '{}',
    -- Lists are polled by every open editor, and whole workflows stand in extra_data.
    workflow_id text GENERATED ALWAYS AS (extra_data #>> '{extra_pnginfo,workflow,id}') STORED
);

-- What the server told of the run that ended the job, in the client's own ids and names, as /history shows it.
CREATE TABLE native_reports (
    job_id   uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    outputs  json NOT NULL DEFAULT '{}',  -- in their order: clients take the first picture
    messages json NOT NULL DEFAULT '[]',
    meta     json NOT NULL DEFAULT '{}'
);

-- Native histories that were cleared: what ended until then is shown there no more.
CREATE TABLE native_history_clearings (
    account_id uuid PRIMARY KEY,
    until      timestamptz NOT NULL
);

-- The folder that a node wrote a file into, as its graph asked for it.
ALTER TABLE outputs ADD COLUMN subfolder text NOT NULL DEFAULT '';

-- Files that were uploaded under a name, in an account's own input, temp and output folders. Each has an asset of
-- its own, and goes with it.
CREATE TABLE named_files (
    account_id  uuid NOT NULL,
    folder      text NOT NULL CHECK (folder IN ('input', 'temp', 'output')),
    subfolder   text NOT NULL,
    name        text NOT NULL,
    asset_id    uuid NOT NULL REFERENCES assets ON DELETE CASCADE,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, folder, subfolder, name)
);
CREATE INDEX named_files_by_asset ON named_files (asset_id);
-- For lists. An expression, so that no plan that was made while the table was small looks up a single name here.
CREATE INDEX named_files_newest ON named_files ((account_id::text || folder), created_at) WHERE subfolder = '';

-- Messages of running jobs on their way to sockets in other processes, for some seconds; and who listens.
CREATE UNLOGGED TABLE relayed (
    origin     uuid NOT NULL,
    seq        bigint NOT NULL,
    account_id uuid NOT NULL,
    job_id     uuid NOT NULL,
    client_id  text,
    kind       smallint NOT NULL,
    is_text    boolean NOT NULL,
    body       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, seq)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE UNLOGGED TABLE listeners (
    process    uuid NOT NULL,
    account_id uuid NOT NULL,
    until      timestamptz NOT NULL,
    PRIMARY KEY (process, account_id)
);

-- An operator asked that the server unload its models or forget its results, when it is idle.
ALTER TABLE servers
    ADD COLUMN free_asked_at timestamptz,
    ADD COLUMN free_models boolean NOT NULL DEFAULT false,
    ADD COLUMN free_memory boolean NOT NULL DEFAULT false;

-- What servers' custom nodes add to the editor: scripts, translations, templates, subgraphs; stored once by content.
CREATE TABLE server_pages (
    digest     bytea PRIMARY KEY,
    body       jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE servers ADD COLUMN pages_digest bytea REFERENCES server_pages;
CREATE INDEX servers_by_pages ON servers (pages_digest) WHERE pages_digest IS NOT NULL;

-- jsonb forgets the order of an object's members, and the editor draws a node's inputs in that order.
ALTER TABLE inventories ALTER COLUMN body TYPE json;

-- A person's settings and files in the editor.
CREATE TABLE user_settings (
    account_id uuid NOT NULL,
    key        text NOT NULL,
    value      json NOT NULL,  -- as it was written, in its order
    PRIMARY KEY (account_id, key)
);
CREATE TABLE user_files (
    account_id  uuid NOT NULL,
    path        text NOT NULL,
    asset_id    uuid NOT NULL,
    size        bigint NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, path)
);
CREATE INDEX user_files_by_asset ON user_files (asset_id);

-- Signed-in browsers. A session lives no longer than the key that it was opened with.
CREATE TABLE sessions (
    digest     bytea PRIMARY KEY,
    key_id     uuid NOT NULL REFERENCES api_keys ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_by_key ON sessions (key_id);

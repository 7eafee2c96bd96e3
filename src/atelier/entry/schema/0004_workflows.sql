-- The registry: workflows and their versions, what jobs were made of, batches, results that are given again,
-- webhooks and their deliveries.

-- Those of folders and those that were imported. `account_id` NULL: everybody's. `current` is the revision that runs
-- unless another is named, NULL while nothing is published. `withdrawn_at`: listed no more, its jobs stay readable.
CREATE TABLE workflows (
    key          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           text NOT NULL CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
    account_id   uuid,
    origin       text NOT NULL CHECK (origin IN ('shipped', 'folder', 'imported')),
    current      integer,
    created_at   timestamptz NOT NULL DEFAULT now(),
    changed_at   timestamptz NOT NULL DEFAULT now(),
    withdrawn_at timestamptz
);
CREATE UNIQUE INDEX workflows_by_id ON workflows
    (id, (coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid)));
CREATE INDEX workflows_of_owner ON workflows
    ((coalesce(account_id, '00000000-0000-0000-0000-000000000000'::uuid)));
CREATE INDEX workflows_changed ON workflows (changed_at);

-- A published revision never changes. `version` is what its author calls it; `manifest` is as it was written, with
-- every short form spelled out. `digest` is blake3 of manifest and graph. A draft is not run but by its owner.
CREATE TABLE workflow_versions (
    workflow_key bigint NOT NULL REFERENCES workflows ON DELETE CASCADE,
    revision     integer NOT NULL CHECK (revision > 0),
    version      text NOT NULL,
    manifest     json NOT NULL,
    graph        text NOT NULL,
    digest       bytea NOT NULL,
    draft        boolean NOT NULL DEFAULT false,
    cover        bytea CHECK (octet_length(cover) <= 2000000),
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow_key, revision)
);

-- One request for many jobs. `refused`: [{index, error}] of the items that were not accepted.
CREATE TABLE batches (
    id          uuid PRIMARY KEY,
    account_id  uuid NOT NULL,
    end_user    text NOT NULL DEFAULT '',
    workflow    text NOT NULL,
    total       integer NOT NULL CHECK (total > 0),
    refused     jsonb NOT NULL DEFAULT '[]',
    webhook     jsonb,
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    keep_until  timestamptz NOT NULL
);
CREATE INDEX batches_of_account ON batches (account_id, created_at DESC);
CREATE INDEX batches_keep_until ON batches (keep_until);

-- What a job was made of. `params` are all parameters with their used values; `finish` is what its files become
-- (atelier.jobs.recipe). `cache_key` names what it makes; `cached`: its files were made by an earlier job. `leader_id`:
-- it waits for another job that makes the same. `webhook`: where this job alone is told of.
CREATE TABLE job_recipes (
    job_id       uuid PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
    account_id   uuid NOT NULL,
    workflow_key bigint NOT NULL,
    revision     integer NOT NULL,
    version      text NOT NULL,
    params       jsonb NOT NULL DEFAULT '{}',
    seed         numeric(20),
    finish       jsonb,
    batch_index  integer,
    cache_key    bytea,
    cached       boolean NOT NULL DEFAULT false,
    leader_id    uuid,
    webhook      jsonb
);
CREATE INDEX job_recipes_by_leader ON job_recipes (leader_id) WHERE leader_id IS NOT NULL;

-- Who makes what a key names, or made it last. Whoever accepts a job of the key, or lets another one lead, holds this
-- row until its commit: so there is one leader, however many come at once. It is locked before any job.
CREATE TABLE results (
    cache_key bytea PRIMARY KEY,
    job_id    uuid NOT NULL REFERENCES jobs ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
) WITH (fillfactor = 80);
CREATE INDEX results_by_job ON results (job_id);

ALTER TABLE jobs
    ADD COLUMN workflow text,
    ADD COLUMN batch_id uuid;
CREATE INDEX jobs_of_workflow ON jobs (account_id, workflow, position DESC) WHERE workflow IS NOT NULL;
CREATE INDEX jobs_of_end_user ON jobs (account_id, end_user, position DESC) WHERE end_user <> '';
CREATE INDEX jobs_of_batch ON jobs (batch_id, position) WHERE batch_id IS NOT NULL;
CREATE INDEX jobs_prepared ON jobs (wait_until) WHERE state = 'preparing';

-- All events of an account are one stream. `tx` is the transaction that wrote an event: whoever was told all that one
-- snapshot saw is told next what that one did not see and a newer one does. So nothing is missed, however long a
-- transaction lasts, and nothing is told twice. Of older events both are NULL: they are in no stream.
ALTER TABLE job_events ADD COLUMN account_id uuid, ADD COLUMN tx xid8;
ALTER TABLE job_events ALTER COLUMN tx SET DEFAULT pg_current_xact_id();
CREATE INDEX job_events_of_account ON job_events (account_id, tx);

CREATE FUNCTION job_event_owner() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT account_id INTO NEW.account_id FROM jobs WHERE id = NEW.job_id;
    RETURN NEW;
END $$;
CREATE TRIGGER job_event_owner BEFORE INSERT ON job_events FOR EACH ROW WHEN (NEW.account_id IS NULL)
    EXECUTE FUNCTION job_event_owner();

-- Small pictures of pictures and videos, made once for each content and size (pixels of the longer side).
CREATE TABLE thumbnails (
    hash       bytea NOT NULL REFERENCES blobs ON DELETE CASCADE,
    size       smallint NOT NULL,
    thumb_hash bytea NOT NULL REFERENCES blobs,
    width      integer NOT NULL,
    height     integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (hash, size)
);
CREATE INDEX thumbnails_by_thumb ON thumbnails (thumb_hash);

-- Where an account is told what happened to its jobs. `secret` signs (Standard Webhooks, whsec_…), and so does
-- `former_secret` until `former_until`; `events` empty: all that end a job or a batch. `failing_since`: nothing has
-- arrived since then. `why_disabled` is for its owner; empty: it was the owner.
CREATE TABLE webhook_endpoints (
    id            uuid PRIMARY KEY,
    account_id    uuid NOT NULL,
    url           text NOT NULL,
    secret        text NOT NULL,
    former_secret text,
    former_until  timestamptz,
    events        text[] NOT NULL DEFAULT '{}',
    description   text NOT NULL DEFAULT '',
    enabled       boolean NOT NULL DEFAULT true,
    why_disabled  text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    failing_since timestamptz
);
CREATE INDEX webhook_endpoints_of_account ON webhook_endpoints (account_id, id);

-- Events that somebody wants to be told of, noted with the event itself by the trigger below. A note that cannot be
-- read is put off until `not_before`.
CREATE TABLE webhook_outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id     uuid NOT NULL,
    seq        integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz NOT NULL DEFAULT now()
);

-- One thing told to one address. `id` is the message's webhook-id, the same on every try. `endpoint_id` NULL: the
-- address came with the request, and `secret` with it (NULL: the account's own signs). While it is pending, `next_at`
-- is when it is tried next; whoever takes it to send it moves that on, so that a sender that dies is followed.
-- `tries` counts all, `spent` those of the rounds before it was last told again by hand.
CREATE TABLE webhook_deliveries (
    id           uuid PRIMARY KEY,
    account_id   uuid NOT NULL,
    endpoint_id  uuid REFERENCES webhook_endpoints ON DELETE CASCADE,
    url          text NOT NULL,
    secret       text,
    event        text NOT NULL,
    about        uuid NOT NULL,
    body         text NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    tries        integer NOT NULL DEFAULT 0,
    spent        integer NOT NULL DEFAULT 0,
    next_at      timestamptz DEFAULT now(),
    created_at   timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    UNIQUE NULLS NOT DISTINCT (about, event, endpoint_id, url),
    CHECK ((state = 'pending') = (next_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX webhook_deliveries_of_account ON webhook_deliveries (account_id, id);
CREATE INDEX webhook_deliveries_of_endpoint ON webhook_deliveries (endpoint_id, id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at) WHERE state = 'pending';

-- `said`: how the answer began. `status` NULL: there was none, and `error` says why.
CREATE TABLE webhook_tries (
    delivery_id uuid NOT NULL REFERENCES webhook_deliveries ON DELETE CASCADE,
    number      integer NOT NULL,
    status      integer,
    error       text NOT NULL DEFAULT '',
    said        text NOT NULL DEFAULT '',
    seconds     double precision NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (delivery_id, number)
);

-- Jobs begin far more often than anybody asks to be told of it: that is told only to those who named it.
CREATE FUNCTION webhook_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_outbox (job_id, seq)
    SELECT NEW.job_id, NEW.seq
    WHERE EXISTS (SELECT 1 FROM webhook_endpoints w WHERE w.account_id = NEW.account_id AND w.enabled
                  AND (NEW.terminal OR 'job.running' = ANY(w.events)))
       OR EXISTS (SELECT 1 FROM job_recipes r WHERE r.job_id = NEW.job_id AND r.webhook IS NOT NULL
                  AND (NEW.terminal OR r.webhook -> 'events' ? 'job.running'))
       OR EXISTS (SELECT 1 FROM jobs j JOIN batches b ON b.id = j.batch_id
                  WHERE j.id = NEW.job_id AND b.webhook IS NOT NULL
                  AND (NEW.terminal OR b.webhook -> 'events' ? 'job.running'));
    RETURN NULL;
END $$;
CREATE TRIGGER webhook_note AFTER INSERT ON job_events FOR EACH ROW
    WHEN (NEW.terminal OR (NEW.kind = 'status' AND NEW.data ->> 'state' = 'running'))
    EXECUTE FUNCTION webhook_note();

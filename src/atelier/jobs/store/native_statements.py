"""The statements of the native API's reads and controls: every row is reached by an index, every set is bounded.

What is read together: a native history of 10,000 jobs, a queue of 1,000, 64 MB of what jobs came with and told.
"""

from typing import LiteralString

from atelier.jobs.store.reads import COLUMNS

# In the statements these stand as numbers: a plan that does not know them reads whole queues and sorts them. What
# is asked for is a limit around them.
HISTORY = "10000"
QUEUE = "1000"
_LIVE = "10000"
_PARTIES = "100"
_COUNTED = "100000"
_READ_BYTES = "64000000"

# The predicate of the index jobs_ended, to the letter.
_SHOWN = """finished_at IS NOT NULL AND NOT forgotten AND (state <> 'canceled' OR started_at IS NOT NULL)"""
_CLEARED = "SELECT until FROM native_history_clearings WHERE account_id = %(account)s"

# The columns of the index jobs_waiting_by_turn: asked for in this order, no plan takes another.
_TURN = "priority DESC, account_id, end_user, coalesce(number, position), position"

_ENDED = f"""
ended AS MATERIALIZED (
    SELECT * FROM (
        SELECT id, finished_at, position, state FROM jobs
        WHERE account_id = %(account)s AND {_SHOWN} AND finished_at > coalesce(({_CLEARED}), '-infinity')
        ORDER BY account_id DESC, finished_at DESC, position DESC LIMIT {HISTORY}) newest
    LIMIT %(most)s
)
"""  # noqa: S608 - fixed columns and numbers

_LIVE_COLUMNS = "id, position, state, started_at, priority, coalesce(number, position) AS turn, native_prompt_id"

_ON_SERVERS = f"""
SELECT {_LIVE_COLUMNS} FROM jobs
WHERE account_id = %(account)s AND state IN ('claimed', 'running', 'canceling')
"""  # noqa: S608 - fixed columns

_WAITING = f"""
SELECT w.* FROM generate_series(10, 1, -1) AS class CROSS JOIN LATERAL (
    SELECT {_LIVE_COLUMNS} FROM jobs
    WHERE state = 'queued' AND priority = class::smallint AND account_id = %(account)s
    ORDER BY {_TURN} LIMIT {_LIVE}) w
"""  # noqa: S608 - fixed columns and numbers

# From each waiting party of the account to the next by one probe of the index.
_QUEUED = f"""
walk AS (
    SELECT class::smallint AS priority, f.end_user
    FROM generate_series(10, 1, -1) AS class CROSS JOIN LATERAL (
        SELECT end_user FROM jobs WHERE state = 'queued' AND priority = class::smallint
          AND account_id = %(account)s ORDER BY account_id, end_user LIMIT 1) f
    UNION ALL
    SELECT w.priority, n.end_user FROM walk w CROSS JOIN LATERAL (
        SELECT end_user FROM jobs WHERE state = 'queued' AND priority = w.priority
          AND account_id = %(account)s AND end_user > w.end_user ORDER BY account_id, end_user LIMIT 1) n
), party AS MATERIALIZED (SELECT * FROM walk LIMIT {_PARTIES}
), queued AS MATERIALIZED (
    SELECT w.* FROM party p CROSS JOIN LATERAL (
        SELECT id, position, priority, coalesce(number, position) AS turn FROM jobs j
        WHERE j.state = 'queued' AND j.priority = p.priority AND j.account_id = %(account)s
          AND j.end_user = p.end_user
        ORDER BY j.priority DESC, j.account_id, j.end_user, coalesce(j.number, j.position), j.position
        LIMIT {QUEUE}) w
)
"""  # noqa: S608 - fixed columns and numbers

# Every job and what belongs to it is entered by its primary key; LIMIT 1 where at most one row can be, so that no
# plan reads all of them to join them.
_BELONGINGS = """
LEFT JOIN LATERAL (SELECT * FROM jobs WHERE id = c.id LIMIT 1) j ON true
LEFT JOIN LATERAL (SELECT * FROM native_prompts WHERE job_id = j.id LIMIT 1) p ON true
LEFT JOIN LATERAL (SELECT * FROM native_reports WHERE job_id = j.id LIMIT 1) r ON true
LEFT JOIN LATERAL (SELECT body FROM graphs WHERE digest = j.graph_digest LIMIT 1) g ON true
"""
_REPORT = ("r.outputs", "r.messages", "r.meta")
_SIZE_OF_REPORT = " + ".join(f"coalesce(octet_length({part}::text), 0)" for part in _REPORT)
_SIZE_OF_PROMPT = """coalesce(octet_length(g.body), 0) + coalesce(octet_length(p.extra_data::text), 0)
    + coalesce(octet_length(p.shown::text), 0)"""
_ALL_GRAPHS = "g.body"
_NO_GRAPHS = "NULL"
_WORKFLOW_ALONE = """json_build_object('extra_pnginfo',
    json_build_object('workflow', json_build_object('id', p.workflow_id)))::text"""
_ONE_GRAPH = "CASE WHEN %(graph)s THEN g.body END"


def _entries(
    tables: LiteralString, graph: LiteralString, source: LiteralString = "chosen c", also: LiteralString = "0"
) -> LiteralString:
    """A statement that reads the jobs that `chosen(id, place)` of `tables` names, in that order.

    Of several jobs what they came with and what was told of them is read up to a bound together, of those behind
    it only that they are. Without graphs no more of what came with them is read than whose workflow they are.
    """
    size = _SIZE_OF_REPORT if graph == _NO_GRAPHS else f"{_SIZE_OF_PROMPT} + {_SIZE_OF_REPORT}"
    fits = "true" if graph == _ONE_GRAPH else f"sum({size}) OVER (ORDER BY c.place) <= {_READ_BYTES}"
    said = _WORKFLOW_ALONE if graph == _NO_GRAPHS else f"CASE WHEN {fits} THEN p.extra_data::text ELSE '{{}}' END"
    shown = "'{}'" if graph == _NO_GRAPHS else f"CASE WHEN {fits} THEN p.shown ELSE '{{}}' END"
    report = ", ".join(f"CASE WHEN {fits} THEN {part} END" for part in _REPORT)
    return f"""
WITH RECURSIVE {tables}
SELECT {also}, CASE WHEN {fits} THEN {graph} END, coalesce(j.native_prompt_id, j.id)::text, j.number,
       {_SHOWN} AND j.finished_at > coalesce(({_CLEARED}), '-infinity'),
       p.client_id, CASE WHEN p.job_id IS NOT NULL THEN {said} END, p.outputs,
       CASE WHEN p.job_id IS NOT NULL THEN {shown}::jsonb END, {report}, {COLUMNS}
FROM {source} {_BELONGINGS} ORDER BY c.place
"""  # noqa: S608 - fixed columns


ENTRY = _entries(
    """chosen AS MATERIALIZED (
    SELECT id, 0 AS place FROM (
        SELECT id FROM jobs WHERE native_prompt_id = %(prompt)s AND (account_id = %(account)s) IS TRUE
        UNION ALL
        SELECT id FROM jobs WHERE id = %(prompt)s AND (account_id = %(account)s) IS TRUE) found LIMIT 1
)""",
    _ONE_GRAPH,
)

NEWEST = _entries(
    f"""{_ENDED}, chosen AS (
    SELECT id, row_number() OVER (ORDER BY finished_at, position) AS place FROM ended)""",  # noqa: S608 - fixed columns
    _ALL_GRAPHS,
)

FROM_OLDEST = _entries(
    f"""{_ENDED}, chosen AS (
    SELECT id, row_number() OVER (ORDER BY finished_at, position) AS place FROM ended
    ORDER BY finished_at, position OFFSET %(offset)s LIMIT %(limit)s)""",  # noqa: S608 - fixed columns
    _ALL_GRAPHS,
)

# What a server holds and has not begun waits, before all that no server holds.
QUEUE_ENTRIES = _entries(
    f"""{_QUEUED}, held AS MATERIALIZED ({_ON_SERVERS}
), waiting AS (
    SELECT id, 1 AS kind, priority, turn, position FROM held WHERE state = 'claimed'
    UNION ALL SELECT id, 2, priority, turn, position FROM queued
    ORDER BY 2, 3 DESC, 4, 5 LIMIT %(limit)s
), shown AS (
    SELECT id, 0 AS kind, 0 AS priority, extract(epoch FROM started_at) AS turn, position FROM held
    WHERE state <> 'claimed'
    UNION ALL SELECT * FROM waiting
), chosen AS (
    SELECT id, kind, row_number() OVER (ORDER BY kind, priority DESC, turn, position) AS place FROM shown
)""",  # noqa: S608 - fixed columns
    _ALL_GRAPHS,
    also="c.kind",
)

_FOUND = f"""
{_ENDED}, found AS MATERIALIZED (
    SELECT id, position FROM ended WHERE %(with_ended)s AND state = ANY(%(states)s)
    UNION ALL
    SELECT id, position FROM ({_ON_SERVERS}) held WHERE %(with_live)s AND state = ANY(%(states)s)
    UNION ALL
    SELECT id, position FROM ({_WAITING}) waiting WHERE %(with_live)s AND state = ANY(%(states)s)
), fit AS MATERIALIZED (
    SELECT f.* FROM found f WHERE %(workflow)s::text IS NULL OR %(workflow)s = (
        SELECT workflow_id FROM native_prompts WHERE job_id = f.id)
)
"""  # noqa: S608 - fixed columns and numbers


def _listing(joined: LiteralString, order: LiteralString) -> LiteralString:
    chosen = f"""{_FOUND}, chosen AS (
    SELECT f.id, row_number() OVER (ORDER BY {order}) AS place FROM fit f {joined}
    ORDER BY {order} OFFSET %(offset)s LIMIT %(limit)s)"""  # noqa: S608 - fixed columns
    source = "(SELECT count(*) AS jobs FROM fit) total LEFT JOIN chosen c ON true"
    return _entries(chosen, _NO_GRAPHS, source, "total.jobs")


_RAN = "coalesce(extract(epoch FROM t.finished_at - t.started_at), 0)"
_TIMES = "LEFT JOIN LATERAL (SELECT started_at, finished_at FROM jobs WHERE id = f.id LIMIT 1) t ON true"
LISTINGS: dict[tuple[bool, bool], LiteralString] = {
    (False, False): _listing("", "f.position DESC"),
    (False, True): _listing("", "f.position"),
    (True, False): _listing(_TIMES, f"{_RAN} DESC, f.position DESC"),
    (True, True): _listing(_TIMES, f"{_RAN}, f.position"),
}
"""By (by duration, ascending)."""

ENDED_OF = _entries(
    """chosen AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY finished_at, position) AS place FROM jobs
    WHERE id = ANY(%(ids)s) AND (account_id = %(account)s) IS TRUE AND finished_at IS NOT NULL
)""",
    _NO_GRAPHS,
)

LIVE_PROMPTS = f"""
SELECT l.id, coalesce(l.native_prompt_id, l.id)::text, p.client_id, l.state, l.started_at IS NOT NULL
FROM ({_ON_SERVERS} UNION ALL {_WAITING}) l
CROSS JOIN LATERAL (SELECT client_id FROM native_prompts WHERE job_id = l.id LIMIT 1) p
ORDER BY l.position
"""  # noqa: S608 - fixed columns

PROMPT = "SELECT client_id, extra_data, outputs, shown FROM native_prompts WHERE job_id = %s"

REMAINING = f"""
SELECT (SELECT count(*) FROM jobs
        WHERE account_id = %(account)s AND state IN ('claimed', 'running', 'canceling'))
     + (SELECT coalesce(sum(jobs), 0) FROM generate_series(1, 10) AS class CROSS JOIN LATERAL (
            SELECT count(*) AS jobs FROM (
                SELECT FROM jobs
                WHERE state = 'queued' AND priority = class::smallint AND account_id = %(account)s
                ORDER BY {_TURN} LIMIT {_COUNTED}) one) w) AS jobs
"""  # noqa: S608 - fixed columns and numbers

# What ended lately and was not `told`, and beside each how many jobs are left; one row of NULLs where nothing did.
NEWS = _entries(
    f"""chosen AS MATERIALIZED (
    SELECT id, row_number() OVER (ORDER BY finished_at, position) AS place FROM (
        SELECT id, finished_at, position FROM jobs
        WHERE account_id = %(account)s AND {_SHOWN}
          AND finished_at > now() - make_interval(secs => %(seconds)s)
        ORDER BY account_id DESC, finished_at DESC, position DESC LIMIT {QUEUE}) lately
    WHERE NOT id = ANY(%(told)s) AND EXISTS (SELECT 1 FROM native_prompts WHERE job_id = lately.id)
)""",  # noqa: S608 - fixed columns
    _NO_GRAPHS,
    f"({REMAINING}) total LEFT JOIN chosen c ON true",
    "total.jobs",
)

CLEAR = """
INSERT INTO native_history_clearings (account_id, until)
SELECT account_id, finished_at FROM jobs WHERE account_id = %(account)s AND finished_at IS NOT NULL
  AND NOT forgotten AND (state <> 'canceled' OR started_at IS NOT NULL)
ORDER BY account_id DESC, finished_at DESC, position DESC LIMIT 1
ON CONFLICT (account_id) DO UPDATE SET until = greatest(native_history_clearings.until, excluded.until)
"""

FORGET = """
UPDATE jobs SET forgotten = true WHERE finished_at IS NOT NULL AND NOT forgotten AND id IN (
    SELECT id FROM jobs WHERE native_prompt_id = ANY(%(prompts)s) AND (account_id = %(account)s) IS TRUE
    UNION ALL
    SELECT id FROM jobs WHERE id = ANY(%(prompts)s) AND (account_id = %(account)s) IS TRUE)
"""

# Locked in the order of their ids, as whoever else locks several of an account's jobs; a job that moves on
# meanwhile is looked at again when its lock is ours.
_NAMED = """
SELECT id FROM jobs WHERE native_prompt_id = ANY(%(prompts)s) AND (account_id = %(account)s) IS TRUE
UNION ALL
SELECT id FROM jobs WHERE id = ANY(%(prompts)s) AND (account_id = %(account)s) IS TRUE
"""
_RUNNING = f"SELECT id FROM ({_ON_SERVERS}) held WHERE state = 'running'"  # noqa: S608 - fixed columns
_NOT_BEGUN = f"""
SELECT id FROM ({_ON_SERVERS}) held WHERE state = 'claimed' UNION ALL SELECT id FROM ({_WAITING}) waiting
"""  # noqa: S608 - fixed columns


def _stop(some: LiteralString, states: LiteralString) -> LiteralString:
    """What waits is canceled; what a server holds can only end canceled from now on."""
    return f"""
WITH asked AS MATERIALIZED ({some}
), locked AS MATERIALIZED (
    SELECT j.id, j.state FROM jobs j JOIN asked USING (id)
    WHERE j.state IN ({states}) ORDER BY j.id FOR UPDATE OF j
), job AS (
    UPDATE jobs j SET
        state = CASE WHEN l.state = 'queued' THEN 'canceled' ELSE 'canceling' END,
        finished_at = CASE WHEN l.state = 'queued' THEN now() END,
        secrets = CASE WHEN l.state = 'queued' THEN NULL ELSE j.secrets END, event_seq = j.event_seq + 1
    FROM locked l WHERE j.id = l.id
    RETURNING j.id, j.state, j.event_seq, (j.created_at AT TIME ZONE 'UTC')::date AS day
), hold AS (
    UPDATE holds SET state = 'released', settled_at = now() FROM job
    WHERE holds.job_id = job.id AND holds.state = 'held' AND job.state = 'canceled'
), event AS (
    INSERT INTO job_events (job_day, job_id, seq, kind, terminal, data)
    SELECT day, id, event_seq, 'status', state = 'canceled', jsonb_build_object('state', state) FROM job
)
SELECT id FROM job ORDER BY id
"""  # noqa: S608 - fixed columns


INTERRUPT_ONE, INTERRUPT = _stop(_NAMED, "'running'"), _stop(_RUNNING, "'running'")
DROP_SOME, DROP = _stop(_NAMED, "'queued', 'claimed'"), _stop(_NOT_BEGUN, "'queued', 'claimed'")

# An attempt that was canceled at its server says where that was; one that was over already leaves no evidence.
BROKEN_OFF = """
SELECT j.id, CASE WHEN j.finished_at IS NOT NULL THEN EXISTS (
    SELECT 1 FROM attempts a
    WHERE a.job_id = j.id AND a.number = j.attempt AND a.outcome = 'canceled' AND a.evidence IS NOT NULL) END
FROM jobs j WHERE j.id = ANY(%(jobs)s::uuid[])
"""

"""A plan that was made while all tables were empty still reads few rows when they are large."""

import re
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, LiteralString, cast

from psycopg import sql

from atelier.jobs.store import native_statements as native
from atelier.jobs.store import prospects, recipes, waiting
from atelier.kit.database import Tx
from atelier.kit.ids import new_uuid
from support.yard import Yard

OWNER, SOMEBODY = uuid.UUID(int=77), uuid.UUID(int=78)
ENDED, QUEUED = 20_000, 6_000
LISTED: dict[str, Any] = {"most": 10_000, "workflow": None, "offset": 0, "limit": 64}
FINISHED = ["succeeded", "failed", "canceled"]

FILL = f"""
INSERT INTO graphs (digest, body) VALUES ('x', '{{}}');
INSERT INTO jobs (id, account_id, dialect, native_prompt_id, graph_digest, requirement_id, shape, wait_until,
                  keep_until, state, finished_at, started_at, forgotten)
SELECT gen_random_uuid(), '{OWNER}', 'x', gen_random_uuid(), 'x', 1, 'x', now() + interval '1 day',
       now() + interval '1 day', CASE WHEN n % 7 = 0 THEN 'canceled' ELSE 'succeeded' END,
       now() - make_interval(secs => n), CASE WHEN n % 14 = 0 THEN NULL ELSE now() END, n % 3 = 0
FROM generate_series(1, {ENDED}) AS n;
INSERT INTO jobs (id, account_id, dialect, graph_digest, requirement_id, shape, wait_until, keep_until, number,
                  lane)
SELECT gen_random_uuid(), CASE WHEN n % 5 = 0 THEN '{SOMEBODY}' ELSE '{OWNER}' END::uuid, 'x', 'x', 1, 'x',
       now() + interval '1 day', now() + interval '1 day', CASE WHEN n % 10 = 0 THEN -n END, 'lane'
FROM generate_series(1, {QUEUED}) AS n;
INSERT INTO native_prompts (job_id) SELECT id FROM jobs;
INSERT INTO job_recipes (job_id, account_id, workflow_key, revision, version)
SELECT id, account_id, 1, 1, '1' FROM jobs;
INSERT INTO native_reports (job_id) SELECT id FROM jobs WHERE finished_at IS NOT NULL
"""  # noqa: S608 - of a test


def listing(states: list[str], *, live: bool) -> dict[str, Any]:
    return {**LISTED, "account": OWNER, "states": states, "with_ended": True, "with_live": live}


PROMPT = {"account": OWNER, "prompts": [new_uuid()]}
STATEMENTS: dict[str, tuple[LiteralString, Mapping[str, Any], int]] = {
    "entry": (native.ENTRY, {"account": OWNER, "prompt": new_uuid(), "graph": True}, 10),
    "newest": (native.NEWEST, {"account": OWNER, "most": 64}, 400),
    "from_oldest": (native.FROM_OLDEST, {"account": OWNER, "most": 10_000, "offset": 5, "limit": 10}, 10_100),
    "queue": (native.QUEUE_ENTRIES, {"account": OWNER, "limit": 100}, 1_600),
    "remaining": (native.REMAINING, {"account": OWNER}, QUEUED),
    "live": (native.LIVE_PROMPTS, {"account": OWNER}, 2 * QUEUED),
    "clear": (native.CLEAR, {"account": OWNER}, 5),
    "forget": (native.FORGET, PROMPT, 5),
    "interrupt": (native.INTERRUPT, PROMPT, 5),
    "interrupt_one": (native.INTERRUPT_ONE, PROMPT, 5),
    "drop_some": (native.DROP_SOME, PROMPT, 5),
    "ended": (native.ENDED_OF, {"account": OWNER, "ids": [new_uuid()]}, 5),
    "news": (native.NEWS, {"account": OWNER, "seconds": 20, "told": [new_uuid()]}, QUEUED + 150),
    "listing": (native.LISTINGS[False, False], listing(FINISHED, live=False), 10_300),
    "listing_by_duration": (native.LISTINGS[True, False], listing(FINISHED, live=False), 20_300),
    "listing_of_all": (native.LISTINGS[False, False], listing([*FINISHED, "queued"], live=True), 16_000),
    "walk": (
        waiting._READ,
        {
            "account": uuid.UUID(int=0),
            "user": "",
            "last": 1999,
            "limit": 0,
            "refused": [],
            "lanes": ["lane"],
            "credit": 1.0,
            "each": 2,
            "enough": 64,
        },
        300,
    ),
    "recipes": (recipes._OF_JOBS, {"account": OWNER, "jobs": [new_uuid()]}, 5),
    "windows": (
        prospects._WINDOWS,
        {"priorities": [5], "accounts": [OWNER], "users": [""], "each": 100},
        110,
    ),
}


async def prepare(tx: Tx, name: str, statement: str, values: Mapping[str, Any]) -> list[Any]:
    """Prepare it under this name; gives the values in order."""
    order = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    for number, key in enumerate(order, 1):
        statement = statement.replace(f"%({key})s", f"${number}")
    await tx.execute(
        sql.SQL("PREPARE {} AS ").format(sql.Identifier(name)) + sql.SQL(cast("LiteralString", statement))
    )
    return [values[key] for key in order]


async def plan(tx: Tx, name: str, values: list[Any], *, run: bool) -> dict[str, Any]:
    """As PostgreSQL explains it; with `run` from what it did, which is undone."""
    given = sql.SQL("({})").format(sql.SQL(",").join(map(sql.Literal, values)))
    options = sql.SQL("FORMAT JSON, ANALYZE" if run else "FORMAT JSON")
    asked = sql.SQL("EXPLAIN ({}) EXECUTE {} {}").format(options, sql.Identifier(name), given)
    async with tx.transaction(force_rollback=True):
        row = await (await tx.execute(asked)).fetchone()
    assert row is not None
    return dict(row[0][0]["Plan"])


def scans(node: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Every look at a table or an index, and how many rows it read."""
    loops = node.get("Actual Loops", 1)
    if "Relation Name" in node or "Index Name" in node:
        read = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        yield str(node.get("Index Name", node.get("Relation Name"))), int(read * loops)
    for inner in node.get("Plans", []):
        yield from scans(inner)


async def test_no_statement_reads_more_than_it_shows(yard: Yard) -> None:
    async with yard.database.autocommit() as tx:
        await tx.execute("SET plan_cache_mode = force_generic_plan")
        for table in ("jobs", "native_prompts", "native_reports", "graphs"):
            await tx.execute(
                sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = false)").format(sql.Identifier(table))
            )
        values = {
            name: await prepare(tx, name, statement, given) for name, (statement, given, _) in STATEMENTS.items()
        }
        for name in STATEMENTS:
            await plan(tx, name, values[name], run=False)
        await tx.execute(FILL.encode())

        found = {name: list(scans(await plan(tx, name, values[name], run=True))) for name in STATEMENTS}

    for name, (_, _, most) in STATEMENTS.items():
        assert sum(rows for _, rows in found[name]) <= most, f"{name}: {found[name]}"

"""Queues of any length, made in the database itself, and one server to claim for."""

from dataclasses import dataclass

from psycopg import sql

from atelier.entry.state import SCHEMA
from atelier.kit.database import Database
from atelier.kit.ids import DispatcherId, ServerId, new_uuid
from atelier.kit.migrations import migrate
from tools.bench.fleet.plan import Depth

LANES = 10
GRAPH = "{}"
SERVER = ServerId("measured")
FENCE = 1

_FLEET = (
    "INSERT INTO servers (id, url, origin) VALUES ('measured', 'http://127.0.0.1:1', 'added')",
    "INSERT INTO leases (server_id, dispatcher_id, fence) VALUES ('measured', %(me)s, 1)",
    "INSERT INTO dispatchers (id, name, expires_at) VALUES (%(me)s, 'measured', now() + interval '1 day')",
    "INSERT INTO graphs (digest, body) VALUES ('\\x00', '{}')",
    """INSERT INTO accounts (id, name) SELECT gen_random_uuid(), 'account-' || n
       FROM generate_series(1, %(accounts)s) AS n""",
    """INSERT INTO requirements (digest, body) SELECT sha256(n::text::bytea), '{}'
       FROM generate_series(1, %(requirements)s) AS n""",
)

# Accounts, requirement sets and lanes alternate, so that the front of the queue looks like all of it.
_JOBS = """
WITH owner AS (SELECT array_agg(id) AS ids FROM accounts), asked AS (SELECT array_agg(id) AS ids FROM requirements)
INSERT INTO jobs (id, account_id, dialect, graph_digest, requirement_id, lane, shape, wait_until, keep_until)
SELECT gen_random_uuid(), owner.ids[1 + n %% %(accounts)s], 'bench', '\\x00', asked.ids[1 + n %% %(requirements)s],
       'lane-' || n %% %(lanes)s, '\\x01', now() + interval '1 day', now() + interval '30 days'
FROM owner, asked, generate_series(1, %(jobs)s) AS n
"""


@dataclass(frozen=True, slots=True)
class Queue:
    depth: Depth
    database: Database
    dispatcher: DispatcherId


async def filled(url: str, depth: Depth) -> Queue:
    """A queue in the empty database at `url`, vacuumed and analyzed, as it stands after a while; close it."""
    database = Database(url)
    await database.open()
    await migrate(database, SCHEMA)
    queue = Queue(depth, database, DispatcherId(new_uuid()))
    values = {
        "me": queue.dispatcher,
        "accounts": depth.accounts,
        "lanes": min(LANES, depth.requirements),
        "requirements": depth.requirements,
        "jobs": depth.jobs,
    }
    connection = await database.connect()
    async with connection:
        for statement in (*_FLEET, _JOBS):
            await connection.execute(statement, values)
        await connection.execute("VACUUM ANALYZE")
    return queue


async def make_database(url: str, name: str) -> str:
    """An empty database on the server of `url`; gives its own URL."""
    database = Database(url)
    connection = await database.connect()
    async with connection:
        await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    before, _, query = url.partition("?")
    return f"{before.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")

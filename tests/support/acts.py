"""What clients, dispatchers and the clock do in a small world of two servers and two dispatchers."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from atelier.fleet.model import Origin
from atelier.fleet.store import leasing, roster
from atelier.jobs import native, rules, service
from atelier.jobs.model import Cause, Claim, Head, IdempotencyKey, JobError, Limits, Outcome, Wish
from atelier.jobs.prompt import Prompt
from atelier.jobs.store import attempts, claims, sweep, waiting
from atelier.jobs.store.waiting import Asked
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, DispatcherId, JobId, ServerId, new_uuid
from support.interleaving import Lane, Tape
from support.yard import made, new_job

SERVERS = (ServerId("server-1"), ServerId("server-2"))
MOST_JOBS = 6
PROMPTS = (uuid.UUID(int=1), uuid.UUID(int=2))
COST, BASE = 3.0, 100.0
"""What each claim charges, and from where."""

UNLIMITED = Limits()
LIMITED = Limits(per_account=3)
LIMITS = (UNLIMITED, UNLIMITED, LIMITED, Limits(in_all=3))
"""Under which of these a world may stand; in the beginning two jobs are on servers."""

_FAILED = JobError("node_execution_error", "It failed.")

_EMPTY = """
DELETE FROM jobs; DELETE FROM job_events; DELETE FROM holds; DELETE FROM outputs; DELETE FROM assets;
DELETE FROM idempotency_keys; DELETE FROM dispatchers; DELETE FROM leases; DELETE FROM servers; DELETE FROM shares
"""

_LAPSE = """
UPDATE dispatchers SET expires_at = clock_timestamp() - interval '1 s'
WHERE id IN (SELECT id FROM dispatchers WHERE id = ANY(%s) FOR UPDATE SKIP LOCKED)
"""

_RIPEN = """
UPDATE jobs SET not_before = now() WHERE id IN (
    SELECT id FROM jobs WHERE state = 'queued' AND not_before > now() FOR UPDATE SKIP LOCKED)
"""


@dataclass(slots=True)
class Process:
    """A dispatcher and what it believes: leases and claims that may be long lost."""

    me: DispatcherId = field(default_factory=lambda: DispatcherId(new_uuid()))
    leases: dict[ServerId, int] = field(default_factory=dict[ServerId, int])
    claims: list[Claim] = field(default_factory=list[Claim])


class Acts:
    """Every act runs on a lane, statement by statement, and asks the tape for whatever is left open."""

    def __init__(self, observer: Tx, requirement_id: int) -> None:
        self.observer = observer
        self.processes = (Process(), Process())
        self.jobs: list[JobId] = []
        self.account_id = AccountId(new_uuid())
        self.limits = UNLIMITED
        self.verdicts: dict[Lane, tuple[Claim, object]] = {}
        self.requirement_id = requirement_id

    async def begin(self, limits: Limits) -> None:
        """Each dispatcher has a server and a claim; two jobs wait, one of them for too long."""
        self.limits = limits
        await self.observer.execute(_EMPTY)
        self.processes, self.jobs = (Process(), Process()), []
        for server, process in zip(SERVERS, self.processes, strict=True):
            await roster.put(self.observer, server, f"http://{server}", {}, Origin.ADDED)
            await leasing.beat(self.observer, process.me, "test", 60)
            async with self.observer.transaction():
                await leasing.acquire(self.observer, process.me, 1)
            process.leases = {server: 1}
            await self.accept(3600.0)
            heads = await heads_of(self.observer)
            wishes = wishes_of(heads, process.leases, Tape(b""))
            process.claims += await claims.claim(self.observer, process.me, wishes)
        await self.accept(3600.0)
        await self.accept(-1.0)

    async def finish(self) -> None:
        """Everybody is gone; one more dispatcher comes and brings everything to its end."""
        await self.lapse(*self.processes)
        last = Process()
        await self.take_all(last)
        for server, fence in last.leases.items():
            for claim in await service.adopt(self.observer, server, fence):
                await self.end(claim)
        for _ in range(MOST_JOBS):
            await self.ripen()
            heads = await heads_of(self.observer)
            if not heads:
                break
            for claim in await claims.claim(self.observer, last.me, wishes_of(heads, last.leases, Tape(b""))):
                await self.end(claim)

    async def take_all(self, process: Process) -> None:
        """It has both servers now, which nobody holds."""
        await leasing.beat(self.observer, process.me, "test", 60)
        async with self.observer.transaction():
            await leasing.acquire(self.observer, process.me, 2)
            leases = await leasing.leases(self.observer, process.me)
        process.leases = {lease.server.id: lease.fence for lease in leases}

    async def ripen(self) -> None:
        """The wait before the next try is over."""
        await self.observer.execute(_RIPEN)

    async def lapse(self, *processes: Process) -> None:
        """Time passes in which these dispatchers do not renew."""
        await self.observer.execute(_LAPSE, ([process.me for process in processes],))

    async def submit(self, lane: Lane, tape: Tape) -> None:
        key = (None, "one", "two")[tape.choose(3)]
        job = new_job(
            account_id=self.account_id,
            requirement_id=self.requirement_id,
            price=10,
            priority=1 + tape.choose(2),
            queue_ttl=-1.0 if tape.choose(8) == 7 else 3600.0,
            idempotency=IdempotencyKey(key, b"h") if key else None,
            native_prompt_id=(None, None, *PROMPTS)[tape.choose(4)],
            front=bool(tape.choose(2)),
            prompt=Prompt() if tape.choose(2) else None,
        )
        if len(self.jobs) < MOST_JOBS:
            self.jobs.append((await lane.transaction(lambda tx: service.submit(tx, job))).id)

    async def feed(self, lane: Lane, tape: Tape) -> None:
        """See what waits; later claim some of it."""
        process = self._process(tape)
        heads = await lane.transaction(heads_of)
        wishes = wishes_of(heads, process.leases, tape)
        if not wishes:
            return
        if self.limits == UNLIMITED:
            taken = await lane.transaction(lambda tx: claims.claim(tx, process.me, wishes))
        else:
            taken = await lane.transaction(lambda tx: claims.claim_within(tx, process.me, wishes, self.limits))
        if tape.choose(6) < 5:
            process.claims += taken

    async def beat(self, lane: Lane, tape: Tape) -> None:
        """Renew; take over what is free; adopt what lives there."""
        process, most = self._process(tape), tape.choose(3)

        async def renew(tx: Tx) -> dict[ServerId, int]:
            await leasing.beat(tx, process.me, "test", 60)
            await leasing.acquire(tx, process.me, most)
            return {lease.server.id: lease.fence for lease in await leasing.leases(tx, process.me)}

        leases = await lane.transaction(renew)
        fresh = {server: fence for server, fence in leases.items() if process.leases.get(server) != fence}
        process.leases = leases
        for server, fence in fresh.items():
            await self._adopt(lane, process, server, fence)

    async def give_back(self, lane: Lane, tape: Tape) -> None:
        process = self._process(tape)
        if tape.choose(2):
            await lane.transaction(lambda tx: leasing.leave(tx, process.me))
            process.leases = {}
        else:
            server = SERVERS[tape.choose(2)]
            await lane.transaction(lambda tx: leasing.release(tx, process.me, [server]))
            process.leases.pop(server, None)

    async def running(self, lane: Lane, tape: Tape) -> None:
        await self._about(lane, tape, attempts.running)

    async def succeed(self, lane: Lane, tape: Tape) -> None:
        outputs = [made() for _ in range(tape.choose(3))]
        await self._about(lane, tape, lambda tx, claim: attempts.succeed(tx, claim, outputs))

    async def fail(self, lane: Lane, tape: Tape) -> None:
        await self._about(lane, tape, lambda tx, claim: service.finish_failed(tx, claim, Outcome.FAILED, _FAILED))

    async def lose(self, lane: Lane, tape: Tape) -> None:
        cause = (Cause.SERVER_LOST, Cause.PROMPT_GONE, Cause.STORAGE)[tape.choose(3)]
        running = bool(tape.choose(2))
        await self._about(
            lane, tape, lambda tx, claim: service.finish_retriable(tx, claim, cause, was_running=running)
        )

    async def withdraw(self, lane: Lane, tape: Tape) -> None:
        await self._about(lane, tape, service.withdraw)

    async def let_go(self, lane: Lane, tape: Tape) -> None:
        await self._about(lane, tape, service.finish_canceled)

    async def cancel(self, lane: Lane, tape: Tape) -> None:
        if self.jobs:
            job_id = self.jobs[tape.choose(len(self.jobs))]
            await lane.transaction(lambda tx: service.cancel(tx, self.account_id, job_id))

    async def drop(self, lane: Lane, tape: Tape) -> None:
        """The native API cancels what waits: one prompt, or all."""
        some = [str(self.jobs[tape.choose(len(self.jobs))])] if tape.choose(2) and self.jobs else None
        await lane.transaction(lambda tx: native.drop(tx, self.account_id, some))

    async def interrupt(self, lane: Lane, tape: Tape) -> None:
        """The native API stops what runs: one prompt, or all."""
        one = str(self.jobs[tape.choose(len(self.jobs))]) if tape.choose(2) and self.jobs else None
        await lane.transaction(lambda tx: native.interrupt(tx, self.account_id, one))

    async def expire(self, lane: Lane, _tape: Tape) -> None:
        await lane.transaction(sweep.expire)

    async def _about(self, lane: Lane, tape: Tape, step: Callable[[Tx, Claim], Awaitable[object]]) -> None:
        """Something that a dispatcher does about a claim that it believes to have."""
        process = self._process(tape)
        if not process.claims:
            return
        claim = process.claims[-1 - tape.choose(min(len(process.claims), 4))]

        async def told(tx: Tx) -> None:
            self.verdicts[lane] = claim, await step(tx, claim)

        await lane.transaction(told)

    async def take_over(self, lane: Lane, _tape: Tape) -> None:
        """The first dispatcher freezes, the second one takes what it held."""
        await lane.wait_for_turn()
        await self.lapse(self.processes[0])
        await self.beat(lane, Tape(b"\1\2"))

    async def _adopt(self, lane: Lane, process: Process, server: ServerId, fence: int) -> None:
        process.claims += await lane.transaction(lambda tx: service.adopt(tx, server, fence))

    def _process(self, tape: Tape) -> Process:
        return self.processes[tape.choose(2)]

    async def accept(self, queue_ttl: float) -> None:
        job = new_job(
            account_id=self.account_id, requirement_id=self.requirement_id, price=10, queue_ttl=queue_ttl
        )
        self.jobs.append((await service.submit(self.observer, job)).id)

    async def end(self, claim: Claim) -> None:
        if not await attempts.succeed(self.observer, claim, []):
            async with self.observer.transaction():
                assert await service.finish_canceled(self.observer, claim), "nobody can end what lives"


async def heads_of(tx: Tx) -> list[Head]:
    """What waits, in the order of class and age."""
    reading = await waiting.read(tx, Asked(slots=1))
    return sorted(reading.heads, key=lambda head: (-head.priority, head.position))


def wishes_of(heads: list[Head], leases: Mapping[ServerId, int], tape: Tape) -> list[Wish]:
    """One wish per server that is believed to be leased."""
    wishes = list[Wish]()
    for server, fence in leases.items():
        if heads:
            head = heads.pop(tape.choose(len(heads)))
            number = head.attempt + 1
            prompt_id = rules.prompt_id(head.job_id, number)
            wishes.append(Wish(head.job_id, number, prompt_id, server, fence, cost=COST, base=BASE))
    return wishes

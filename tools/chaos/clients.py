"""What clients see: each submits a job, follows it by asking or by events, and looks at its end."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tools.chaos.asking import Asker
from tools.chaos.orders import Order, Sort

ENDS = frozenset({"succeeded", "failed", "canceled", "expired"})
POLL_SECONDS = 0.6


@dataclass(slots=True)
class Told:
    """What one client was told of its job. `wrong`: sentences about what may never be."""

    order: Order
    job_id: str | None = None
    state: str | None = None
    cancel_answered: str | None = None
    asked_twice: bool = False
    picture_was_right: bool = False
    wrong: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Client:
    """One job's client."""

    asker: Asker
    told: Told

    async def live(self) -> None:
        """From the submit to the picture."""
        order = self.told.order
        job_id = self.told.job_id = await self._submit()
        if job_id is None:
            return
        async with asyncio.TaskGroup() as group:
            if order.cancel_after is not None:
                group.create_task(self._cancel(job_id, order.cancel_after))
            state = await (self._listen(job_id) if order.listens else self._poll(job_id))
        self.told.state = state
        await self._look_at_the_end(job_id, state)

    async def _submit(self) -> str | None:
        """The job's id; None when it was refused, which no job of ours deserves."""
        order = self.told.order
        asset_id = await self._upload() if order.sort is Sort.INPUT else ""
        body = {"workflow": order.graph(asset_id), "metadata": {"number": str(order.number)}}
        key = f"chaos-{order.number}"
        answer = await self.asker.ask("POST", "/api/v2/jobs", headers={"Idempotency-Key": key}, json=body)
        if answer.status == 201:
            return str(answer.json()["id"])
        if answer.status == 422 and answer.again and answer.json()["error"]["code"] == "idempotency_key_reuse":
            self.told.asked_twice = True
            return await self._find()
        self.told.wrong.append(f"it was refused: {answer.status} {answer.body[:300]!r}")
        return None

    async def _find(self) -> str | None:
        """The job whose first answer was lost: it was accepted, and carries our number."""
        path = f"/api/v2/jobs?metadata%5Bnumber%5D={self.told.order.number}"
        found = (await self.asker.ask("GET", path)).json()["jobs"]
        if len(found) != 1:
            self.told.wrong.append(f"its key was used, and {len(found)} jobs carry its number")
        return str(found[0]["id"]) if found else None

    async def _upload(self) -> str:
        order = self.told.order
        boundary = f"chaos-{order.number}"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{order.number}.png"\r\n'
            "Content-Type: image/png\r\n\r\n"
        )
        body = head.encode() + order.upload() + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        while True:
            answer = await self.asker.ask("POST", "/api/v2/assets", headers=headers, data=body)
            if answer.status in {200, 201}:
                return str(answer.json()["id"])
            self.asker.counts["uploads that PostgreSQL forgot in a crash"] += 1

    async def _cancel(self, job_id: str, after: float) -> None:
        await asyncio.sleep(after)
        answer = await self.asker.ask("POST", f"/api/v2/jobs/{job_id}/cancel")
        self.told.cancel_answered = str(answer.json()["status"])

    async def _read(self, job_id: str) -> dict[str, Any]:
        answer = await self.asker.ask("GET", f"/api/v2/jobs/{job_id}")
        if answer.status != 200:
            self.told.wrong.append(f"an accepted job was answered {answer.status}")
            return {"status": "unknown", "outputs": []}
        shown: dict[str, Any] = answer.json()
        return shown

    async def _poll(self, job_id: str) -> str:
        while True:
            state = str((await self._read(job_id))["status"])
            if state in ENDS:
                return state
            await asyncio.sleep(POLL_SECONDS)

    async def _listen(self, job_id: str) -> str:
        """Until a stream tells the end; whoever opens another one afterwards is told the same."""
        ends, again = await self._heard(job_id), await self._heard(job_id)
        if len(ends) != 1 or again != ends:
            self.told.wrong.append(f"its end was told as {ends}, and asked again as {again}")
        return ends[0]

    async def _heard(self, job_id: str) -> list[str]:
        """Streams until one of them tells the end; one that breaks is opened anew."""
        while True:
            ends = await self._hear(job_id)
            if ends:
                return ends
            await asyncio.sleep(0.2)

    async def _hear(self, job_id: str) -> list[str]:
        """The ends that one stream told. Outputs come before it, nothing after it."""
        ends: list[str] = []
        outputs: list[str] = []
        async for kind, data in self.asker.events(f"/api/v2/jobs/{job_id}/events"):
            if ends:
                self.told.wrong.append(f"after its end a stream told {kind} {data}")
            match kind, data:
                case "output", {"id": str(output)}:
                    outputs.append(output)
                case "status", {"status": str(state)} if state in ENDS:
                    ends.append(state)
                case _:
                    pass
        if ends and len(outputs) != len(set(outputs)):
            self.told.wrong.append(f"a stream told its outputs as {outputs}")
        if ends == ["succeeded"] and not outputs:
            self.told.wrong.append("a stream told its success without an output")
        return ends

    async def _look_at_the_end(self, job_id: str, state: str) -> None:
        job = await self._read(job_id)
        if job["status"] != state:
            self.told.wrong.append(f"it ended {state}, and was {job['status']} later")
        wanted = 1 if state == "succeeded" else 0
        if len(job["outputs"]) != wanted:
            self.told.wrong.append(f"it ended {state} with {len(job['outputs'])} outputs")
        for output in job["outputs"]:
            await self._download(output["url"])

    async def _download(self, url: str) -> None:
        answer = await self.asker.ask("GET", url)
        right = answer.status == 200 and await asyncio.to_thread(self.told.order.is_right, answer.body)
        self.told.picture_was_right = right
        if not right:
            self.told.wrong.append(f"its output is {answer.status} with {len(answer.body)} bytes: not its picture")


async def serve_all(askers: Sequence[Asker], orders: Sequence[Order], told: list[Told], clients: int) -> None:
    """`clients` at a time, until every job has ended for its client; `told` grows with each that begins."""
    waiting = deque(orders)

    async def work() -> None:
        while waiting:
            one = Told(waiting.popleft())
            told.append(one)
            await Client(askers[one.order.number % len(askers)], one).live()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(work())

"""What is done to an installation; after each deed everything stands again as it did before."""

import asyncio
import contextlib

from tools.chaos.acting import Act, Do, NothingToDo
from tools.chaos.site import APIS, DISPATCHERS, TASKS

MEETS_SECONDS = 8.0


async def kill_dispatcher(act: Act) -> None:
    plan = act.site.plan
    with act.victim(DISPATCHERS) as name:
        await act.stage.watch.mourn(name)
        await act.site.kill(name)
        await act.pause(0.1, plan.expiry)
        await act.site.again(name)


async def stop_dispatcher(act: Act) -> None:
    """SIGTERM: it hands its leases over."""
    with act.victim(DISPATCHERS) as name:
        act.site.down.add(name)
        code = await act.site.fleet.leave(name)
        if code != 0:
            act.site.complaints.append(f"{name} did not stop in order: exit code {code}")
        await act.pause(0.1, 3.0)
        await act.site.again(name)


async def freeze_dispatcher(act: Act) -> None:
    """SIGSTOP past its lease, then SIGCONT."""
    with act.victim(DISPATCHERS) as name:
        await act.stage.watch.mourn(name)
        await _freeze(act, name)


async def late_request(act: Act) -> None:
    """A submit that is under way stays there while its dispatcher is frozen past its lease, and arrives then."""
    with act.server() as server, contextlib.ExitStack() as stack:
        way = act.site.ways[server]
        met = way.met
        way.on("hold", b"POST /prompt")
        stack.callback(way.released.set)
        try:
            async with asyncio.timeout(MEETS_SECONDS):
                while way.met == met:  # noqa: ASYNC110 - the proxy counts
                    await asyncio.sleep(0.02)
        except TimeoutError:
            way.times = 0
            raise NothingToDo from None
        holder = await act.stage.watch.holder(server)
        if holder not in DISPATCHERS or holder in act.stage.hurt | act.site.down:
            raise NothingToDo
        act.deed.words = f"of {holder}"
        act.stage.hurt.add(holder)
        stack.callback(act.stage.hurt.discard, holder)
        await act.stage.watch.mourn(holder)
        await _freeze(act, holder, way.released)


async def _freeze(act: Act, name: str, then: asyncio.Event | None = None) -> None:
    expiry = act.site.plan.expiry
    act.site.down.add(name)
    act.site.fleet.stop(name)
    try:
        await act.pause(expiry * 1.1, expiry * 1.6)
    finally:
        if then is not None:
            then.set()
        act.site.fleet.go_on(name)
        act.site.down.discard(name)


async def kill_api(act: Act) -> None:
    with act.victim(APIS) as name:
        await act.site.kill(name)
        await act.pause(0.0, 5.0)
        await act.site.again(name)


async def kill_tasks(act: Act) -> None:
    with act.victim([TASKS]) as name:
        await act.site.kill(name)
        await act.pause(0.0, 5.0)
        await act.site.again(name)


async def kill_postgres(act: Act) -> None:
    with act.victim(["postgresql"]), act.site.outage():
        await act.site.postgres.kill()
        await act.pause(0.0, 4.0)
        await act.site.postgres.again()


async def cut_database(act: Act) -> None:
    """Every connection to PostgreSQL is reset, some of them again."""
    with act.victim(["postgresql"]), act.site.outage():
        for _ in range(act.chance.randint(1, 3)):
            act.site.way_to_database.cut()
            await act.pause(0.0, 0.5)


async def delay_database(act: Act) -> None:
    with act.victim(["postgresql"]), act.site.outage():
        act.site.way_to_database.lag = act.chance.uniform(0.02, 0.2)
        try:
            await act.pause(2.0, 5.0)
        finally:
            act.site.way_to_database.lag = 0.0


async def kill_server(act: Act) -> None:
    with act.server() as name:
        await act.site.kill(name)
        await act.pause(0.1, act.site.plan.lost_after * 1.5)
        await act.site.again(name)


async def hang_server(act: Act) -> None:
    """It accepts and never answers, shorter or longer than it may before it counts as lost."""
    with act.server() as name:
        way = act.site.ways[name]
        way.hang(hangs=True)
        try:
            await act.pause(act.site.plan.lost_after * 0.2, act.site.plan.lost_after * 1.8)
        finally:
            way.hang(hangs=False)
            way.cut()


async def cut_connections(act: Act) -> None:
    with act.server() as name:
        for _ in range(act.chance.randint(1, 4)):
            act.site.ways[name].cut()
            await act.pause(0.05, 0.8)


async def cut_requests(act: Act) -> None:
    """The next requests of one sort break off before they arrive, after, or in the midst of their answer."""
    with act.server() as name:
        fault = act.chance.choice(("cut_before", "cut_after", "cut_within", "swallow"))
        mark = act.chance.choice((b"POST /prompt", b"GET /view", b"GET /history", b"GET /queue", b"GET /ws"))
        act.deed.words = f"{fault} {mark.decode()}"
        way = act.site.ways[name]
        way.on(fault, mark, times=act.chance.randint(1, 3))
        await act.pause(3.0, 6.0)
        way.times = 0


async def delay_connections(act: Act) -> None:
    with act.server() as name:
        act.site.ways[name].lag = act.chance.uniform(0.05, 0.8)
        try:
            await act.pause(2.0, 6.0)
        finally:
            act.site.ways[name].lag = 0.0


def once(fault: str, most: int = 1) -> Do:
    """A fault of a simulated server that is used up by itself."""

    async def do(act: Act) -> None:
        with act.server() as name:
            await act.site.fault(name, fault=fault, times=act.chance.randint(1, most))
            await act.pause(2.0, 5.0)
            await act.site.fault(name, off=fault)

    return do


def while_on(fault: str, least: float, most: float, **more: float) -> Do:
    """A fault that lasts for some seconds."""

    async def do(act: Act) -> None:
        with act.server() as name:
            await act.site.fault(name, fault=fault, **more)
            await act.pause(least, most)
            await act.site.fault(name, off=fault)

    return do


def until_restart(fault: str) -> Do:
    """A fault that only a restart of the server ends; somebody does that after a while."""

    async def do(act: Act) -> None:
        with act.server() as name:
            await act.site.fault(name, fault=fault)
            await act.pause(act.site.plan.lost_after, act.site.plan.lost_after * 2.5)
            await act.site.kill(name)
            await act.site.again(name)

    return do


async def no_socket(act: Act) -> None:
    """Its WebSocket is gone and cannot be opened again for a while: jobs run by polling."""
    with act.server() as name:
        await act.site.fault(name, fault="no_socket")
        await act.site.fault(name, fault="drop_socket")
        await act.pause(3.0, 8.0)
        await act.site.fault(name, off="no_socket")

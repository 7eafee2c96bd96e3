"""What Atelier left on a server's disk and nobody needs any more: paths, for a script there to remove."""

from typing import Annotated

from cyclopts import Parameter

from atelier.entry.commands import process
from atelier.entry.commands.opening import seconds, transaction
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import as_json, print_line
from atelier.fleet import service as fleet
from atelier.fleet.store import deposits
from atelier.fleet.store.deposits import Leftover
from atelier.kit.database import Tx
from atelier.kit.errors import Refusal
from atelier.kit.ids import ServerId

A_DAY = 86_400.0


def leftovers(
    server: Annotated[str, Parameter(help="Its id, as `servers list` shows it.")],
    /,
    *,
    older_than: Annotated[
        str, Parameter(help="Only what nobody used for so long: 7d, 36h; a day at least.")
    ] = "7d",
    removing: Annotated[
        bool, Parameter(help="They are removed now: Atelier does not count on any of them from here on.")
    ] = False,
    script: Script = False,
    state: State = None,
) -> None:
    """Print what may be removed from a server's disk, one path a line, relative to its ComfyUI folder.

    A folder is a day's outputs. What a job reads that has not ended is left out.
    """
    age = seconds(older_than)
    if age < A_DAY:
        raise Refusal(f"--older-than {older_than} is too short: outputs are kept by the day, so write 1d or more")

    async def show() -> None:
        async with transaction(state) as tx:
            found = await _found(tx, ServerId(server), age, removing=removing)
        if script:
            as_json([_row(one) for one in found])
        else:
            for one in found:
                print_line(one.path)

    process.run(show())


async def _found(tx: Tx, server_id: ServerId, age: float, *, removing: bool) -> list[Leftover]:
    found = await (deposits.take if removing else deposits.leftovers)(tx, server_id, age)
    if not found:
        await fleet.seen_one(tx, server_id)  # a server that was taken out may have something left; a typo has not
    return found


def _row(one: Leftover) -> dict[str, object]:
    return {"path": one.path, "size": one.size or None, "used_at": one.used_at}

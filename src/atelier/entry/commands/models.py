"""Model files at the command line: which exist on which servers, and whether one does."""

from typing import Annotated, Any

from cyclopts import App, Parameter

from atelier.entry import by_hand
from atelier.entry.commands import process
from atelier.entry.commands.opening import opened
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import as_json, print_line, rows, size
from atelier.fleet.stock import Found, Held, Stock
from atelier.kit.errors import NotFound

models = App(name="models")

Folder = Annotated[str | None, Parameter(help="Only this folder of ComfyUI's models, like checkpoints or loras.")]


@models.command(name="list")
def list_models(*, folder: Folder = None, script: Script = False, state: State = None) -> None:
    """List the model files of all servers, as each told last."""

    async def show() -> None:
        async with opened(state) as (_, found):
            fleet = await by_hand.fleet_of(found)
        stock = Stock(fleet.servers, fleet.inventories())
        held = [each for place in stock.folders if folder in {None, place} for each in stock.held(place)]
        of = len(stock.servers)
        rows(
            [_row(each) if script else _line(each, of) for each in held],
            script=script,
            nothing=_none(stock, folder),
        )
        if held and stock.unknown and not script:
            print_line(f"{stock.unknown} of {of} servers have not told yet what they have.")

    process.run(show())


@models.command
def verify(
    names: Annotated[tuple[str, ...], Parameter(help="Names of model files, as loaders list them.")],
    /,
    *,
    folder: Folder = None,
    script: Script = False,
    state: State = None,
) -> None:
    """Say on how many servers each file exists, and what is called almost so; exit code 1 where one is missing."""

    async def look() -> None:
        async with opened(state) as (_, found):
            fleet = await by_hand.fleet_of(found)
        stock = Stock(fleet.servers, fleet.inventories())
        answers = [stock.find(name, folder) for name in names]
        if script:
            as_json([_verified(each, stock) for each in answers])
        else:
            for each in answers:
                print_line(_said(each, stock))
        if missing := [each.name for each in answers if not each.held]:
            raise NotFound(f"no server has {', '.join(missing)}: atelier models list shows what there is")

    process.run(look())


def _row(held: Held) -> dict[str, Any]:
    return {
        "folder": held.folder,
        "name": held.name,
        "size": held.size,
        "on": [server.id for server in held.servers],
        "ready": held.ready,
    }


def _line(held: Held, of: int) -> dict[str, Any]:
    return {
        "folder": held.folder,
        "name": held.name,
        "size": size(held.size) if held.size else "",
        "servers": f"{len(held.servers)} of {of}",
        "ready": held.ready,
        "which": "" if len(held.servers) == of else [server.id for server in held.servers],
    }


def _none(stock: Stock, folder: str | None) -> str:
    if not stock.servers:
        return "There is no server yet: atelier servers add URL"
    if stock.unknown == len(stock.servers):
        return "No server has told yet what it has: is a dispatcher running?"
    return "No server has a model file" + (f" in {folder}." if folder else ".")


def _said(found: Found, stock: Stock) -> str:
    which = ", ".join(server.id for server in found.servers)
    return found.words(len(stock.servers)) + (f" Which: {which}." if which else "")


def _verified(found: Found, stock: Stock) -> dict[str, Any]:
    return {
        "name": found.name,
        "exists": bool(found.held),
        "on": [server.id for server in found.servers],
        "of": len(stock.servers),
        "ready": found.ready,
        "folders": [held.folder for held in found.held],
        "nearest": list(found.nearest),
    }

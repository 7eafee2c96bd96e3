"""Accounts at the command line: who there is, and which part of the fleet is whose."""

from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from atelier.accounts import service
from atelier.accounts.model import Account
from atelier.entry.commands import process
from atelier.entry.commands.opening import count_or_default, transaction
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import as_json, print_line, rows
from atelier.kit.database import Tx
from atelier.kit.errors import NotFound, Refusal

accounts = App(name="accounts")

Name = Annotated[str, Parameter(help="Name of the account.")]
Weight = Annotated[
    float | None,
    Parameter(help="Its part of the fleet beside others' 1.", validator=Number(gt=0, lte=service.MOST_WEIGHT)),
]
MaxRunning = Annotated[
    str | None, Parameter(help="Jobs that it may run at once; 0: no limit, 'default': the setting's.")
]


@accounts.command(name="list")
def list_accounts(*, script: Script = False, state: State = None) -> None:
    """List the accounts with their parts of the fleet."""

    async def show() -> None:
        async with transaction(state) as tx:
            found = await service.list_accounts(tx)
        shown = [_row(each) if script else _line(each) for each in found]
        rows(shown, script=script, nothing="There is no account yet: atelier accounts create NAME")

    process.run(show())


@accounts.command
def create(
    name: Name,
    /,
    *,
    weight: Weight = None,
    max_running: MaxRunning = None,
    script: Script = False,
    state: State = None,
) -> None:
    """Make an account; its keys are made with `keys create`."""

    async def make() -> None:
        async with transaction(state) as tx:
            made = await _set(tx, await service.create_account(tx, name), weight, max_running)
        as_json(_row(made)) if script else print_line(f"made {name!r}: atelier keys create --account {name}")

    process.run(make())


@accounts.command(name="set")
def set_account(
    name: Name, /, *, weight: Weight = None, max_running: MaxRunning = None, state: State = None
) -> None:
    """Change an account's part of the fleet, from its next job on."""
    if weight is None and max_running is None:
        raise Refusal("say what to change: --weight or --max-running")

    async def change() -> None:
        async with transaction(state) as tx:
            found = next((each for each in await service.list_accounts(tx) if each.name == name), None)
            if found is None:
                raise NotFound(f"there is no account named {name!r}: atelier accounts list shows them")
            changed = await _set(tx, found, weight, max_running)
        print_line(f"{name!r}: weight {changed.weight:g}, running at once: {_most(changed)}")

    process.run(change())


async def _set(tx: Tx, account: Account, weight: float | None, max_running: str | None) -> Account:
    if weight is None and max_running is None:
        return account
    most = account.max_running if max_running is None else count_or_default(max_running)
    return await service.set_part(tx, account, weight=weight or account.weight, max_running=most)


def _row(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "id": str(account.id),
        "created": account.created_at,
        "weight": account.weight,
        "max_running": account.max_running,
    }


def _line(account: Account) -> dict[str, Any]:
    return _row(account) | {"weight": f"{account.weight:g}", "max_running": _most(account)}


def _most(account: Account) -> str:
    if account.max_running is None:
        return "the setting's"
    return str(account.max_running) if account.max_running else "no limit"

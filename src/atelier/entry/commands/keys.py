"""API keys: made here, shown once, listed without what makes them work, revoked at once."""

import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from cyclopts.validators import Number

from atelier.accounts import service as accounts
from atelier.accounts import store
from atelier.accounts.model import DEFAULT_PRIORITY, ApiKey, Role
from atelier.entry.commands import process
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import as_json, rows
from atelier.entry.first_key import ACCOUNT
from atelier.entry.state import database, secrets_of
from atelier.kit.database import Tx
from atelier.kit.errors import NotFound
from atelier.kit.ids import AccountId, KeyId, parse_uuid

keys = App(name="keys")


@keys.command
def create(
    *,
    account: Annotated[str, Parameter(help="Whose key; the account is made if there is none.")] = ACCOUNT,
    role: Annotated[Role, Parameter(help="admin reaches the installation, member its account.")] = Role.MEMBER,
    label: Annotated[str, Parameter(help="A word to know the key by.")] = "",
    max_priority: Annotated[
        int,
        Parameter(help="The highest class of its jobs; 10 runs first.", validator=Number(gte=1, lte=10)),
    ] = DEFAULT_PRIORITY,
    on_behalf: Annotated[
        bool, Parameter(negative="", help="It may ask for end users of its account, who share like accounts.")
    ] = False,
    script: Script = False,
    state: State = None,
) -> None:
    """Make a key and print it, this once."""

    async def make() -> None:
        settings = process.start(state_dir=state)
        async with database(settings, process.announce) as opened, opened.transaction() as tx:
            owner = await accounts.ensure_account(tx, account)
            made, plaintext = await accounts.create_key(
                tx,
                secrets_of(settings).pepper,
                owner.id,
                role,
                label,
                max_priority=max_priority,
                on_behalf=on_behalf,
            )
        _show(made, account, plaintext, script=script)

    process.run(make())


@keys.command(name="list")
def list_keys(
    *,
    account: Annotated[
        str | None, Parameter(name="--account", help="Name of the account; all of them if not said.")
    ] = None,
    script: Script = False,
    state: State = None,
) -> None:
    """List keys, oldest first, revoked ones too."""
    process.run(_list(account, script=script, state=state))


@keys.command
def revoke(
    key: Annotated[str, Parameter(help="The key's id, or its visible beginning.")], *, state: State = None
) -> None:
    """Revoke a key: within seconds it opens nothing any more."""
    process.run(_revoke(key, state))


def _show(made: ApiKey, account: str, plaintext: str, *, script: bool) -> None:
    if script:
        as_json({**_row(made, account), "key": plaintext})
    else:
        sys.stdout.write(f"{plaintext}\n")
        sys.stderr.write(f"{made.role} key of account {account!r}; it is not shown again\n")


async def _list(account: str | None, *, script: bool, state: Path | None) -> None:
    settings = process.start(state_dir=state)
    async with database(settings, process.announce) as opened, opened.transaction() as tx:
        owner = None if account is None else await account_named(tx, account)
        found = await accounts.list_keys(tx, owner)
        names = {each.id: each.name for each in await accounts.list_accounts(tx)}
    shown = [_row(key, names[key.account_id]) for key in found]
    if not script:
        shown = [{name: value for name, value in row.items() if name != "id"} for row in shown]
    rows(shown, script=script, nothing="There is no key yet: atelier keys create")


async def _revoke(key: str, state: Path | None) -> None:
    settings = process.start(state_dir=state)
    async with database(settings, process.announce) as opened, opened.transaction() as tx:
        revoked = await accounts.revoke_key(tx, await _key_id(tx, key))
    sys.stdout.write(f"revoked {revoked.prefix}… ({revoked.id})\n")


async def _key_id(tx: Tx, named: str) -> KeyId:
    if value := parse_uuid(named):
        return KeyId(value)
    found = [
        key
        for key in await accounts.list_keys(tx)
        if len(named) >= len(key.prefix) and named.startswith(key.prefix)
    ]
    if len(found) != 1:
        raise NotFound(f"no key begins with {named!r}: atelier keys list shows them")
    return found[0].id


async def account_named(tx: Tx, name: str) -> AccountId:
    account = await store.account_named(tx, name)
    if account is None:
        raise NotFound(f"there is no account named {name!r}: atelier keys list shows them")
    return account.id


def _row(key: ApiKey, account: str) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "begins": f"{key.prefix}…",
        "account": account,
        "role": str(key.role),
        "label": key.label,
        "max_priority": key.max_priority,
        "on_behalf": key.on_behalf,
        "created": key.created_at,
        "last_used": key.last_used_at,
        "revoked": key.revoked_at,
    }

"""Accounts and keys against a real database."""

import asyncio

import pytest

from atelier.accounts import service as accounts
from atelier.accounts.model import AccountExists, Forbidden, Role, Unauthorized
from atelier.kit.database import Database
from atelier.kit.errors import NotFound, Refusal
from atelier.kit.ids import AccountId, KeyId, new_uuid

PEPPER = b"a pepper"


async def key_of(database: Database, name: str = "studio", role: Role = Role.MEMBER) -> tuple[KeyId, str]:
    async with database.transaction() as tx:
        account = await accounts.ensure_account(tx, name)
        key, plaintext = await accounts.create_key(tx, PEPPER, account.id, role, "laptop")
    return key.id, plaintext


async def last_use(database: Database, key_id: KeyId) -> object:
    async with database.autocommit() as tx:
        row = await (await tx.execute("SELECT last_used_at FROM api_keys WHERE id = %s", (key_id,))).fetchone()
    return row[0] if row else None


async def revoke(database: Database, key_id: KeyId) -> None:
    async with database.transaction() as tx:
        await accounts.revoke_key(tx, key_id)


async def test_a_key_says_whose_it_is(database: Database) -> None:
    key_id, plaintext = await key_of(database, role=Role.ADMIN)

    caller = await accounts.authenticate(database, PEPPER, plaintext)

    assert caller.key_id == key_id
    assert caller.role is Role.ADMIN
    assert caller.end_user == ""


async def test_a_key_reaches_the_middle_class_and_speaks_for_its_account_alone(database: Database) -> None:
    _, plaintext = await key_of(database)

    caller = await accounts.authenticate(database, PEPPER, plaintext)

    assert caller.max_priority == 5
    with pytest.raises(Forbidden, match="on behalf"):
        caller.speaking_for("ann")


async def test_a_key_reaches_as_far_as_it_was_made_to(database: Database) -> None:
    async with database.transaction() as tx:
        account = await accounts.ensure_account(tx, "studio")
        key, plaintext = await accounts.create_key(
            tx, PEPPER, account.id, Role.MEMBER, max_priority=9, on_behalf=True
        )
        [listed] = await accounts.list_keys(tx, account.id)

    caller = await accounts.authenticate(database, PEPPER, plaintext)

    assert (caller.max_priority, caller.speaking_for("ann").end_user) == (9, "ann")
    assert listed == key
    assert (listed.max_priority, listed.on_behalf) == (9, True)


async def test_an_admin_speaks_for_everybody(database: Database) -> None:
    _, plaintext = await key_of(database, role=Role.ADMIN)

    caller = await accounts.authenticate(database, PEPPER, plaintext)

    assert caller.speaking_for("ann").end_user == "ann"


@pytest.mark.parametrize("priority", [0, 11, -1])
async def test_a_key_reaches_no_class_that_there_is_not(database: Database, priority: int) -> None:
    async with database.transaction() as tx:
        account = await accounts.ensure_account(tx, "studio")

        with pytest.raises(Refusal, match="from 1 to 10"):
            await accounts.create_key(tx, PEPPER, account.id, Role.MEMBER, max_priority=priority)


async def test_a_key_is_256_bits_and_never_the_same(database: Database) -> None:
    keys = {(await key_of(database))[1] for _ in range(5)}

    assert len(keys) == 5
    assert all(key.startswith("atl_") and len(key) == 47 for key in keys)


async def test_the_database_knows_no_key(database: Database) -> None:
    _, plaintext = await key_of(database)

    async with database.autocommit() as tx:
        rows = await (await tx.execute("SELECT api_keys::text, prefix FROM api_keys")).fetchall()

    assert all(plaintext not in text for text, _ in rows)
    assert all(plaintext.startswith(prefix) and len(prefix) == 12 for _, prefix in rows)


async def test_another_pepper_opens_nothing(database: Database) -> None:
    _, plaintext = await key_of(database)

    with pytest.raises(Unauthorized):
        await accounts.authenticate(database, b"another", plaintext)


async def test_what_is_no_key_opens_nothing(database: Database) -> None:
    authenticator = accounts.Authenticator(database, PEPPER)

    for wrong in ("", "atl_", "x" * 47, f"atl_{'ä' * 43}", "atl_" + "\ud800" * 43, f"atl_{'y' * 43}"):
        with pytest.raises(Unauthorized):
            await authenticator.authenticate(wrong)


async def test_a_revoked_key_opens_nothing_and_stays_on_the_list(database: Database) -> None:
    key_id, plaintext = await key_of(database)

    await revoke(database, key_id)
    async with database.autocommit() as tx:
        [listed] = await accounts.list_keys(tx)

    assert listed.revoked_at is not None
    with pytest.raises(Unauthorized):
        await accounts.authenticate(database, PEPPER, plaintext)


async def test_revoking_twice_keeps_the_first_time(database: Database) -> None:
    key_id, _ = await key_of(database)

    async with database.transaction() as tx:
        first = await accounts.revoke_key(tx, key_id)
    async with database.transaction() as tx:
        second = await accounts.revoke_key(tx, key_id)

    assert first.revoked_at == second.revoked_at


async def test_a_remembered_key_costs_no_query(database: Database) -> None:
    key_id, plaintext = await key_of(database)
    authenticator = accounts.Authenticator(database, PEPPER)
    first = await authenticator.authenticate(plaintext)

    await revoke(database, key_id)
    second = await authenticator.authenticate(plaintext)

    assert second == first


async def test_a_key_is_forgotten_in_time(database: Database) -> None:
    key_id, plaintext = await key_of(database)
    authenticator = accounts.Authenticator(database, PEPPER, remember_for=0.05)
    await authenticator.authenticate(plaintext)

    await revoke(database, key_id)
    await asyncio.sleep(0.06)

    with pytest.raises(Unauthorized):
        await authenticator.authenticate(plaintext)


async def test_the_memory_of_keys_has_an_end(database: Database) -> None:
    authenticator = accounts.Authenticator(database, PEPPER, most=2)

    for _ in range(4):
        await authenticator.authenticate((await key_of(database))[1])

    assert len(authenticator._known) == 2


async def test_the_last_use_is_written_down_rarely(database: Database) -> None:
    key_id, plaintext = await key_of(database)

    await accounts.authenticate(database, PEPPER, plaintext)
    first = await last_use(database, key_id)
    await accounts.authenticate(database, PEPPER, plaintext)
    second = await last_use(database, key_id)

    assert first is not None
    assert second == first


async def test_many_may_ensure_the_same_account_at_once(database: Database) -> None:
    async def ensure() -> AccountId:
        async with database.transaction() as tx:
            return (await accounts.ensure_account(tx, "studio")).id

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ensure()) for _ in range(6)]

    assert len({task.result() for task in tasks}) == 1


async def test_a_name_is_given_once(database: Database) -> None:
    async with database.transaction() as tx:
        await accounts.create_account(tx, "studio")

        with pytest.raises(AccountExists):
            await accounts.create_account(tx, "studio")
        with pytest.raises(Refusal):
            await accounts.create_account(tx, " ")


async def test_keys_are_listed_by_account(database: Database) -> None:
    await key_of(database, "one")
    await key_of(database, "two")

    async with database.autocommit() as tx:
        one = await accounts.ensure_account(tx, "one")
        own = await accounts.list_keys(tx, one.id)
        everything = await accounts.list_keys(tx)

    assert [key.account_id for key in own] == [one.id]
    assert len(everything) == 2


async def test_there_is_no_key_without_its_account(database: Database) -> None:
    async with database.transaction() as tx:
        with pytest.raises(NotFound):
            await accounts.create_key(tx, PEPPER, AccountId(new_uuid()), Role.MEMBER)
        with pytest.raises(NotFound):
            await accounts.revoke_key(tx, KeyId(new_uuid()))

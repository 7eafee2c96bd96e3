"""Which part of the fleet an account has: a weight beside others' 1, and how many of its jobs run at once."""

import pytest

from atelier.accounts import service
from atelier.kit.database import Database
from atelier.kit.errors import NotFound, Refusal
from atelier.kit.ids import AccountId, new_uuid


async def test_an_account_has_everybodys_part_until_it_is_given_another(database: Database) -> None:
    async with database.transaction() as tx:
        usual = await service.create_account(tx, "studio")
        changed = await service.set_part(tx, usual, weight=2.5, max_running=3)
        found = await service.accounts_by_id(tx, [usual.id, AccountId(new_uuid())])

    assert (usual.weight, usual.max_running) == (1.0, None)
    assert found == {usual.id: changed}
    assert (changed.weight, changed.max_running) == (2.5, 3)


@pytest.mark.parametrize(("weight", "most"), [(0.0, None), (-1.0, None), (1001.0, None), (1.0, -1)])
async def test_a_part_that_is_none_is_refused(database: Database, weight: float, most: int | None) -> None:
    async with database.transaction() as tx:
        account = await service.create_account(tx, "studio")

        with pytest.raises(Refusal):
            await service.set_part(tx, account, weight=weight, max_running=most)


async def test_the_part_of_nobody_cannot_be_set(database: Database) -> None:
    async with database.transaction() as tx:
        account = await service.create_account(tx, "studio")
        await tx.execute("DELETE FROM accounts")

        with pytest.raises(NotFound):
            await service.set_part(tx, account, weight=1.0, max_running=None)

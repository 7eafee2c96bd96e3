from atelier.kit.database import Database


async def test_every_test_has_a_migrated_database_of_its_own(database: Database) -> None:
    async with database.transaction() as tx:
        row = await (await tx.execute("SELECT count(*) FROM jobs")).fetchone()

    assert row == (0,)

"""Several processes share one embedded server, whoever of them is killed, and the last one stops it."""

import asyncio

from support.postgres_users import Site, ask, tell, using


async def test_three_processes_that_race_get_one_server(site: Site) -> None:
    async with using(site) as one, using(site) as two, using(site) as three:
        urls = {(await user.answered()).url for user in (one, two, three)}
        answers = {await ask(url, "SELECT pg_postmaster_start_time()") for url in urls}
        for user in (one, two, three):
            await user.leave()

    assert len(urls) == 1
    assert len(answers) == 1
    assert not site.lives()


async def test_only_the_last_one_to_leave_stops_the_server(site: Site) -> None:
    async with using(site) as first, using(site) as last:
        url = (await first.answered()).url
        await last.answered()
        await first.leave()
        still_there = await ask(url, "SELECT 1")
        await last.leave()

    assert still_there == "1"
    assert not site.lives()


async def test_a_server_whose_users_were_all_killed_is_used_by_the_next_one(site: Site) -> None:
    async with using(site) as one, using(site) as two:
        await one.answered()
        await two.answered()
        pid = site.pid()
        await one.kill()
        await two.kill()
    left_alone = site.lives()

    async with using(site) as heir:
        answer = await ask((await heir.answered()).url, "SELECT 1")
        same_server = site.pid() == pid
        await heir.leave()

    assert left_alone
    assert same_server
    assert answer == "1"
    assert not site.lives()


async def test_a_process_killed_in_the_middle_of_the_first_start_spoils_nothing(site: Site) -> None:
    async with using(site) as killed:
        while not any(site.folder.glob(".making-*")):
            assert killed.process.returncode is None
            await asyncio.sleep(0.002)
        await killed.kill()

    async with using(site) as next_one:
        answer = await ask((await next_one.answered()).url, "SELECT 1")
        await next_one.leave()

    assert answer == "1"


async def test_a_server_to_be_kept_stays_when_the_last_one_leaves(site: Site) -> None:
    async with using(site, keep=True) as keeper:
        await keeper.answered()
        pid = site.pid()
        await keeper.leave()
    kept = site.lives()

    async with using(site) as other:
        await other.answered()
        same_server = site.pid() == pid
        await other.leave()

    assert kept
    assert same_server
    assert not site.lives()


async def test_the_next_process_starts_anew_after_everything_was_killed(site: Site) -> None:
    async with using(site) as user:
        await tell((await user.answered()).url, "CREATE TABLE kept AS SELECT 7 AS number")
        await user.kill()
    await site.crash()

    async with using(site) as next_one:
        number = await ask((await next_one.answered()).url, "SELECT number FROM kept")
        await next_one.leave()

    assert number == "7"


async def test_a_process_that_joins_while_the_last_one_leaves_gets_a_server_that_stays(site: Site) -> None:
    async with using(site) as leaving, using(site) as joining:
        await leaving.answered()
        assert leaving.process.stdin is not None
        leaving.process.stdin.close()
        answer = await ask((await joining.answered()).url, "SELECT 1")
        await leaving.leave()
        still_there = await ask(joining.url, "SELECT 1")
        await joining.leave()

    assert (answer, still_there) == ("1", "1")


async def test_a_user_that_left_holds_nothing_of_the_server(site: Site) -> None:
    async with using(site) as user:
        await user.answered()
        await user.leave()

    assert not (site.data / "postmaster.pid").exists()
    assert not any((site.folder / "run").iterdir())

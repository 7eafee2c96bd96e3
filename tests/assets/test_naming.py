import asyncio
import contextlib
import datetime as dt
from collections.abc import Sequence

import pytest

from assets.conftest import Shelf
from atelier.assets import collect, naming, service
from atelier.assets.model import Asset
from atelier.assets.names import FileName, Folder
from atelier.kit.ids import AccountId, AssetId, new_uuid
from support import produced

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


async def put(
    shelf: Shelf,
    account: AccountId,
    name: str,
    content: bytes = PNG,
    *,
    folder: Folder = Folder.INPUT,
    subfolder: str = "",
    overwrite: bool = False,
) -> str:
    """Upload under a name; the name that it got."""
    received = await shelf.receive(content)
    wanted = FileName(folder, subfolder, name)
    async with shelf.database.transaction() as tx:
        return (await naming.keep(tx, account, received, wanted, overwrite=overwrite)).name


async def read(shelf: Shelf, account: AccountId, value: str, default: str = "input") -> bytes | None:
    """What a loader's value names, if anything."""
    async with shelf.database.transaction() as tx:
        asset_id = await naming.resolve(tx, account, value, default=default)
        asset = await service.get(tx, account, asset_id) if asset_id else None
    return await shelf.read(asset) if asset else None


async def listed(shelf: Shelf, account: AccountId, folder: str = "input", *, newest: bool = False) -> list[str]:
    async with shelf.database.transaction() as tx:
        return await naming.names(tx, account, folder, newest_first=newest)


async def produce(
    shelf: Shelf,
    account: AccountId,
    name: str,
    content: bytes = PNG,
    subfolder: str = "",
    *,
    temporary: bool = False,
) -> str:
    return await produced.produce(
        shelf.database, shelf.storage, account, name, content, subfolder=subfolder, temporary=temporary
    )


async def asset_of(shelf: Shelf, account: AccountId, value: str) -> Asset:
    async with shelf.database.transaction() as tx:
        asset_id = await naming.resolve(tx, account, value)
        assert asset_id is not None
        return await service.get(tx, account, asset_id)


# Resolving -------------------------------------------------------------------------------------


async def test_an_upload_is_found_by_its_name(shelf: Shelf, alice: AccountId) -> None:
    await put(shelf, alice, "x.png")

    assert await read(shelf, alice, "x.png") == PNG
    assert await read(shelf, alice, "x.png [input]") == PNG
    assert await read(shelf, alice, "./x.png") == PNG


async def test_a_name_means_nothing_to_another_account(shelf: Shelf, alice: AccountId, bob: AccountId) -> None:
    await put(shelf, alice, "x.png")
    shown = await produce(shelf, alice, "ComfyUI_00001_.png")

    assert await read(shelf, bob, "x.png") is None
    assert await read(shelf, bob, f"{shown} [output]") is None


async def test_two_accounts_have_a_file_of_the_same_name_each(
    shelf: Shelf, alice: AccountId, bob: AccountId
) -> None:
    assert await put(shelf, alice, "x.png", b"hers") == "x.png"
    assert await put(shelf, bob, "x.png", b"his") == "x.png"

    assert await read(shelf, alice, "x.png") == b"hers"
    assert await read(shelf, bob, "x.png") == b"his"


@pytest.mark.parametrize(
    "value", ["a/b/x.png", "a\\b\\x.png", "a//b/./x.png", "a/c/../b/x.png", "a/b/x.png [input]"]
)
async def test_a_subfolder_is_part_of_the_name_however_it_is_written(
    shelf: Shelf, alice: AccountId, value: str
) -> None:
    await put(shelf, alice, "x.png", subfolder="a/b")

    assert await read(shelf, alice, value) == PNG
    assert await read(shelf, alice, "x.png") is None


async def test_the_annotation_says_the_folder(shelf: Shelf, alice: AccountId) -> None:
    for folder in Folder:
        await put(shelf, alice, "x.png", folder.encode(), folder=folder)

    assert await read(shelf, alice, "x.png") == b"input"
    assert await read(shelf, alice, "x.png", "output") == b"output"
    assert await read(shelf, alice, "x.png [input]", "output") == b"input"
    assert await read(shelf, alice, "x.png [output]") == b"output"
    assert await read(shelf, alice, "x.png [temp]") == b"temp"
    assert await read(shelf, alice, "x.png [OUTPUT]") is None
    assert await read(shelf, alice, "x.png [output] ") is None


async def test_a_jobs_file_is_found_by_the_name_that_is_shown(shelf: Shelf, alice: AccountId) -> None:
    shown = await produce(shelf, alice, "ComfyUI_00001_.png", b"made")
    second = await produce(shelf, alice, "ComfyUI_00002_.png", b"second", subfolder="sea/side")
    passing = await produce(shelf, alice, "ComfyUI_temp_abcde_00001_.png", b"passing", temporary=True)

    assert await read(shelf, alice, f"{shown} [output]") == b"made"
    assert await read(shelf, alice, f"sea/side/{second} [output]") == b"second"
    assert await read(shelf, alice, f"{passing} [temp]") == b"passing"
    assert await read(shelf, alice, shown) is None
    assert await read(shelf, alice, f"{second} [output]") is None
    assert await read(shelf, alice, f"{passing} [output]") is None
    assert await read(shelf, alice, f"{shown} [temp]") is None


async def test_the_same_server_side_name_of_two_jobs_is_two_names(shelf: Shelf, alice: AccountId) -> None:
    first = await produce(shelf, alice, "ComfyUI_00001_.png", b"first")
    second = await produce(shelf, alice, "ComfyUI_00001_.png", b"second")

    assert first != second
    assert await read(shelf, alice, f"{first} [output]") == b"first"
    assert await read(shelf, alice, f"{second} [output]") == b"second"


# Choosing a name -------------------------------------------------------------------------------


async def test_the_same_content_keeps_its_name_and_other_content_gets_the_next(
    shelf: Shelf, alice: AccountId
) -> None:
    names = [await put(shelf, alice, "u.png", content) for content in (b"a", b"a", b"b", b"b", b"c", b"a")]

    assert names == ["u.png", "u.png", "u (1).png", "u (1).png", "u (2).png", "u.png"]
    assert await read(shelf, alice, "u.png") == b"a"
    assert await read(shelf, alice, "u (2).png") == b"c"


async def test_the_same_content_under_another_name_or_folder_is_another_file(
    shelf: Shelf, alice: AccountId
) -> None:
    names = [
        await put(shelf, alice, "u.png"),
        await put(shelf, alice, "v.png"),
        await put(shelf, alice, "u.png", subfolder="s"),
        await put(shelf, alice, "u.png", folder=Folder.TEMP),
    ]

    assert names == ["u.png", "v.png", "u.png", "u.png"]
    assert (await asset_of(shelf, alice, "u.png")).id != (await asset_of(shelf, alice, "v.png")).id


async def test_overwriting_takes_the_name_and_lets_the_old_bytes_go(shelf: Shelf, alice: AccountId) -> None:
    await put(shelf, alice, "u.png", b"old")
    old = await asset_of(shelf, alice, "u.png")

    name = await put(shelf, alice, "u.png", b"new", overwrite=True)

    assert (name, await read(shelf, alice, "u.png")) == ("u.png", b"new")
    await collect.collect(shelf.database, shelf.storage)
    assert await shelf.run("SELECT 1 FROM assets WHERE id = %s", old.id) == []
    assert await read(shelf, alice, "u.png") == b"new"


async def test_a_job_that_reads_an_overwritten_file_still_reads_what_it_was_given(
    shelf: Shelf, alice: AccountId
) -> None:
    await put(shelf, alice, "u.png", b"old")
    old = await asset_of(shelf, alice, "u.png")
    job_id = await shelf.job_that_reads(old.id)

    await put(shelf, alice, "u.png", b"new", overwrite=True)
    await collect.collect(shelf.database, shelf.storage)

    async with shelf.database.transaction() as tx:
        inputs = await service.inputs(tx, job_id)
    assert await shelf.read(inputs[old.id]) == b"old"


async def test_overwriting_with_the_same_content_changes_nothing(shelf: Shelf, alice: AccountId) -> None:
    await put(shelf, alice, "u.png")
    before = await asset_of(shelf, alice, "u.png")

    await put(shelf, alice, "u.png", overwrite=True)

    assert await asset_of(shelf, alice, "u.png") == before


async def test_many_at_once_get_a_name_each(shelf: Shelf, alice: AccountId) -> None:
    contents = [b"%d" % number for number in range(12)]

    names = await asyncio.gather(*(put(shelf, alice, "u.png", content) for content in contents))

    assert sorted(names) == sorted(["u.png", *(f"u ({number}).png" for number in range(1, 12))])
    assert [await read(shelf, alice, name) for name in names] == contents


async def test_a_thousand_files_of_one_name_leave_the_next_number(shelf: Shelf, alice: AccountId) -> None:
    await put(shelf, alice, "u.png", b"first")
    await shelf.run(
        """INSERT INTO named_files (account_id, folder, subfolder, name, asset_id)
           SELECT account_id, folder, subfolder, 'u (' || number || ').png', asset_id
           FROM named_files, generate_series(1, 999) AS number"""
    )

    assert await put(shelf, alice, "u.png", b"new") == "u (1000).png"
    assert await put(shelf, alice, "u.png", b"first") == "u.png"


# Listing ---------------------------------------------------------------------------------------


async def test_the_top_of_a_folder_is_listed_in_order(shelf: Shelf, alice: AccountId, bob: AccountId) -> None:
    for name in ("b.png", "a.png", "C.png"):
        await put(shelf, alice, name)
    await put(shelf, alice, "deep.png", subfolder="s")
    await put(shelf, bob, "his.png")

    assert await listed(shelf, alice) == ["C.png", "a.png", "b.png"]
    assert await listed(shelf, alice, newest=True) == ["C.png", "a.png", "b.png"]
    assert await listed(shelf, alice, "output") == []


async def test_the_output_folder_lists_what_jobs_made_and_what_was_put_there(
    shelf: Shelf, alice: AccountId
) -> None:
    first = await produce(shelf, alice, "ComfyUI_00001_.png")
    await put(shelf, alice, "z.png", folder=Folder.OUTPUT)
    second = await produce(shelf, alice, "ComfyUI_00001_.png")
    passing = await produce(shelf, alice, "t_00001_.png", temporary=True)
    await produce(shelf, alice, "deep_00001_.png", subfolder="s")

    assert await listed(shelf, alice, "output") == [first, second, "z.png"]
    assert await listed(shelf, alice, "output", newest=True) == [second, "z.png", first]
    assert await listed(shelf, alice, "temp") == [passing]
    assert await listed(shelf, alice) == []


# Lives -----------------------------------------------------------------------------------------


async def test_an_uploaded_file_stays_and_a_temporary_one_goes_after_a_day(shelf: Shelf, alice: AccountId) -> None:
    await put(shelf, alice, "x.png")
    await put(shelf, alice, "t.png", folder=Folder.TEMP)

    await shelf.run("UPDATE assets SET expires_at = expires_at - interval '23 hours'")
    assert await read(shelf, alice, "t.png [temp]") == PNG
    await shelf.run("UPDATE assets SET expires_at = expires_at - interval '1 hour'")

    assert await read(shelf, alice, "t.png [temp]") is None
    assert await listed(shelf, alice, "temp") == []
    await collect.collect(shelf.database, shelf.storage)
    assert await shelf.run("SELECT name FROM named_files") == [("x.png",)]
    assert await read(shelf, alice, "x.png") == PNG


async def test_a_temporary_file_that_is_uploaded_again_lives_a_day_from_then(
    shelf: Shelf, alice: AccountId
) -> None:
    await put(shelf, alice, "t.png", folder=Folder.TEMP)
    await shelf.run("UPDATE assets SET expires_at = expires_at - interval '23 hours'")

    await put(shelf, alice, "t.png", folder=Folder.TEMP)

    [[rest]] = await shelf.run("SELECT expires_at - now() FROM assets")
    assert isinstance(rest, dt.timedelta)
    assert rest > dt.timedelta(hours=23)


async def test_an_expired_name_is_free(shelf: Shelf, alice: AccountId) -> None:
    await put(shelf, alice, "t.png", b"old", folder=Folder.TEMP)
    await shelf.run("UPDATE assets SET expires_at = now()")

    assert await put(shelf, alice, "t.png", b"new", folder=Folder.TEMP) == "t.png"
    assert await read(shelf, alice, "t.png [temp]") == b"new"


async def test_deleting_the_asset_takes_the_name_away(shelf: Shelf, alice: AccountId) -> None:
    await put(shelf, alice, "x.png")

    await shelf.delete(await asset_of(shelf, alice, "x.png"))

    assert await read(shelf, alice, "x.png") is None
    assert await listed(shelf, alice) == []


async def test_a_file_that_a_job_reads_keeps_its_name(shelf: Shelf, alice: AccountId) -> None:
    await put(shelf, alice, "x.png")
    asset = await asset_of(shelf, alice, "x.png")
    await shelf.job_that_reads(asset.id)

    with pytest.raises(service.AssetInUse):
        await shelf.delete(asset)

    assert await read(shelf, alice, "x.png") == PNG


async def test_a_named_file_never_shares_the_record_of_an_upload_by_hash(shelf: Shelf, alice: AccountId) -> None:
    """So that overwriting the name leaves the other's record alone."""
    other = await shelf.upload(alice, PNG, "input/x.png")

    await put(shelf, alice, "x.png")
    await put(shelf, alice, "x.png", b"new", overwrite=True)

    async with shelf.database.transaction() as tx:
        assert await service.get(tx, alice, AssetId(other.id)) == other


async def test_names_and_bytes_say_what_the_file_is(shelf: Shelf, alice: AccountId) -> None:
    await put(shelf, alice, "lie.txt", PNG)
    await put(shelf, alice, "scene.glb", b"\x00\x01\x02", subfolder="3d")
    await put(shelf, alice, "odd: name?.bin", b"\x00\x01\x02")

    found: Sequence[Asset] = [
        await asset_of(shelf, alice, value) for value in ("lie.txt", "3d/scene.glb", "odd: name?.bin")
    ]

    assert [asset.content_type for asset in found[:2]] == ["image/png", "model/gltf-binary"]
    assert [asset.file_path for asset in found] == ["input/lie.txt", "input/3d/scene.glb", ""]


async def overwrite(shelf: Shelf, account: AccountId, number: int) -> None:
    for turn in range(12):
        await put(shelf, account, f"{turn % 2}.png", b"%d" % ((number + turn) % 3), overwrite=True)


async def delete(shelf: Shelf, account: AccountId) -> None:
    for turn in range(24):
        async with shelf.database.transaction() as tx:
            asset_id = await naming.resolve(tx, account, f"{turn % 2}.png")
            with contextlib.suppress(service.AssetNotFound):
                await service.delete(tx, account, asset_id or AssetId(new_uuid()))


async def sweep(shelf: Shelf) -> None:
    for _ in range(12):
        await collect.collect(shelf.database, shelf.storage)


async def test_overwriting_deleting_and_collecting_at_once_leave_whole_files(
    shelf: Shelf, alice: AccountId
) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(overwrite(shelf, alice, number))
        group.create_task(delete(shelf, alice))
        group.create_task(sweep(shelf))

    await put(shelf, alice, "0.png", b"last", overwrite=True)
    contents = {name: await read(shelf, alice, name) for name in await listed(shelf, alice)}
    assert contents.pop("0.png") == b"last"
    assert set(contents.values()) <= {b"0", b"1", b"2"}
    assert await shelf.run("SELECT count(*) FROM named_files") == [(len(contents) + 1,)]

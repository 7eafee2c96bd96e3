"""Files that requests bring or name become assets of their account; what cannot be used is refused by its name."""

import asyncio
import base64
import datetime as dt
import io
import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from atelier.assets import service as assets
from atelier.assets.model import Asset, Draft
from atelier.intake.inputs import Fetches, Inputs, Receipts
from atelier.intake.measuring import Size
from atelier.intake.named_files import Address, Inline, InvalidInput, Named, Stored
from atelier.jobs.service import QueueFull
from atelier.kit import clock
from atelier.kit.database import Database
from atelier.kit.errors import NotFound
from atelier.kit.http.outbound import Outbound
from atelier.kit.ids import AccountId, AssetId, new_uuid
from atelier.storage.model import Storage
from atelier.storage.opening import open_storage
from support.pictures import png, png_chunk
from support.serving import served

LIMIT = 2_000_000
KEPT = 3600.0
PICTURE = png((8, 6))


def inline(content: bytes) -> Inline:
    return Inline(base64.b64encode(content).decode())


def encoded(form: str, size: tuple[int, int], **options: Any) -> bytes:
    into = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(into, form, **options)
    return into.getvalue()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "files"))


@pytest.fixture
def inputs(database: Database, storage: Storage) -> Inputs:
    """Whose own machine's addresses may be asked."""
    outbound = Outbound(user_agent="test", allowed=[ipaddress.IPv4Network("127.0.0.0/8")])
    return Inputs(database, storage, outbound, LIMIT, KEPT)


@pytest.fixture
def account() -> AccountId:
    return AccountId(new_uuid())


async def endless() -> AsyncIterator[bytes]:
    yield PICTURE
    while True:
        yield b"\0" * 65536
        await asyncio.sleep(0)  # a client that hangs up is noticed only then


@pytest.fixture
async def elsewhere() -> AsyncGenerator[str]:
    """A server of somebody else's."""

    async def answer(request: Request) -> Response:
        given = {
            "picture": Response(PICTURE, media_type="image/png"),
            "untyped": Response(PICTURE, media_type="application/octet-stream"),
            "page": Response("<html>", media_type="text/html"),
            "lies": Response(b"<html>" * 100, media_type="image/png"),
            "endless": StreamingResponse(endless(), media_type="image/png"),
            "inside": RedirectResponse("http://10.0.0.1/picture"),
        }
        return given.get(request.path_params["what"], Response(status_code=404))

    async with served(Starlette(routes=[Route("/{what}", answer)])) as url:
        yield url


async def take(inputs: Inputs, account: AccountId, named: Named) -> Asset:
    return await inputs.asset(account, "input_image", named, Receipts())


async def refused(inputs: Inputs, account: AccountId, named: Named) -> str:
    """The reason why it is."""
    with pytest.raises(InvalidInput) as refusal:
        await take(inputs, account, named)
    [told] = (refusal.value.details or {})["errors"]
    assert told["parameter"] == "input_image"
    return str(told["reason"])


async def kept(inputs: Inputs, account: AccountId, content: bytes) -> Asset:
    received = await assets.receive_bytes(inputs.database, inputs.storage, content)
    async with inputs.database.transaction() as tx:
        return (await assets.record(tx, received, Draft(account))).asset


async def count(inputs: Inputs) -> int:
    async with inputs.database.autocommit() as tx:
        row = await (await tx.execute("SELECT count(*) FROM assets")).fetchone()
    return int(row[0]) if row else 0


async def test_an_asset_of_the_account_is_taken_and_nothing_is_received(
    inputs: Inputs, account: AccountId
) -> None:
    own, receipts = await kept(inputs, account, PICTURE), Receipts()

    asset = await inputs.asset(account, "input_image", Stored(own.id), receipts)

    assert asset == own
    assert receipts.told() == []


async def test_assets_of_others_and_none_are_not_found(inputs: Inputs, account: AccountId) -> None:
    foreign = await kept(inputs, AccountId(new_uuid()), PICTURE)

    assert await refused(inputs, account, Stored(foreign.id)) == "not_found"
    assert await refused(inputs, account, Stored(AssetId(new_uuid()))) == "not_found"


async def test_an_asset_that_is_no_picture_is_refused(inputs: Inputs, account: AccountId) -> None:
    text = await kept(inputs, account, b'{"some": "json"}')

    assert await refused(inputs, account, Stored(text.id)) == "not_an_image"


async def test_inline_data_become_an_asset_that_expires(inputs: Inputs, account: AccountId) -> None:
    receipts, before = Receipts(), clock.utcnow()

    asset = await inputs.asset(account, "mask", inline(PICTURE), receipts)

    assert (asset.account_id, asset.content_type, asset.size) == (account, "image/png", len(PICTURE))
    assert asset.expires_at is not None
    assert asset.expires_at >= before + dt.timedelta(seconds=KEPT)
    [told] = receipts.told()
    assert (told["parameter"], told["id"]) == ("mask", str(asset.id))


async def test_the_same_file_sent_twice_is_one_asset(inputs: Inputs, account: AccountId) -> None:
    first, second = [await take(inputs, account, inline(PICTURE)) for _ in range(2)]

    assert first.id == second.id


async def test_inline_data_that_are_no_usable_picture_leave_no_asset(inputs: Inputs, account: AccountId) -> None:
    huge = (20_000).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    bomb = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", huge) + png_chunk(b"IDAT", b"")

    assert await refused(inputs, account, inline(b'{"a": 1}')) == "not_an_image"
    assert await refused(inputs, account, inline(PICTURE[:20] + b"\0" * 40)) == "not_an_image"
    assert await refused(inputs, account, inline(bomb)) == "image_too_large"
    assert await refused(inputs, account, inline(b"\0" * (LIMIT + 1))) == "too_large"
    assert await refused(inputs, account, inline(b"\0" * (LIMIT * 2))) == "too_large"
    assert await count(inputs) == 0


async def test_a_picture_at_an_address_becomes_an_asset(
    inputs: Inputs, account: AccountId, elsewhere: str
) -> None:
    for what in ("picture", "untyped"):
        asset = await take(inputs, account, Address(f"{elsewhere}/{what}"))

        assert (asset.content_type, asset.size) == ("image/png", len(PICTURE))


async def test_what_an_address_should_not_give_is_refused_and_leaves_no_asset(
    inputs: Inputs, account: AccountId, elsewhere: str
) -> None:
    reasons = {
        "missing": "fetch_failed",
        "page": "fetched_wrong_content",
        "lies": "not_an_image",
        "endless": "fetched_too_large",
        "inside": "forbidden_address",
    }

    found = {what: await refused(inputs, account, Address(f"{elsewhere}/{what}")) for what in reasons}

    assert found == reasons
    assert await count(inputs) == 0


async def test_addresses_of_private_networks_are_not_asked(
    database: Database, storage: Storage, account: AccountId, elsewhere: str
) -> None:
    strict = Inputs(database, storage, Outbound(user_agent="test"), LIMIT, KEPT)

    assert await refused(strict, account, Address(f"{elsewhere}/picture")) == "forbidden_address"
    assert await refused(strict, account, Address("http://169.254.169.254/latest")) == "forbidden_address"


async def test_many_files_come_in_the_order_in_which_they_were_named(
    inputs: Inputs, account: AccountId, elsewhere: str
) -> None:
    own, receipts = await kept(inputs, account, png((5, 5))), Receipts()
    named: dict[str, list[Named]] = {
        "images": [Address(f"{elsewhere}/picture"), Stored(own.id), Address(f"{elsewhere}/untyped")],
        "mask": [inline(png((7, 7)))],
    }

    found = await inputs.all(account, named, receipts)

    first, second, third = found["images"]
    assert (first.hash, second) == (third.hash, own)
    assert [asset.content_type for asset in found["mask"]] == ["image/png"]
    assert len(receipts.taken) == 3


async def test_one_bad_file_of_many_is_refused_as_itself(
    inputs: Inputs, account: AccountId, elsewhere: str
) -> None:
    receipts = Receipts()
    named: dict[str, list[Named]] = {
        "a": [inline(PICTURE)],
        "b": [Address(f"{elsewhere}/picture"), Address(f"{elsewhere}/missing")],
    }

    with pytest.raises(InvalidInput, match=r"^b: ") as refusal, receipts.named():
        await inputs.all(account, named, receipts)

    told = (refusal.value.details or {})["received"]
    assert "a" in {one["parameter"] for one in told}
    assert all(one["expires_at"] for one in told)


async def test_an_upload_keeps_its_name_where_it_can_be_one(inputs: Inputs, account: AccountId) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield PICTURE[:10]
        yield PICTURE[10:]

    named = await inputs.received(account, "input_image", chunks(), Receipts(), "C:\\photos\\me.png")
    nameless = await inputs.received(account, "input_image", chunks(), Receipts(), "..")

    assert (named.file_path, nameless.file_path) == ("me.png", "")


async def test_an_upload_is_taken_up_to_the_limit(inputs: Inputs, account: AccountId) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(LIMIT // 1000 + 1):
            yield b"\0" * 1000

    with pytest.raises(InvalidInput) as refusal:
        await inputs.received(account, "input_image", chunks(), Receipts())

    [told] = (refusal.value.details or {})["errors"]
    assert (told["reason"], told["limit_bytes"]) == ("too_large", LIMIT)


async def test_who_fetches_too_much_at_once_waits_and_is_then_refused(account: AccountId) -> None:
    fetches = Fetches(at_once=1, patience=0.01)

    async with fetches.turn(account):
        with pytest.raises(QueueFull):
            async with fetches.turn(account):
                pass
        async with fetches.turn(AccountId(new_uuid())):
            pass
    async with fetches.turn(account):
        pass

    assert fetches._turns == {}


async def test_every_format_is_measured_also_a_large_file(inputs: Inputs, account: AccountId) -> None:
    forms, sizes = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"), [(30, 20), (700, 500)]

    for form in forms:
        taken = [await take(inputs, account, inline(encoded(form, size))) for size in sizes]

        assert [(await inputs.size("x", asset)).shown for asset in taken] == sizes, form


async def test_a_photo_that_lies_on_its_side_is_as_large_as_it_is_shown(
    inputs: Inputs, account: AccountId
) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6

    sizes = {
        form: await inputs.size("x", await take(inputs, account, inline(encoded(form, (30, 20), exif=turned))))
        for form in ("JPEG", "PNG", "WEBP")
    }

    assert set(sizes.values()) == {Size(30, 20, turned=True)}
    assert sizes["JPEG"].shown == (20, 30)
    assert sizes["JPEG"].stored == (30, 20)


async def test_a_file_that_the_storage_lost_is_said_to_be_lost(
    inputs: Inputs, storage: Storage, account: AccountId
) -> None:
    asset = await kept(inputs, account, PICTURE)
    await storage.delete(asset.blob.key)

    with pytest.raises(InvalidInput, match="lost"):
        await inputs.size("input_image", asset)


async def test_a_refusal_without_received_files_is_left_as_it_is() -> None:
    with pytest.raises(NotFound) as refusal, Receipts().named():
        raise NotFound("nothing")

    assert refusal.value.details is None


async def test_fetches_end_with_who_asked_for_them(inputs: Inputs, account: AccountId) -> None:
    came, hold = asyncio.Event(), asyncio.Event()

    async def slow(_request: Request) -> Response:
        came.set()
        await hold.wait()
        return Response(PICTURE)

    async with served(Starlette(routes=[Route("/", slow)])) as url:
        task = asyncio.get_running_loop().create_task(take(inputs, account, Address(url)))
        async with asyncio.timeout(60):
            await came.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        hold.set()

    assert inputs.fetches._turns == {}

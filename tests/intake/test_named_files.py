"""A file may be named in four ways, and whatever else is said is refused with the parameter's name."""

import base64
from typing import Any

import pytest

from atelier.intake.named_files import Address, Inline, InvalidInput, Stored, decoded, parse, parse_all
from atelier.kit.ids import AssetId, new_uuid

ID = AssetId(new_uuid())
WAYS: dict[str, tuple[Any, Any]] = {
    "id": (str(ID), Stored(ID)),
    "id in capitals": (f" {str(ID).upper()} ", Stored(ID)),
    "object with an id": ({"id": str(ID)}, Stored(ID)),
    "asset of a graph": ({"__type": "core/ASSET", "info": {"id": str(ID), "name": "x"}}, Stored(ID)),
    "data URI": ("data:image/png;base64,QUJD", Inline("QUJD")),
    "data URI of no type": ("data:;base64,QUJD", Inline("QUJD")),
    "data URI with parameters": ("DATA:image/png;charset=x;BASE64,QUJD", Inline("QUJD")),
    "escaped data URI": ("data:image/png;base64,QUI%3D", Inline("QUI=")),
    "address": ("https://example.com/a.png", Address("https://example.com/a.png")),
    "address in capitals": ("HTTP://example.com/a.png", Address("HTTP://example.com/a.png")),
    "object with an address": ({"url": "http://example.com"}, Address("http://example.com")),
}
NO_WAYS: dict[str, Any] = {
    "nothing": "",
    "number": 5,
    "file name": "photo.png",
    "path": "/etc/passwd",
    "file address": "file:///etc/passwd",
    "other scheme": {"url": "ftp://example.com/a.png"},
    "two ways": {"id": str(ID), "url": "https://example.com"},
    "object with a number": {"id": 7},
    "empty object": {},
    "plain data": "data:image/png,abc",
    "list": [str(ID)],
    "true": True,
}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_file_is_named_so(way: str) -> None:
    said, named = WAYS[way]

    assert parse("input_image", said) == named


@pytest.mark.parametrize("way", sorted(NO_WAYS))
def test_whatever_names_no_file_is_refused_by_the_name_of_its_parameter(way: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse("input_image", NO_WAYS[way])

    [told] = (refused.value.details or {})["errors"]
    assert (told["parameter"], told["reason"]) == ("input_image", "unreadable")
    assert refused.value.message.startswith("input_image: ")


def test_only_what_base64_has_of_signs_is_unescaped() -> None:
    named = parse("input_image", "data:image/png;base64,%2b%2FQU%0AI%3d%41")

    assert named == Inline("+/QUI=%41")


def test_several_files_are_named_one_by_one_and_one_alone_is_one() -> None:
    assert parse_all("images", [str(ID), "http://example.com"]) == [Stored(ID), Address("http://example.com")]
    assert parse_all("images", str(ID)) == [Stored(ID)]


def test_base64_may_be_broken_into_lines_and_must_be_base64() -> None:
    whole = base64.b64encode(b"some bytes").decode()

    assert decoded("mask", Inline(f"{whole[:6]}\r\n{whole[6:]}")) == b"some bytes"
    for broken in ("QUJ", "Q*==", "é"):
        with pytest.raises(InvalidInput, match="not valid base64"):
            decoded("mask", Inline(broken))

"""A large answer is spelled and packed once; what is each account's own is put into its gaps when it is asked for.

The packed pieces are one gzip member (RFC 1952): each is a run of deflate blocks that ends on a byte and refers to
nothing before it (Z_FULL_FLUSH), so that they can be joined with pieces that were packed at another time.
"""

import asyncio
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from blake3 import blake3
from starlette.requests import Request
from starlette.responses import Response

from atelier.kit.http.answers import compact

LARGE = 256 * 1024
"""Bytes from which on joining and packing leave the loop to others."""
WORTH_PACKING = 1_400
LEVEL = 5

_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_END = b"\x03\x00"
"""The last block, and it is empty."""


@dataclass(slots=True)
class Prepared:
    """`pieces` are bytes of JSON, with a gap between each two."""

    pieces: tuple[bytes, ...]
    digest: bytes = field(init=False)
    _packed: tuple[bytes, ...] | None = None

    def __post_init__(self) -> None:
        hashed = blake3()
        for piece in self.pieces:
            hashed.update(b"%d:" % len(piece)).update(piece)
        self.digest = hashed.digest()

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    def tag(self, fillings: Sequence[bytes]) -> str:
        """A weak validator: the same content has the same one, packed or not."""
        return f'W/"{blake3(self.digest + bytes(1).join(fillings)).hexdigest(16)}"'

    def plain(self, fillings: Sequence[bytes]) -> bytes:
        return b"".join(_between(self.pieces, fillings))

    def packed(self, fillings: Sequence[bytes]) -> bytes:
        """The same as gzip; what does not change is packed by the first who asks."""
        if self._packed is None:
            self._packed = tuple(_pack(piece) for piece in self.pieces)
        crc = size = 0
        for part in _between(self.pieces, fillings):
            crc, size = zlib.crc32(part, crc), size + len(part)
        whole = _between(self._packed, [_pack(filling) for filling in fillings])
        return b"".join((_HEAD, *whole, _END, struct.pack("<II", crc, size & 0xFFFFFFFF)))


def prepared(value: object) -> Prepared:
    """JSON without a gap."""
    return Prepared((compact(value).encode(),))


async def answer(request: Request, body: Prepared, fillings: Sequence[bytes] = ()) -> Response:
    """200 with JSON, packed where the client takes it; 304 where it has it."""
    headers = {"ETag": body.tag(fillings), "Cache-Control": "private, no-cache", "Vary": "Accept-Encoding"}
    if headers["ETag"].removeprefix("W/") in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    pack = body.size >= WORTH_PACKING and takes_gzip(request.headers)
    spell = body.packed if pack else body.plain
    if pack:
        headers["Content-Encoding"] = "gzip"
    content = await asyncio.to_thread(spell, fillings) if body.size >= LARGE else spell(fillings)
    return Response(content, headers=headers, media_type="application/json")


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Whether Accept-Encoding names gzip and does not refuse it (RFC 9110, section 12.5.3)."""
    for one in headers.get("accept-encoding", "").split(","):
        name, _, weight = one.partition(";")
        if name.strip().lower() == "gzip":
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False


def _between(pieces: Sequence[bytes], fillings: Sequence[bytes]) -> list[bytes]:
    joined = [pieces[0]]
    for filling, piece in zip(fillings, pieces[1:], strict=True):
        joined += [filling, piece]
    return joined


def _pack(piece: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(piece) + packer.flush(zlib.Z_FULL_FLUSH)

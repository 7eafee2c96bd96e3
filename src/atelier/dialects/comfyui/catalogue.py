"""What the fleet can run is told as one server would tell it; files that a loader offers are the caller's own."""

import mimetypes
from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response

from atelier.assets import naming
from atelier.dialects.auth import Call
from atelier.dialects.comfyui.prepared import answer
from atelier.dialects.comfyui.routing import get
from atelier.dialects.comfyui.shelf import Gap, Spelled
from atelier.kit.http.answers import compact

_OFFERED: Mapping[str, tuple[str, ...]] = {
    "image": ("image",),
    "video": ("video",),
    "audio": ("audio", "video"),
}
"""Halves of media types, by what an input takes (folder_paths.filter_files_content_types, comfy_extras)."""


async def object_info(request: Request, call: Call) -> Response:
    """Every class that a server of the fleet has, offline ones as well; one that was removed has none."""
    catalogue = await call.services.shelf.catalogue(call.services.intake.fleet)
    return await _filled(request, call, catalogue.whole)


async def object_info_of(request: Request, call: Call) -> Response:
    """The same for one class; `{}` for an unknown one."""
    catalogue = await call.services.shelf.catalogue(call.services.intake.fleet)
    return await _filled(request, call, catalogue.one(request.path_params["node_class"]))


async def _filled(request: Request, call: Call, spelled: Spelled) -> Response:
    return await answer(request, spelled.body, await _fillings(call, spelled.gaps))


async def _fillings(call: Call, gaps: Sequence[Gap]) -> list[bytes]:
    if not gaps:
        return []
    async with call.services.database.autocommit() as tx:
        owner = call.caller.account_id
        listed = {gap.folder: await naming.names(tx, owner, gap.folder) for gap in set(gaps)}
    texts = {gap: compact(offered(listed[gap.folder], gap.kind)).encode() for gap in set(gaps)}
    return [texts[gap] for gap in gaps]


def offered(names: Sequence[str], kind: str) -> list[str]:
    """Those of these files that an input of this kind takes, by their endings, as ComfyUI does it."""
    halves = _OFFERED.get(kind)
    if halves is None:
        return list(names)
    return [name for name in names if (mimetypes.guess_type(name)[0] or "").startswith(halves)]


ROUTES = [
    get("/object_info", object_info),
    get("/object_info/{node_class:path}", object_info_of),
]

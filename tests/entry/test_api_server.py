"""The served API believes what the network says of a request, and not what the request says of itself."""

import httpx
from fastapi import FastAPI
from starlette.requests import Request

from atelier.dialects.links import base_url
from atelier.entry.api_server import ApiServer
from atelier.entry.listening import listen, url_of
from atelier.kit.background import background


async def test_whoever_asks_cannot_say_where_it_came_from() -> None:
    app = FastAPI()

    async def whence(request: Request) -> list[str | None]:
        return [base_url(request, None), request.client.host if request.client else None]

    app.add_api_route("/", whence)
    server = ApiServer(app, listener := listen("127.0.0.1", 0))
    base = url_of(listener)
    forged = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.example"}
    async with background() as tasks, httpx.AsyncClient(base_url=base) as client:
        serving = tasks.start(server.run_until_stopped())
        await server.ready()
        answer = await client.get("/", headers=forged)
        odd = await client.get("/", headers={"Host": "evil.example/@<script>"})
        server.stop()
        await serving

    assert answer.json() == odd.json() == [base, "127.0.0.1"]

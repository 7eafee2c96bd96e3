"""One run of a workflow by the API that everybody uses, watched until its files are here."""

import asyncio
import base64
import contextlib
import json
import mimetypes
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import aiohttp
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from atelier.entry.commands import process
from atelier.entry.commands.options import Script, State
from atelier.entry.commands.printing import as_json, print_line
from atelier.entry.first_key import FILE
from atelier.entry.settings import Settings
from atelier.kit.errors import Refusal

LARGEST_FILE = 20_000_000
"""Bytes of a picture that is sent along; larger ones are uploaded as assets first."""

PATIENCE_SECONDS = 60.0
LONGEST_LINE = 16_000_000
TERMINAL = frozenset({"succeeded", "failed", "canceled", "expired"})

Json = Mapping[str, Any]


@Parameter(name="*")
@dataclass(frozen=True)
class At:
    """Which Atelier is asked, where it is not this installation's."""

    url: Annotated[str | None, Parameter(help="Address of a running Atelier.")] = None
    key_file: Annotated[Path | None, Parameter(help="File with the API key; else the first key.")] = None


_HERE = At()


def run(
    workflow: Annotated[str, Parameter(help="The workflow's id, as `workflows list` shows it.")],
    /,
    *,
    param: Annotated[
        tuple[str, ...],
        Parameter(
            name=("--param", "-p"),
            help="name=value, may be repeated; a value is JSON or plain text, @file.png sends a file.",
        ),
    ] = (),
    version: Annotated[str | None, Parameter(help="A revision's number, or what its author calls it.")] = None,
    out: Annotated[Path, Parameter(help="Folder for the files that it makes.")] = Path(),
    at: At = _HERE,
    script: Script = False,
    state: State = None,
) -> None:
    """Run a workflow, show how far it is, and save what it makes; exit code 1 where it fails."""
    settings = process.start(quiet=True, state_dir=state)
    params = dict(map(_param, param))
    body: dict[str, Any] = {"workflow_id": workflow, "params": params}
    if version is not None:
        body["version"] = version
    process.run(
        _run(at.url or _address(settings), _key(settings, at.key_file), body, out.absolute(), script=script)
    )


async def _run(url: str, key: str, body: Json, out: Path, *, script: bool) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE_SECONDS, sock_read=PATIENCE_SECONDS)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout, read_bufsize=LONGEST_LINE) as http:
        job = await _asked(http, "POST", "/api/v1/generate", json=body)
        if job["status"] not in TERMINAL:
            await _watch(http, job["id"], quiet=script)
            job = await _asked(http, "GET", f"/api/v1/jobs/{job['id']}")
            job["status"] = job["state"]
        if job["status"] != "succeeded":
            raise Refusal(f"the job {job['id']} ended as {job['status']}: {_sentence(job, 200)}")
        files = [
            await _saved(http, output, out / str(job["id"]), number)
            for number, output in enumerate(job["outputs"])
        ]
    told = {
        "id": job["id"],
        "seed": job.get("seed"),
        "cached": job.get("cached"),
        "files": [str(one) for one in files],
    }
    if script:
        as_json(told)
    else:
        for file in files:
            print_line(str(file))
        sys.stderr.write(
            f"job {job['id']}" + (f", seed {job['seed']}" if job.get("seed") is not None else "") + "\n"
        )


async def _asked(http: aiohttp.ClientSession, method: str, path: str, **more: Any) -> dict[str, Any]:
    """The answer's body. Raises Refusal with what the server says."""
    try:
        async with http.request(method, path, **more) as answer:
            told = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Refusal(f"no Atelier answers ({error}): start it with atelier up, or name it with --url") from error
    if answer.status >= 400:
        raise Refusal(_sentence(told, answer.status))
    return dict(told)


def _sentence(told: object, status: int) -> str:
    """What a refusal says; every bad parameter in a sentence of its own."""
    match told:
        case {"error": {"message": str(message), "details": {"errors": list()}}}:
            several: list[Json] = cast("Json", told)["error"]["details"]["errors"]
            return "; ".join(map(_fault, several)) or message
        case {"error": {"message": str(message)}}:
            return message
        case _:
            return f"it answered {status}" if status >= 400 else "its server said no more"


def _fault(one: Json) -> str:
    return f"{one.get('parameter', '')}: {one.get('message', '')}"


async def _watch(http: aiohttp.ClientSession, job_id: str, *, quiet: bool) -> None:
    """Until the job has ended; a stream that breaks is taken up where it was."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    last = "0"
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bars:
        bar = bars.add_task("accepted", total=1.0)
        while True:
            async for name, number, data in _events(http, job_id, last):
                last = number or last
                match name:
                    case "progress":
                        bars.update(bar, completed=data["value"], description=data["message"] or "running")
                    case "queue":
                        bars.update(bar, description=data["reason"] or "waiting")
                    case "status":
                        bars.update(bar, description=data["state"])
                    case _:
                        pass
                if data.get("terminal"):
                    return
            await asyncio.sleep(1)


async def _events(http: aiohttp.ClientSession, job_id: str, last: str) -> AsyncIterator[tuple[str, str, Json]]:
    """Name, number and data of each event; nothing more where the stream breaks. Raises Refusal."""
    path = f"/api/v1/jobs/{job_id}/events"
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with http.get(path, params={"previews": "false"}, headers={"Last-Event-ID": last}) as answer:
            if answer.status >= 400:
                raise Refusal(_sentence(await answer.json(content_type=None), answer.status))
            fields: dict[str, str] = {}
            async for raw in answer.content:
                name, colon, value = raw.decode().rstrip("\n").partition(": ")
                if colon and name:
                    fields[name] = value
                elif "data" in fields:
                    yield fields.get("event", ""), fields.get("id", ""), json.loads(fields["data"])
                    fields = {}


async def _saved(http: aiohttp.ClientSession, output: Json, stem: Path, number: int) -> Path:
    """The file that was written. Raises Refusal."""
    suffix = mimetypes.guess_extension(output["content_type"]) or ".bin"
    file = stem.with_name(f"{stem.name}{f'-{number + 1}' if number else ''}{suffix}")
    try:
        async with http.get(output["url"]) as answer, _written(file) as target:
            answer.raise_for_status()
            async for chunk in answer.content.iter_chunked(1 << 20):
                await asyncio.to_thread(target.write, chunk)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Refusal(f"the file {output['id']} could not be fetched: {error}") from error
    return file


@contextlib.asynccontextmanager
async def _written(file: Path) -> AsyncGenerator[Any]:
    try:
        await asyncio.to_thread(file.parent.mkdir, parents=True, exist_ok=True)
        target = await asyncio.to_thread(file.open, "wb")
    except OSError as error:
        raise Refusal(f"{file} cannot be written: {error.strerror}") from error
    with target:
        yield target


def _param(text: str) -> tuple[str, Any]:
    """Raises Refusal."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Refusal(f"write a parameter like steps=20, not {text!r}")
    if value.startswith("@"):
        several = [_file(Path(one)) for one in value[1:].split(",@")]
        return name, several[0] if len(several) == 1 else several
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _file(path: Path) -> str:
    """As a data URI. Raises Refusal."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise Refusal(
                f"{path} has more than {LARGEST_FILE // 1_000_000} MB: upload it, and give the asset's id"
            )
        body = base64.b64encode(path.read_bytes()).decode()
    except OSError as error:
        raise Refusal(f"{path} cannot be read: {error.strerror}") from error
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{body}"


def _address(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in {"0.0.0.0", "::", ""} else settings.host  # noqa: S104 - is listened on
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _key(settings: Settings, file: Path | None) -> str:
    """Raises Refusal."""
    chosen = file or settings.state_dir / FILE
    try:
        return chosen.read_text().strip()
    except OSError as error:
        raise Refusal(
            f"there is no key at {chosen}: --key-file names one, atelier keys create --account NAME makes one"
        ) from error

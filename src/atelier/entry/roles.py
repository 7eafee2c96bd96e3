"""Each role is put together here from the settings and lives for as long as its context is open."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from atelier.accounts.service import Authenticator
from atelier.comfy.client import Timeouts
from atelier.dialects.app import create_app
from atelier.dialects.comfyui.hub import Hub
from atelier.dialects.comfyui.reach import Reach
from atelier.dialects.comfyui.sockets import Places
from atelier.dialects.doors import BoundListener
from atelier.dialects.links import LinkSigner
from atelier.dialects.services import Limits, Services
from atelier.dispatch.context import Context
from atelier.dispatch.dispatcher import Dispatcher
from atelier.dispatch.model import DispatchSettings
from atelier.dispatch.pace import Pace
from atelier.dispatch.telemetry import Telemetry
from atelier.entry import making, workflows
from atelier.entry.api_server import ApiServer
from atelier.entry.bound import bound_key
from atelier.entry.outward import outbound_of
from atelier.entry.settings import Settings
from atelier.entry.state import Secrets
from atelier.fleet import scene
from atelier.fleet import service as fleet
from atelier.fleet.model import Origin, Server
from atelier.fleet.view import FleetView
from atelier.intake.service import Intake
from atelier.jobs.cached import Twins
from atelier.jobs.outlook import Outlook
from atelier.jobs.relay import Relay
from atelier.jobs.service import QueueBounds
from atelier.kit.background import background
from atelier.kit.database import Database
from atelier.kit.http.sse import StreamSlots
from atelier.kit.ids import DispatcherId, ServerId, new_uuid
from atelier.kit.wakeups import Wakeups
from atelier.storage.model import Storage
from atelier.storage.object_store import Credentials
from atelier.storage.opening import open_storage
from atelier.webui import pages
from atelier.workflows.registry import Registry


@dataclass(frozen=True, slots=True)
class Foundation:
    """What every role of one process stands on."""

    settings: Settings
    database: Database
    secrets: Secrets
    storage: Storage
    wakeups: Wakeups
    fleet: FleetView
    relay: Relay
    registry: Registry


@contextlib.asynccontextmanager
async def foundation(settings: Settings, database: Database, secrets: Secrets) -> AsyncGenerator[Foundation]:
    """The wake-ups, the relay and the view of the fleet run for as long as the context is open."""
    wakeups = Wakeups(database)
    view = FleetView(database, wakeups)
    await view.refresh()
    relay = Relay(database, wakeups)
    registry = Registry(database, wakeups)
    ground = Foundation(settings, database, secrets, storage_of(settings), wakeups, view, relay, registry)
    async with background() as tasks:
        tasks.start(wakeups.run())
        tasks.start(view.run())
        tasks.start(relay.run())
        yield ground


def storage_of(settings: Settings) -> Storage:
    """The named bucket or folder, else `files` in the state folder."""
    credentials = Credentials(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key=settings.s3_access_key_id,
        secret_key=settings.s3_secret_access_key.get_secret_value(),
    )
    return open_storage(settings.storage_url or str(settings.state_dir / "files"), credentials)


async def register_servers(ground: Foundation, simulated: list[fleet.Named]) -> list[ServerId]:
    """The servers that the settings name and those simulated now are in the fleet; former ones are not.

    Every dispatcher may drive them. Gives the ids of the simulated ones.
    """
    async with ground.database.transaction() as tx:
        ids = await fleet.follow_setting(tx, simulated, Origin.SIMULATED)
        await fleet.follow_setting(tx, _named(ground.settings), Origin.SETTING)
    ground.wakeups.publish("fleet")
    return ids


async def register_shared_servers(ground: Foundation) -> None:
    """The servers of the common list are in the fleet for every dispatcher; those that it named before are not.

    A dispatcher without a list leaves things as they are.
    """
    if ground.settings.comfyui_urls:
        async with ground.database.transaction() as tx:
            await fleet.follow_setting(tx, _named(ground.settings), Origin.SETTING)
        ground.wakeups.publish("fleet")


async def register_private_servers(ground: Foundation) -> list[str]:
    """The servers that the settings name are in the fleet, for the dispatcher of this name alone.

    They replace those that it named before, and nobody else's. Who names none keeps what is registered. Gives what
    the operator should know.
    """
    owner = dispatcher_name(ground.settings)
    named = _named(ground.settings, owner)
    if not named:
        return []
    async with ground.database.transaction() as tx:
        ids = await fleet.follow_setting(tx, named, Origin.SETTING, owner)
        others = [server for server in await fleet.servers(tx) if server.id not in ids]
    ground.wakeups.publish("fleet")
    urls = {one.url for one in named}
    return [_twice(server) for server in others if server.url in urls and not _is_here(server)]


def _twice(server: Server) -> str:
    who = f"the dispatcher {server.only_dispatcher}" if server.only_dispatcher else "every dispatcher"
    return (
        f"{server.url} is driven by {who} as well, as {server.id}: let one dispatcher name it,"
        " or none, and add it with `atelier servers add`"
    )


def _is_here(server: Server) -> bool:
    """Whether every machine means another server by this address."""
    host = urlsplit(server.url).hostname or ""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def _named(settings: Settings, owner: str = "") -> list[fleet.Named]:
    return [
        fleet.Named(url, settings.headers_for(url, fleet.id_from_url(url), fleet.id_from_url(url, owner)))
        for url in settings.comfyui_urls
    ]


@contextlib.asynccontextmanager
async def api(
    ground: Foundation, listener: socket.socket, bound: socket.socket | None = None
) -> AsyncGenerator[ApiServer]:
    """The API on an open socket; on `bound` everything is asked with the bound key. Raises SetupFailed for it."""
    settings = ground.settings
    reach = Reach(ground.fleet)
    services = services_of(ground, reach)
    app = create_app(services, pages.ROUTES)
    servers = [ApiServer(app, listener)]
    if bound is not None:
        key = await bound_key(settings, ground.database, ground.secrets.pepper)
        servers.append(ApiServer(BoundListener(app, key), bound))
    filled = workflows.kept(ground.registry, settings, ground.database, ground.wakeups)
    async with filled, reach.opened(), background() as tasks:
        tasks.start(services.hub.run(ground.database, ground.wakeups, ground.relay, services.closing))
        serving = [tasks.start(server.run_until_stopped()) for server in servers]
        for server in servers:
            await server.ready()
        try:
            yield servers[0]
        finally:
            services.closing.set()
            for server in servers:
                server.stop()
            await asyncio.gather(*serving)


def services_of(ground: Foundation, reach: Reach | None = None) -> Services:
    """What the dialects stand on in this process. Without `reach` no server is asked anything for a client."""
    settings = ground.settings
    return Services(
        database=ground.database,
        wakeups=ground.wakeups,
        relay=ground.relay,
        authenticator=Authenticator(ground.database, ground.secrets.pepper),
        links=LinkSigner(ground.secrets.links, int(settings.link_ttl)),
        registry=ground.registry,
        house=making.house_of(settings),
        results=making.results_of(settings),
        defaults=making.defaults_of(settings),
        max_batch_items=settings.max_batch_items,
        storage=ground.storage,
        intake=_intake(ground),
        public_url=settings.public_url or None,
        cors_origins=settings.cors_origins,
        json_limit=settings.body_limit,
        upload_limit=settings.upload_limit,
        streams=StreamSlots(per_owner=settings.max_streams_per_account),
        reach=reach,
        outbound=outbound_of(settings),
        custom_routes=settings.custom_routes == "sticky",
        hub=Hub(Places(settings.max_sockets_per_account, settings.max_sockets)),
        session_lifetime=settings.session_lifetime,
        user_file_limit=settings.user_file_limit,
        user_files_most=settings.user_files_per_account,
        outlook=outlook_of(ground),
        limits=Limits(
            max_queued=settings.max_queued,
            max_queued_per_account=settings.max_queued_per_account,
            max_running=settings.max_running,
            max_running_per_account=settings.max_running_per_account,
            server_jobs_per_minute=settings.server_jobs_per_minute,
        ),
    )


def outlook_of(ground: Foundation) -> Outlook:
    """What waiting jobs may expect, as seen from this process."""
    settings = ground.settings
    limits = scene.Limits(
        running=settings.max_running,
        running_per_account=settings.max_running_per_account,
        per_minute=settings.server_jobs_per_minute,
    )
    return Outlook(ground.fleet, limits)


def _intake(ground: Foundation) -> Intake:
    settings = ground.settings
    return Intake(
        database=ground.database,
        fleet=ground.fleet,
        wakeups=ground.wakeups,
        bounds=QueueBounds(settings.max_queued, settings.max_queued_per_account),
        queue_ttl=settings.queue_ttl,
        retention=settings.retention,
    )


@contextlib.asynccontextmanager
async def dispatch(ground: Foundation, *, ending: Collection[ServerId] = ()) -> AsyncGenerator[Dispatcher]:
    """A dispatcher; when the context ends it drains and hands its leases back.

    Servers in `ending` end with this process: their jobs are not theirs any more, and nobody counts their death.
    """
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        context = Context(
            me=DispatcherId(new_uuid()),
            settings=dispatch_settings(ground.settings),
            database=ground.database,
            storage=ground.storage,
            wakeups=ground.wakeups,
            relay=ground.relay,
            http=http,
            telemetry=Telemetry(ground.database, ground.wakeups),
            pace=Pace(ground.database),
            view=ground.fleet,
        )
        dispatcher = Dispatcher(context)
        try:
            async with background() as tasks:
                tasks.start(dispatcher.run())
                tasks.start(twins_of(ground).run())
                try:
                    yield dispatcher
                finally:
                    await dispatcher.drain(ground.settings.drain)
        finally:
            await dispatcher.leave(ending)


def twins_of(ground: Foundation) -> Twins:
    """What settles those who wait for another job."""
    return Twins(ground.database, ground.storage, ground.wakeups, ground.settings.result_cache_price)


def dispatcher_name(settings: Settings) -> str:
    """What this process's dispatcher is called; servers that it alone can reach belong to the name."""
    return settings.dispatcher_name or socket.gethostname()


def dispatch_settings(settings: Settings) -> DispatchSettings:
    return DispatchSettings(
        name=dispatcher_name(settings),
        heartbeat=settings.lease_heartbeat,
        expiry=settings.lease_expiry,
        hold=settings.lease_hold,
        lost_after=settings.lost_server_after,
        poll_interval=settings.poll_interval,
        run_timeout=settings.run_timeout,
        run_timeouts={
            "image": settings.run_timeout_image,
            "video": settings.run_timeout_video,
            "other": settings.run_timeout_other,
        },
        probe_interval=settings.probe_interval,
        max_running=settings.max_running,
        max_running_per_account=settings.max_running_per_account,
        server_jobs_per_minute=settings.server_jobs_per_minute,
        output_limit=settings.output_limit,
        timeouts=Timeouts(
            connect=settings.connect_timeout,
            read=settings.read_timeout,
            idle_download=settings.download_timeout,
        ),
    )

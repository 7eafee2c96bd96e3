"""The served application: every dialect on one port, with one border for ids, errors and origins."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from atelier.dialects import (
    account_events,
    batches,
    dead_letters,
    files,
    generate,
    generate_body,
    health,
    importing,
    importing_wire,
    job_events,
    jobs_v1,
    models,
    queue,
    servers,
    thumbnails,
    webhooks,
    workflows,
)
from atelier.dialects.comfy_v2 import api as comfy_v2_api
from atelier.dialects.comfyui import api as native_api
from atelier.dialects.comfyui.envelope import native_envelope
from atelier.dialects.comfyui.transport import NativeTransport
from atelier.dialects.doors import Doors
from atelier.dialects.lasting import Lasting
from atelier.dialects.openapi import document
from atelier.dialects.paths import Dialect, dialect_of
from atelier.dialects.problems import ErrorEnvelope, envelope
from atelier.dialects.services import Services
from atelier.dialects.workflow_documents import WorkflowDocuments
from atelier.kit.http.cors import cors
from atelier.kit.http.errors import ErrorBoundary, handle_refusals
from atelier.kit.http.heads import Heads
from atelier.kit.http.lingering import Lingering
from atelier.kit.http.problems import Envelope, Envelopes
from atelier.kit.http.request_ids import RequestIds

REQUEST_ID_HEADERS = ("X-Request-Id", "X-Comfy-Request-Id")

BODY_MODELS: tuple[type[BaseModel], ...] = (
    servers.NewServer,
    servers.ServerChange,
    jobs_v1.Priority,
    dead_letters.Chosen,
    queue.CleanUp,
    models.Several,
    generate_body.Generate,
    generate_body.Edit,
    generate_body.Run,
    batches.GenerateBatch,
    webhooks.NewWebhook,
    webhooks.WebhookChange,
    importing_wire.Import,
    importing_wire.DraftChange,
    importing_wire.Rollback,
    *job_events.EVENTS.values(),
    *account_events.MODELS,
)

ROUTERS = (
    jobs_v1.router,
    job_events.router,
    account_events.router,
    health.router,
    files.router,
    thumbnails.router,
    servers.router,
    dead_letters.router,
    queue.router,
    models.router,
    webhooks.router,
    generate.router,
    batches.router,
    importing.router,
    workflows.router,
)


ENVELOPES: Mapping[Dialect, Envelope] = {
    Dialect.OURS: envelope,
    Dialect.COMFY_V2: envelope,
    Dialect.NATIVE: native_envelope,
    Dialect.PAGES: envelope,
}


class Application(FastAPI):
    """FastAPI with a document that is true."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = document(self, [ErrorEnvelope, *BODY_MODELS, *comfy_v2_api.BODY_MODELS])
        services: Services = self.state.services
        workflows: WorkflowDocuments = self.state.workflow_documents
        return workflows.document(self.openapi_schema, services.registry.listing(None))


def create_app(services: Services, pages: Sequence[BaseRoute] = ()) -> FastAPI:
    """All dialects over `services`, and `pages` for browsers behind them. Starts nothing by itself.

    Raises SetupFailed for an origin that is none.
    """
    envelopes = Envelopes(lambda path: ENVELOPES[dialect_of(path)])
    app = Application(
        title="Atelier",
        version=version("atelier"),
        description="The production service in front of a fleet of ComfyUI servers.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Lingering),
            Middleware(RequestIds, headers=REQUEST_ID_HEADERS),
            Middleware(Doors),
            Middleware(Lasting),
            *cors(
                services.cors_origins,
                exposed=(*REQUEST_ID_HEADERS, *comfy_v2_api.ANSWER_HEADERS),
                allowed=comfy_v2_api.REQUEST_HEADERS,
            ),
            Middleware(NativeTransport, listed=services.cors_origins),
            Middleware(ErrorBoundary, envelopes=envelopes),
            Middleware(Heads),
        ],
    )
    app.state.services = services
    app.state.workflow_documents = WorkflowDocuments()
    handle_refusals(app, envelopes)
    # Routes of an included router are matched anew through each router above them: a tenth of a poll's time.
    app.router.routes.extend((*comfy_v2_api.ROUTES, *(route for router in ROUTERS for route in router.routes)))
    app.router.routes.extend(native_api.ROUTES)
    app.router.routes.extend(pages)
    app.router.default = native_api.beyond
    return app

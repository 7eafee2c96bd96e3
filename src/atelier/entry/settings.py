"""Everything that can be set, from environment variables that begin with ATELIER_; read once, then frozen."""

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from atelier.assets.pictures.model import Metadata, PictureFormat
from atelier.entry import old_names
from atelier.kit.errors import SetupFailed
from atelier.kit.http.public_addresses import parse_networks
from atelier.kit.units import Seconds, Size

PREFIX = "ATELIER_"
OF_THE_RUN_SCRIPT = frozenset({"ATELIER_VENV", "ATELIER_PYTHON"})
"""Read by `./run` before any of this exists."""


def _split(value: object) -> object:
    """`a,b c` is a list of three."""
    return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
        return {server: dict(headers.items()) for server, headers in found.items()}
    except (ValueError, AttributeError) as error:
        raise ValueError('write JSON like {"http://192.168.1.20:8188": {"X-Key": "..."}}') from error


def _names_from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
        return {old: new.strip() for old, new in found.items()}
    except (ValueError, AttributeError) as error:
        raise ValueError('write JSON like {"sd_xl_base_1.0.safetensors": "juggernaut_xl.safetensors"}') from error


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
HeadersByServer = Annotated[dict[str, dict[str, str]], NoDecode, BeforeValidator(_from_json)]
FileNames = Annotated[dict[str, str], NoDecode, BeforeValidator(_names_from_json)]


class Settings(BaseSettings):
    """What an operator can choose: durations in seconds, sizes in bytes. docs/settings.md explains every field."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", env_ignore_empty=True, hide_input_in_errors=True
    )

    # Where things are
    state_dir: Path = Field(
        Path(".atelier"), description="Folder of everything that Atelier keeps on this machine."
    )
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 opens it to the network.")
    port: int = Field(8189, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    bind_key: SecretStr = Field(
        SecretStr(""), description="API key that everything on bind_port is asked with; unset: there is none."
    )
    bind_key_file: Path | None = Field(None, description="File with that key instead.")
    bind_host: str = Field("127.0.0.1", description="Loopback address of that second listener.")
    bind_port: int = Field(8188, ge=0, le=65535, description="Its port; ComfyUI's own unless set.")
    public_url: str = Field(
        "", description="Address under which clients reach Atelier, when a proxy stands before it."
    )
    database_url: str = Field("", repr=False, description="PostgreSQL to use; empty: an embedded one is started.")
    database_listen_url: str = Field(
        "",
        repr=False,
        description="The direct address of that PostgreSQL, when database_url goes through a pooler.",
    )
    database_pool: int = Field(
        8, ge=2, le=100, description="Connections per process, besides one that listens and one for leases."
    )

    workflows_dir: Path | None = Field(
        None, description="Folder of your own workflows, one folder each; unset: `workflows` where Atelier starts."
    )

    workflow_files: FileNames = Field(
        default_factory=dict[str, str],
        description='Names of your files for those of shipped workflows, as JSON: {"<shipped>": "<yours>"}.',
    )

    inpaint_workflow: str = Field(
        "", description="Workflow of /api/v1/edit/inpaint; unset: the first of that category that runs now."
    )
    upscale_workflow: str = Field(
        "", description="Workflow of /api/v1/edit/upscale; unset: the first of that category that runs now."
    )

    # Where files go
    storage_url: str = Field("", description="s3://bucket/prefix or a folder; empty: `files` in the state folder.")
    s3_endpoint: str = Field("", description="Address of an S3-compatible service (R2, Supabase, MinIO).")
    s3_region: str = Field("auto", description="Region of the bucket.")
    s3_access_key_id: str = Field("", description="Access key of the bucket.")
    s3_secret_access_key: SecretStr = Field(SecretStr(""), description="Secret key of the bucket.")

    # ComfyUI servers
    comfyui_urls: Names = Field((), description="Addresses of ComfyUI servers, separated by commas.")
    comfyui_token: SecretStr = Field(
        SecretStr(""), description="Bearer token sent to the servers of comfyui_urls."
    )
    comfyui_headers: HeadersByServer = Field(
        default_factory=dict[str, dict[str, str]],
        repr=False,
        description='Headers per server, as JSON: {"<url or id>": {"<header>": "<value>"}}.',
    )
    connect_timeout: Seconds = Field(10, description="How long a connection to a server may take.")
    read_timeout: Seconds = Field(30, description="How long a server may take to begin an answer.")
    download_timeout: Seconds = Field(60, description="How long a download from a server may stand still.")
    run_timeout: Seconds | None = Field(
        None, description="How long any prompt may run before it is interrupted; unset: by what it makes."
    )
    run_timeout_image: Seconds = Field(200, description="How long a prompt that makes images may run.")
    run_timeout_video: Seconds = Field(400, description="How long a prompt that makes video may run.")
    run_timeout_other: Seconds = Field(300, description="How long a prompt that makes anything else may run.")
    probe_interval: Seconds = Field(30, description="How often a server is asked whether it is well.")
    max_running: int = Field(0, ge=0, description="Jobs that may run at once in the whole fleet; 0: no limit.")
    max_running_per_account: int = Field(
        0, ge=0, description="Jobs of one account or end user that may run at once; 0: no limit."
    )
    server_jobs_per_minute: int = Field(
        0, ge=0, description="Jobs that one server may begin within a minute; 0: no limit."
    )
    dispatcher_name: str = Field(
        "", description="What this dispatcher is called; unset: the machine's name. Private servers belong to it."
    )
    poll_interval: Seconds = Field(3, le=60, description="How often a server is asked whose WebSocket is blocked.")
    lost_server_after: Seconds = Field(10, description="How long a server may be silent before its jobs move on.")

    # Simulated servers
    simulate: int | None = Field(
        None, ge=0, le=64, description="Simulated servers that `up` starts; unset: two when no real one is named."
    )
    simulate_step: float = Field(0.05, ge=0, le=60, description="Seconds that a simulated sampling step takes.")
    simulate_load: float = Field(0.5, ge=0, le=600, description="Seconds that a simulated model takes to load.")

    # Secrets of this installation
    key_pepper: SecretStr = Field(
        SecretStr(""), description="Secret mixed into stored API keys; empty: made once, kept in the state folder."
    )
    link_secret: SecretStr = Field(
        SecretStr(""), description="Secret that signs download links; empty: made once, kept in the state folder."
    )

    # Jobs and limits
    queue_ttl: Seconds = Field(24 * 3600, description="How long a job may wait for a server before it expires.")
    retention: Seconds = Field(30 * 86_400, description="How long a finished job and its outputs are kept.")
    result_cache: Literal["account", "shared", "off"] = Field(
        "account", description="Whose earlier results a job may take: its own account's, anybody's, nobody's."
    )
    result_cache_price: float = Field(
        0, ge=0, le=1, description="Part of its price that a job costs which takes an earlier result."
    )
    max_batch_items: int = Field(1000, ge=1, le=10_000, description="Jobs that one request for a batch may make.")
    link_ttl: Seconds = Field(3600, description="How long a signed download link works.")
    max_queued: int = Field(100_000, ge=1, description="Jobs that may wait in all; beyond that: 429.")
    max_queued_per_account: int = Field(
        10_000, ge=1, description="Jobs of one account that may wait; beyond: 429."
    )
    custom_routes: Literal["off", "sticky"] = Field(
        "off",
        description="Whether routes that only packs of servers have are passed on: to one server per client.",
    )
    max_streams_per_account: int = Field(
        256, ge=1, description="Event streams of one account that one process keeps open; beyond: 429."
    )
    max_sockets_per_account: int = Field(
        200, ge=1, description="WebSockets of one account that one process keeps open; beyond: 429."
    )
    max_sockets: int = Field(10_000, ge=1, description="WebSockets that one process keeps open; beyond: 503.")
    body_limit: Size = Field(10_000_000, description="Largest JSON body of a request.")
    upload_limit: Size = Field(100_000_000, description="Largest uploaded file.")
    output_limit: Size = Field(2_000_000_000, description="Largest file that is fetched from a server.")
    picture_format: PictureFormat = Field(
        PictureFormat.ORIGINAL, description="What workflows deliver pictures as, unless they or a request say it."
    )
    picture_quality: int = Field(80, ge=1, le=100, description="Their quality, unless a request says it.")
    picture_metadata: Metadata = Field(
        Metadata.KEEP, description="Whether they keep their metadata: keep, anonymise or strip."
    )
    session_lifetime: Seconds = Field(
        30 * 86_400, description="How long a browser stays signed in; never longer than its key lives."
    )
    user_file_limit: Size = Field(50_000_000, description="Largest file that a user of the editor may keep.")
    user_files_per_account: int = Field(
        10_000, ge=1, description="Files that one account's editor may keep; beyond: refused."
    )
    cors_origins: Names = Field(
        (), description="Origins whose pages may call the API, separated by commas; never *."
    )

    outbound_allow: Names = Field(
        (),
        description="Networks (CIDR) that addresses of clients may lead into although they are not public.",
    )

    # How processes live together
    lease_heartbeat: Seconds = Field(5, description="How often a dispatcher renews its leases on servers.")
    lease_hold: Seconds = Field(
        10, description="Without a renewal for this long, a dispatcher lets its servers go."
    )
    lease_expiry: Seconds = Field(15, description="Without a renewal for this long, others may take its servers.")
    drain: Seconds = Field(5, le=600, description="How long a stopping process may take to end what it does.")

    # What is written down
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is logged."
    )
    log_format: Literal["console", "json"] = Field("console", description="Lines for people or for programs.")

    @field_validator("state_dir")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return folder.expanduser().resolve()

    @field_validator("public_url", "s3_endpoint")
    @classmethod
    def _address(cls, url: str) -> str:
        return _http_url(url) if url else url

    @field_validator("comfyui_urls")
    @classmethod
    def _addresses(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_http_url(url if "://" in url else f"http://{url}") for url in urls))

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        if any("*" in origin for origin in origins):
            raise ValueError("name each origin, like https://studio.example.com: * would let every page in")
        return tuple(_http_url(origin) for origin in origins)

    @field_validator("outbound_allow")
    @classmethod
    def _networks(cls, written: tuple[str, ...]) -> tuple[str, ...]:
        try:
            parse_networks(written)
        except ValueError as error:
            raise ValueError(f"write networks like 10.20.0.0/16 or one address: {error}") from error
        return written

    @model_validator(mode="after")
    def _leases_end_in_order(self) -> Self:
        if not self.lease_heartbeat < self.lease_hold < self.lease_expiry:
            raise ValueError(
                "ATELIER_LEASE_HEARTBEAT must be shorter than ATELIER_LEASE_HOLD,"
                " and that shorter than ATELIER_LEASE_EXPIRY"
            )
        return self

    def headers_for(self, *names: str) -> dict[str, str]:
        """The headers for one server, by its address or its id: those of its own, and the common bearer token."""
        found: dict[str, str] = {}
        if token := self.comfyui_token.get_secret_value():
            found["Authorization"] = f"Bearer {token}"
        for name, headers in self.comfyui_headers.items():
            if name.rstrip("/") in names:
                found |= headers
        return found


def load(**overrides: object) -> Settings:
    """The settings of this process; `overrides` (those that are not None) win over the environment.

    Raises SetupFailed with one sentence that names the variable and what it must be.
    """
    old = old_names.translate(os.environ)  # noqa: TID251 - this is the one home
    values: dict[str, Any] = dict(old.values)
    values |= {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as error:
        wrong = [_sentence(each, old.read) for each in error.errors(include_input=False)]
        raise SetupFailed("; ".join(wrong)) from error


def notices(environ: Mapping[str, str] | None = None) -> Sequence[str]:
    """What to tell the operator once at the start: old names that were read, and names that mean nothing."""
    environ = os.environ if environ is None else environ  # noqa: TID251 - this is the one home
    read = old_names.translate(environ).read
    told = [", ".join(f"{old} is read as {ours}" for old, ours in read.items())] if read else []
    ours = {variable(name) for name in Settings.model_fields} | OF_THE_RUN_SCRIPT
    told += [_unknown(name, ours) for name in sorted(environ) if name.startswith(PREFIX) and name not in ours]
    return told


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a program that we start: ours without the secrets of this installation, and `more`."""
    environ = os.environ  # noqa: TID251 - this is the one home
    hidden = {variable(name) for name, field in Settings.model_fields.items() if _is_secret(field)}
    hidden |= {old for old, ours in old_names.OURS.items() if ours in hidden}
    return {name: value for name, value in environ.items() if name not in hidden} | more


def variable(field: str) -> str:
    """The environment variable of a field."""
    return PREFIX + field.upper()


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or not field.repr


def _unknown(name: str, ours: set[str]) -> str:
    near = difflib.get_close_matches(name, ours, n=1)
    return f"{name} is not a setting" + (f": did you mean {near[0]}?" if near else "")


def _sentence(error: ErrorDetails, read: Mapping[str, str]) -> str:
    said = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    where = variable(str(error["loc"][0])) if error["loc"] else ""
    where += "".join(f" (read from {old})" for old, ours in read.items() if ours == where)
    cure = f"must be {said}" if error["msg"].startswith("Input should be ") else f"is not usable: {said}"
    return f"{where} {cure}" if where else said


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    try:
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        whole = False
    if not whole or parts.query or parts.fragment:
        raise ValueError("write an address like http://192.168.1.20:8188")
    if parts.username or parts.password:
        raise ValueError("keep passwords out of addresses: send them as headers (ATELIER_COMFYUI_HEADERS)")
    return url.rstrip("/")

"""Options that several commands share mean the same everywhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

A_PORT = Number(gte=0, lte=65535)
A_COUNT = Number(gte=1, lte=10_000)

Script = Annotated[bool, Parameter(name="--json", help="Print JSON, for scripts.")]
State = Annotated[Path | None, Parameter(help="State folder instead of ATELIER_STATE_DIR (.atelier).")]
AccountName = Annotated[str, Parameter(name="--account", help="Name of the account.")]
Port = Annotated[
    int | None, Parameter(help="Port instead of ATELIER_PORT (8189); 0 takes any free one.", validator=A_PORT)
]
Simulate = Annotated[
    int | None, Parameter(help="How many simulated ComfyUI servers to start; 2 if no real one is named.")
]
Comfyui = Annotated[str | None, Parameter(help="Addresses of real ComfyUI servers, separated by commas.")]
KeyFile = Annotated[Path | None, Parameter(help="File that receives the first key (0600).")]
Host = Annotated[str | None, Parameter(help="Address to listen on instead of ATELIER_HOST (127.0.0.1).")]


@Parameter(name="*")
@dataclass(frozen=True)
class Bind:
    """A second port of this machine, for clients that can send no key."""

    key: Annotated[
        Path | None,
        Parameter(
            name="--bind-key", help="File with a key: on a second port of this machine, all is asked with it."
        ),
    ] = None
    port: Annotated[
        int | None,
        Parameter(name="--bind-port", help="That port, instead of ATELIER_BIND_PORT (8188).", validator=A_PORT),
    ] = None


NO_BIND = Bind()

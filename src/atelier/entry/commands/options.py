"""Options that several commands share mean the same everywhere."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

Script = Annotated[bool, Parameter(name="--json", help="Print JSON, for scripts.")]
State = Annotated[Path | None, Parameter(help="State folder instead of ATELIER_STATE_DIR (.atelier).")]
AccountName = Annotated[str, Parameter(name="--account", help="Name of the account.")]

"""A JSON object that is kept as text goes out as the text that it is; it is parsed when somebody looks into it."""

import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class Written(Mapping[str, Any]):
    """The object that `text` spells; what is no object raises TypeError when it is looked into."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __getitem__(self, key: str) -> Any:
        return self._parsed[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parsed)

    def __len__(self) -> int:
        return len(self._parsed)

    def __repr__(self) -> str:
        return f"Written({self.text!r})"

    @cached_property
    def _parsed(self) -> dict[str, Any]:
        return dict(json.loads(self.text))


def text_of(value: Mapping[str, Any]) -> str:
    """JSON: as it was written, where it was."""
    return value.text if isinstance(value, Written) else _encode(value)


def with_members(text: str, members: Mapping[str, Any]) -> str:
    """The object that `text` spells with more `members`, which it has not yet."""
    inside, more = text.strip()[1:-1].strip(), _encode(members)[1:-1]
    return f"{{{inside}{',' if inside and more else ''}{more}}}"

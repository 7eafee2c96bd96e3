"""What the official editor answered, kept: whole for graphs drawn by hand, as digests for others' templates."""

import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from workflows.converting import made_subgraphs
from workflows.converting.deduced_classes import deduced, sheets
from workflows.converting.made_graphs import all_graphs, recorded

HERE = Path(__file__).parent
MADE = HERE / "made_graphs.json.gz"
TEMPLATES = HERE / "templates.json"

assert made_subgraphs.HOST, "its graphs are among all_graphs()"


def made() -> dict[str, Any]:
    """The graphs that the editor makes of those drawn by hand."""
    with gzip.open(MADE) as file:
        table: dict[str, Any] = json.load(file)
    return table


def kept_templates() -> dict[str, dict[str, str]]:
    """`{template: {file, recorded, deduced}}`: digests of the file and of what the editor makes of it.

    `recorded`: with the recorded server's classes, "" where it lacks some that are needed. An answer that begins
    with `error:` is why the editor itself cannot.
    """
    table: dict[str, dict[str, str]] = json.loads(TEMPLATES.read_text())
    return table


@cache
def templates() -> dict[str, bytes]:
    """The workflows of comfyui-workflow-templates-json; its indexes are none."""
    spec = find_spec("comfyui_workflow_templates_json")
    assert spec
    assert spec.origin
    folder = Path(spec.origin).parent / "templates"
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.json"))}
    return {
        name: content for name, content in files.items() if b'"nodes"' in content and "nodes" in _object(content)
    }


def _object(content: bytes) -> Mapping[str, Any]:
    value = json.loads(content)
    return value if isinstance(value, dict) else {}


@cache
def deduced_classes() -> dict[str, Any]:
    """The recorded classes, and deduced ones for all others that templates use."""
    known = recorded()
    return known | deduced([json.loads(content) for content in templates().values()], known)


def comparable(graph: Mapping[str, Any], document: Mapping[str, Any]) -> dict[str, Any]:
    """A graph without what may differ: titles that the file does not say, which the editor translates."""
    titled = {str(node["id"]) for sheet in sheets(document) for node in sheet["nodes"] if node.get("title")}
    return {
        node_id: {
            "class_type": node["class_type"],
            "inputs": node["inputs"],
            "title": node["_meta"]["title"] if node_id.rpartition(":")[2] in titled else "",
        }
        for node_id, node in graph.items()
    }


def digest(graph: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    """Whole numbers with a point are whole: JavaScript has no others."""
    text = json.dumps(_plain(comparable(graph, document)), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def file_digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case _:
            return value


__all__ = [
    "all_graphs",
    "comparable",
    "deduced_classes",
    "digest",
    "file_digest",
    "kept_templates",
    "made",
    "recorded",
    "templates",
]

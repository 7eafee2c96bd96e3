"""What the packs of a server add to the editor: scripts, translations, templates, subgraphs, replaced nodes.

Stored by content, as inventories are: most servers of a fleet have the same packs. Shapes: contract, section 2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote, unquote

from blake3 import blake3

from atelier.comfy.catalog import as_list, as_object
from atelier.fleet.inventory import spelled
from atelier.kit.storable import storable

SCRIPTS = "/extensions/"
TEMPLATES = "/api/workflow_templates/"
CORE = "core"
"""The module of the scripts that belong to the editor's own build; each server has another build."""

MOST_NAMES = 20_000
LONGEST_NAME = 1000


@dataclass(frozen=True, slots=True)
class Pages:
    """`body` is as `told` made it."""

    digest: bytes
    body: Mapping[str, Any] = field(repr=False)

    @property
    def extensions(self) -> Sequence[str]:
        """Paths of scripts, as the server serves them: /extensions/<module>/<file>.js."""
        return cast("Sequence[str]", self.body["extensions"])

    @property
    def translations(self) -> Mapping[str, Any]:
        """Language to texts (/i18n)."""
        return cast("Mapping[str, Any]", self.body["translations"])

    @property
    def templates(self) -> Mapping[str, Sequence[str]]:
        """Module to names of its example workflows (/workflow_templates)."""
        return cast("Mapping[str, Sequence[str]]", self.body["templates"])

    @property
    def subgraphs(self) -> Mapping[str, Any]:
        """Id to a blueprint with its `data` (/global_subgraphs)."""
        return cast("Mapping[str, Any]", self.body["subgraphs"])

    @property
    def replacements(self) -> Mapping[str, Any]:
        """Old class to the rules that replace it (/node_replacements)."""
        return cast("Mapping[str, Any]", self.body["replacements"])

    @property
    def files(self) -> Mapping[str, str]:
        """Path (not encoded) to the text of a file: of servers that only their dispatcher can reach."""
        return cast("Mapping[str, str]", self.body["files"])

    def with_files_alone(self) -> "Pages":
        """The same without scripts and templates whose files did not come along."""
        return told(
            extensions=[path for path in self.extensions if unquote(path) in self.files],
            translations=self.translations,
            templates={module: self._templates_of(module) for module in self.templates},
            subgraphs=self.subgraphs,
            replacements=self.replacements,
        )

    def _templates_of(self, module: str) -> list[str]:
        return [name for name in self.templates[module] if f"{TEMPLATES}{module}/{name}.json" in self.files]


def told(
    *,
    extensions: object = None,
    translations: object = None,
    templates: object = None,
    subgraphs: object = None,
    replacements: object = None,
    files: Mapping[str, str] | None = None,
) -> Pages:
    """The pages of a server that said this; what it did not say, or said in no known shape, is empty."""
    body = storable(
        {
            "extensions": [path for path in _names(extensions) if path.startswith(SCRIPTS)],
            "translations": {name: texts for name, texts in _members(translations) if as_object(texts)},
            "templates": {module: _names(names) for module, names in _members(templates) if as_list(names)},
            "subgraphs": {name: one for name, one in _members(subgraphs) if as_object(one)},
            "replacements": dict(_members(replacements)),
            "files": dict(files or {}),
        }
    )
    return Pages(blake3(spelled(body).encode()).digest(), body)


def union(many: Iterable[Pages]) -> Pages:
    """What any of them adds. Where two say something else of one thing, the first is believed."""
    extensions: dict[str, None] = {}
    translations: dict[str, Any] = {}
    templates: dict[str, dict[str, None]] = {}
    subgraphs: dict[str, Any] = {}
    replacements: dict[str, Any] = {}
    for pages in many:
        extensions.update(dict.fromkeys(pages.extensions))
        translations = _merged(translations, pages.translations)
        for module, names in pages.templates.items():
            templates.setdefault(module, {}).update(dict.fromkeys(names))
        subgraphs = {**pages.subgraphs, **subgraphs}
        replacements = {**pages.replacements, **replacements}
    return told(
        extensions=list(extensions),
        translations=translations,
        templates={module: list(names) for module, names in templates.items()},
        subgraphs=subgraphs,
        replacements=replacements,
    )


def files_named(pages: Pages) -> Iterable[str]:
    """Paths of the files that the pages name: scripts but the editor's own, then example workflows."""
    yield from (path for path in pages.extensions if module_of(path) != CORE)
    for module, names in pages.templates.items():
        yield from (f"{TEMPLATES}{quote(module)}/{quote(name)}.json" for name in names)


def module_of(path: str) -> str:
    """`/extensions/<module>/<file>` -> the module, as the path spells it; empty for no such path."""
    rest = path.removeprefix(SCRIPTS)
    return rest.partition("/")[0] if rest != path else ""


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for name, value in second.items():
        mine, theirs = as_object(merged.get(name)), as_object(value)
        merged[name] = _merged(mine, theirs) if mine and theirs else merged.get(name, value)
    return merged


def _members(value: object) -> Iterable[tuple[str, Any]]:
    return (as_object(value) or {}).items()


def _names(value: object) -> list[str]:
    listed = (as_list(value) or [])[:MOST_NAMES]
    return [name for name in listed if isinstance(name, str) and 0 < len(name) <= LONGEST_NAME]

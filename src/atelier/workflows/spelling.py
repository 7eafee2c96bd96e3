"""A manifest as a document, every short form written out: what the database keeps, and editors are given."""

from collections.abc import Mapping
from typing import Any

from atelier.workflows.model import Binding, Choice, Kind, Manifest, Parameter, Strength, Words


def spelled(manifest: Manifest) -> dict[str, Any]:
    """`manifest.parse` of it is the same manifest."""
    whole = {
        "id": manifest.id,
        "name": _words(manifest.name),
        "description": _words(manifest.description),
        "category": manifest.category,
        "family": manifest.family,
        "version": manifest.version,
        "tags": list(manifest.tags),
        "timeout": manifest.timeout,
        "min_vram": manifest.min_vram,
        "max_batch_size": manifest.max_batch_size,
        "price": manifest.price,
        "format": manifest.format,
        "packs": [{"name": one.name, "url": one.url, "nodes": list(one.nodes)} for one in manifest.packs],
        "parameters": {one.name: _parameter(one) for one in manifest.parameters},
        "outputs": [_full({"node": one.node, "label": _words(one.label)}) for one in manifest.outputs],
        "examples": [{"title": _words(one.title), "params": dict(one.params)} for one in manifest.examples],
    }
    return _full(whole)


def _parameter(one: Parameter) -> dict[str, Any]:
    condition = one.depends_on
    chain = one.chain
    return _full(
        {
            "type": one.kind.value,
            "label": _words(one.label),
            "help": _words(one.help),
            "default": one.default,
            "required": one.required or None,
            "min": one.minimum,
            "max": one.maximum,
            "step": one.step,
            "unit": one.unit,
            "group": one.group,
            "advanced": one.advanced or None,
            "choices": [_choice(choice) for choice in one.choices] or None,
            "folder": one.folder,
            "depends_on": {"parameter": condition.parameter, "values": list(condition.values)}
            if condition
            else None,
            "bind": [_binding(binding) for binding in one.bind] or None,
            "chain": {"node": chain.node, "model": chain.model, "clip": chain.clip} if chain else None,
            "batch": _binding(one.batch) if one.batch else None,
            "strength": _strength(one.strength) if one.kind is Kind.LORAS else None,
        },
        keep={"default"},
    )


def _choice(choice: Choice) -> dict[str, Any]:
    sides = {"width": choice.width, "height": choice.height} if choice.width else {}
    return _full({"value": choice.value, "label": _words(choice.label), **sides})


def _binding(binding: Binding) -> dict[str, Any]:
    return _full({"node": binding.node, "input": binding.input, "part": binding.part})


def _strength(bounds: Strength) -> dict[str, Any]:
    said = {"default": bounds.default, "min": bounds.minimum, "max": bounds.maximum, "step": bounds.step}
    return _full(said)


def _words(words: Words) -> dict[str, str] | None:
    said = {"en": words.en, "pt": words.pt}
    return {language: text for language, text in said.items() if text} or None


def _full(table: Mapping[str, Any], keep: frozenset[str] | set[str] = frozenset()) -> dict[str, Any]:
    """Without what says nothing."""
    return {key: value for key, value in table.items() if value is not None and (value != "" or key in keep)}

"""XMP (ISO 16684-1) with what was said of a picture: Dublin Core and XMP's names, the rest in a namespace of ours.

A packet that a node wrote is kept, and ours is added to it as one more description.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from atelier.assets.pictures import words

NAMESPACE = "urn:atelier:picture:1.0#"
"""Workflow, Version, Seed; Parameters is JSON; Texts: what a node wrote into text chunks, as `keyword:text`."""

_CLOSED = re.compile(rb"</rdf:RDF\s*>")
_OPEN = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
)
_CLOSE = '</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
_NAMES = (("workflow", "Workflow"), ("version", "Version"), ("seed", "Seed"), ("params", "Parameters"))
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may contain."""


def packet(said: Mapping[str, Any], made_at: dt.datetime | None, texts: Mapping[str, str], before: bytes) -> bytes:
    """The packet that says it; `before` itself where there is nothing to add. `made_at` None: it is not told."""
    described = "".join(_properties(said, made_at, texts))
    if not described:
        return before
    ours = (
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:atelier="{NAMESPACE}">{described}</rdf:Description>'
    )
    if before and (closed := _CLOSED.search(before)):
        return before[: closed.start()] + ours.encode() + before[closed.start() :]
    return f"{_OPEN}{ours}{_CLOSE}".encode()


def _properties(said: Mapping[str, Any], made_at: dt.datetime | None, texts: Mapping[str, str]) -> list[str]:
    found = [f"<atelier:{tag}>{_text(said[name])}</atelier:{tag}>" for name, tag in _NAMES if _is_told(said, name)]
    if described := words.prompt(said):
        line = f'<rdf:li xml:lang="x-default">{_text(described)}</rdf:li>'
        found.append(f"<dc:description><rdf:Alt>{line}</rdf:Alt></dc:description>")
    if texts:
        lines = "".join(f"<rdf:li>{_text(f'{name}:{text}')}</rdf:li>" for name, text in texts.items())
        found.append(f"<atelier:Texts><rdf:Bag>{lines}</rdf:Bag></atelier:Texts>")
    if made_at is not None:
        found.append(f"<xmp:CreateDate>{made_at.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}</xmp:CreateDate>")
    if found:
        found.append(f"<xmp:CreatorTool>{words.SOFTWARE}</xmp:CreatorTool>")
    return found


def _is_told(said: Mapping[str, Any], name: str) -> bool:
    return said.get(name) not in (None, {}, "")


def _text(value: object) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", words.spelled(value)))

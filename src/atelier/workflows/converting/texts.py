"""Texts that the editor fills in before it sends them: choices in prompts, names of widgets in names of files."""

import re
from collections.abc import Mapping

from atelier.workflows.converting.restoring import as_text
from atelier.workflows.converting.scene import MISSING, Placed

_REMARK = re.compile(r"/\*|//")
_ESCAPED = re.compile(r"\\([{}|])")
_NAMED = re.compile(r"%([^%]+)%")
_UNFIT = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')
_DATE = re.compile(r"d{1,2}|M{1,2}|h{1,2}|m{1,2}|s{1,2}|yyyy|yy?")

DATES = {"d": "%day%", "M": "%month%", "h": "%hour%", "m": "%minute%", "s": "%second%", "y": "%year%"}

SAVERS = frozenset(
    {
        "SaveImage",
        "SaveImageAdvanced",
        "SaveSVGNode",
        "SaveVideo",
        "SaveAnimatedWEBP",
        "SaveWEBM",
        "SaveAudio",
        "SaveAudioMP3",
        "SaveAudioOpus",
        "SaveAudioAdvanced",
        "SaveGLB",
        "Save3DAdvanced",
        "SaveGaussianSplat",
        "SavePointCloud",
        "SaveAnimatedPNG",
        "CLIPSave",
        "VAESave",
        "ModelSave",
        "LoraSave",
        "SaveLatent",
    }
)
"""Their `filename_prefix` may name dates and widgets."""


def prompt(text: str) -> str:
    """Without remarks, and with the first of each `{a|b}`: the editor draws one, which a workflow cannot mean."""
    return _ESCAPED.sub(r"\1", _first_choices(_without_remarks(text)))


def _without_remarks(text: str) -> str:
    """Each from `/*` to the next `*/`, or from `//` to the end of its line; every character is looked at once."""
    last = text.rfind("*/")
    kept: list[str] = []
    at = looked = 0
    while found := _REMARK.search(text, looked):
        start = found.start()
        if found[0] == "//":
            end = text.find("\n", start)
            end = len(text) if end < 0 else end
        elif start + 2 <= last:
            end = text.index("*/", start + 2) + 2
        else:  # it is never closed, so it is none
            looked = start + 1
            continue
        kept.append(text[at:start])
        at = looked = end
    return "".join([*kept, text[at:]])


def _first_choices(text: str) -> str:
    """Braces in braces are remembered by what was out before each that is open, and whether its first was over."""
    open_: list[tuple[int, bool]] = []
    out: list[str] = []
    over = False
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char == "\\":
            char += text[at : at + 1]
            at += 1
        if char == "{":
            open_.append((len(out), over))
            over = False
        elif open_ and char == "}":
            over = _closed(open_, out)
        elif open_ and char == "|":
            over = True
        elif not over:
            out.append(char)
    while open_:
        _closed(open_, out)
    return "".join(out)


def _closed(open_: list[tuple[int, bool]], out: list[str]) -> bool:
    """Whether the first of what is around the innermost brace was over; then nothing in it was meant."""
    before, over = open_.pop()
    if over:
        del out[before:]
    return over


def named(nodes: Mapping[str, Placed], text: str) -> str:
    """`%Node.widget%` filled in, dates in the words that a server fills in; what names nothing stays.

    The editor writes the date of the moment; a workflow is run on other days, so `%date:yyyy-MM-dd%` becomes
    `%year%-%month%-%day%` (ComfyUI, folder_paths.get_save_image_path).
    """
    return _NAMED.sub(lambda found: _filled(nodes, found), text)


def _filled(nodes: Mapping[str, Placed], found: re.Match[str]) -> str:
    parts = found[1].split(".")
    if len(parts) != 2:
        return (
            _DATE.sub(lambda part: DATES[part[0][0]], parts[0][5:]) if parts[0].startswith("date:") else found[0]
        )
    node = nodes.get(parts[0])
    widget = node.widget(parts[1]) if node else None
    if widget is None:
        return found[0]
    return _UNFIT.sub("_", "" if widget.value is MISSING else as_text(widget.value))


def by_name(nodes: list[Placed]) -> Mapping[str, Placed]:
    """The nodes by what a text may call them: the name given for this before the title, earlier before later."""
    table: dict[str, Placed] = {}
    for node in reversed(nodes):
        table[node.title] = node
    for node in reversed(nodes):
        given = node.node.properties.get("Node name for S&R")
        table[given if isinstance(given, str) and given else node.node.type] = node
    return table

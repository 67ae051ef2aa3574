"""Write the golden files again, on purpose: all, or those of the makers that are named."""

from __future__ import annotations

import sys

from tests.golden import FOLDER, MAKERS, files


def main(wanted: list[str]) -> int:
    """Return 0, and tell which files changed."""
    for maker in wanted or MAKERS:
        for name, content in files(maker).items():
            path = FOLDER / name
            state = "same" if path.exists() and path.read_bytes() == content else "CHANGED"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            print(f"{state:<8}{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`python -m tests.conformance` writes the conformance pages; with `--check` it fails when one is not fresh."""

import sys

from . import CHECKLISTS


def main() -> int:
    """Write the pages, or check them."""
    stale = 0
    for checklist in CHECKLISTS:
        if "--check" not in sys.argv[1:]:
            checklist.target.write_text(checklist.page(), encoding="utf-8")
        elif checklist.target.read_text(encoding="utf-8") != checklist.page():
            sys.stderr.write(f"{checklist.target.name} is not what the tests say: run python -m tests.conformance\n")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())

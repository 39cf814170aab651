"""Make again what the course ships: `python -m minillm.recipes base-tiny`."""

import sys

from minillm.recipes.publish import make_base_tiny

if __name__ == "__main__":
    if sys.argv[1:] != ["base-tiny"]:
        sys.exit("usage: python -m minillm.recipes base-tiny")
    try:
        make_base_tiny()
    except ValueError as error:
        sys.exit(f"minillm: {error}")

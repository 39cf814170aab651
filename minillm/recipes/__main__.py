"""Make again what the course ships: `python -m minillm.recipes base-tiny`, or `bands`."""

import sys

if __name__ == "__main__":
    try:
        if sys.argv[1:] == ["base-tiny"]:
            from minillm.recipes.publish import make_base_tiny

            make_base_tiny()
        elif sys.argv[1:] == ["bands"]:
            from minillm.recipes.bands import make_tour_band

            print(make_tour_band())
        else:
            sys.exit("usage: python -m minillm.recipes base-tiny | bands")
    except ValueError as error:
        sys.exit(f"minillm: {error}")

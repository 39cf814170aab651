"""Print stories: `python -m minillm.data.storyworld --n 3 --language zh`."""

import argparse

from minillm.data.storyworld.story import LANGUAGES, make_story, story_seed


def main() -> None:
    """Read the command line and print the stories, each under its seed."""
    parser = argparse.ArgumentParser(description="Print synthetic stories of the village.")
    parser.add_argument("--n", type=int, default=3, help="how many stories")
    parser.add_argument("--seed", type=int, default=0, help="which corpus")
    parser.add_argument("--language", choices=LANGUAGES, default="en")
    arguments = parser.parse_args()
    for index in range(arguments.n):
        seed = story_seed(arguments.seed, index)
        print(f"# synthetic story, make_story({seed})")
        print(make_story(seed).tell(arguments.language), end="\n\n")


if __name__ == "__main__":
    main()

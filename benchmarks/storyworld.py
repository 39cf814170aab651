"""Stories a second on one core: making them, and telling them in each language.

There is no peer program for this, so the JSON line at the end holds the figure alone.
"""

import json
import platform
import time

from minillm.data.storyworld import make_story

N = 2000


def main():
    start = time.perf_counter()
    made = [make_story(seed) for seed in range(N)]
    rates = {"make": N / (time.perf_counter() - start)}
    for language in ("en", "zh"):
        best = 0.0
        for _ in range(3):
            start = time.perf_counter()
            for story in made:
                story.tell(language)
            best = max(best, N / (time.perf_counter() - start))
        rates[f"tell_{language}"] = best
    for name, rate in rates.items():
        print(f"{name:8s} {rate:8.0f} stories/s")
    row = {
        "name": "storyworld",
        "peer": None,
        "ours": {k: round(v) for k, v in rates.items()},
        "theirs": None,
        "unit": "stories/s",
        "ratio": None,
        "machine": platform.machine(),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()

"""Make `data/tokenizer/`, the course's one tokenizer: `python -m tools.course_tokenizer`.

It fetches the texts, trains as `minillm.tokenizer.course` says, prints what came out, and saves it.
Every shipped model depends on these files, so it is run once, by hand; `--dry` only prints.
"""

import argparse
import random
from collections.abc import Mapping, Sequence

from minillm.data import load_corpus, make_corpus
from minillm.tokenizer.course import SAMPLE_BYTES, SHARES, train_course_tokenizer
from minillm.tokenizer.metrics import bytes_per_token, fertility, tokens_per_character
from minillm.tokenizer.tokenizer import COURSE_FOLDER, Tokenizer

SEED_TRAINING, SEED_HELD_OUT = 6_144, 1_446_000  # far apart: no story is in both
N_STORIES, N_STORIES_HELD_OUT = 9_000, 200
HELD_OUT_EVERY = 50  # of the harvest's texts, one in fifty is kept for the measures
MOST_CHARACTERS = 20_000  # of one text, so that no long file fills the sample


def gather(seed: int, n_stories: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Texts to train on, and texts of the same kinds to measure on, by name."""
    train: dict[str, list[str]] = {}
    held_out: dict[str, list[str]] = {}
    for language in ("en", "zh"):
        name = f"stories-{language}"
        train[name] = make_corpus(seed, n_stories, language)
        held_out[name] = make_corpus(SEED_HELD_OUT, N_STORIES_HELD_OUT, language)
    for name in ("prose", "code"):
        texts = [text[:MOST_CHARACTERS] for text in load_corpus(name).texts]
        random.Random(seed).shuffle(texts)
        held_out[name] = texts[::HELD_OUT_EVERY]
        train[name] = [text for i, text in enumerate(texts) if i % HELD_OUT_EVERY]
    return train, held_out


def describe(tokenizer: Tokenizer, held_out: Mapping[str, Sequence[str]]) -> str:
    """The measures on held-out text, and the longest tokens, as lines of text."""
    lines = [str(tokenizer), f"{'text':<12}{'tokens/char':>12}{'bytes/token':>13}{'fertility':>11}"]
    for name, texts in held_out.items():
        row = [f(tokenizer, texts) for f in (tokens_per_character, bytes_per_token, fertility)]
        lines.append(f"{name:<12}{row[0]:>12.3f}{row[1]:>13.2f}{row[2]:>11.2f}")
    tokens = [tokenizer.vocab[256 + i] for i in range(len(tokenizer.merges))]
    english = [t.decode() for t in tokens if t.isascii()]
    others = [t.decode("utf-8", "replace") for t in tokens if not t.isascii()]
    whole = [t for t in others if "\ufffd" not in t]
    lines.append(
        f"{len(english)} ASCII tokens; {len(whole)} with other characters, "
        f"{sum(len(t) == 1 for t in whole)} of them one character; "
        f"{len(others) - len(whole)} parts of characters"
    )
    lines += [f"longest: {sorted(part, key=len)[-24:]}" for part in (english, whole)]
    return "\n".join(lines)


def main() -> None:
    """Gather, train, print, save."""
    parser = argparse.ArgumentParser(description="make data/tokenizer/")
    parser.add_argument("--dry", action="store_true", help="print only, save nothing")
    arguments = parser.parse_args()
    train, held_out = gather(SEED_TRAINING, N_STORIES)
    print("shares of", SAMPLE_BYTES, "bytes:", ", ".join(f"{n} {s:.0%}" for n, s in SHARES.items()))
    tokenizer = train_course_tokenizer(train)
    print(describe(tokenizer, held_out))
    if not arguments.dry:
        tokenizer.save(COURSE_FOLDER)
        n_bytes = sum(path.stat().st_size for path in COURSE_FOLDER.glob("*.*"))
        print(f"saved: {n_bytes:,} bytes, hash {tokenizer.hash}")


if __name__ == "__main__":
    main()

"""Planted bugs of lesson 27's parts: (file, exact old text, new text, what is wrong, tests)."""

ROOM = "minillm"
TESTS = "tests"

_JUDGE = "data/test_storyworld_consistency.py"
_PARSE = "data/storyworld/parse.py"
_SLOTS = "data/storyworld/slots.py"
_FRAMES = "data/storyworld/frames.py"
_WORLD = "data/storyworld/open_world.py"
_FOLLOW = "data/storyworld/consistency.py"
_TOLD = "evaluate/told.py"
_BITS = "evaluate/compression.py"
_SAID = "recipes/base_prediction.py"
_MADE = "recipes/base_models.py"
_ROWS = "recipes/tokens.py"

BUGS = [
    (
        _PARSE,
        "first, second = (two, one) if swapped else (one, two)",
        "first, second = one, two",
        "what stands behind because happens second",
        _JUDGE,
    ),
    (
        _PARSE,
        "yield Reading((b,), reminder=a)",
        "yield Reading((b,))",
        "what a sentence reminds of is forgotten",
        _JUDGE,
    ),
    (
        _PARSE,
        "{str(other): dict(a.roles)[str(subject)]}",
        "{}",
        "the second half of a sentence has no subject",
        _JUDGE,
    ),
    (
        _PARSE,
        "for width in range(min(MAX_PIECES, len(ends) - i), 0, -1):",
        "for width in range(1, 2):",
        "direct speech is torn from who speaks",
        _JUDGE,
    ),
    (
        _PARSE,
        "if bare != text:",
        "if True:",
        "a sentence without its full stop is read",
        _JUDGE,
    ),
    (
        _SLOTS,
        'if start in ("a", "an") and article(" ".join(words)) != start:',
        'if start in ("a", "an") and False:',
        "a old key",
        _JUDGE,
    ),
    (
        _SLOTS,
        "noun.en if n == 1 else noun.plural",
        "noun.en if n < 4 else noun.plural",
        "three apple",
        _JUDGE,
    ),
    (
        _SLOTS,
        'if known is None or vague != ("?f" if FEMALE[str(known)] else "?m"):',
        "if known is None:",
        "she may be the Tom of the same sentence",
        _JUDGE,
    ),
    (
        _SLOTS,
        "head = head.removeprefix(start) if head.startswith(start) else head",
        'head = head[2:] if head.startswith("一") else head',
        "any measure word will do",
        _JUDGE,
    ),
    (
        _FRAMES,
        'found["female"] = "yes" if surface in ("girl", "女孩") else "no"',
        'found["female"] = "yes" if surface in ("boy", "男孩") else "no"',
        "a boy named Mia",
        _JUDGE,
    ),
    (
        _WORLD,
        'if term.operator == "!=":\n        return now != value',
        'if term.operator == "!=":\n        return True',
        "one can go to where one is",
        _JUDGE,
    ),
    (
        _WORLD,
        'if term.operator == "=":\n            truth[fact] = value\n        return True',
        "return True",
        "what nobody said may be anything, again and again",
        _JUDGE,
    ),
    (
        _WORLD,
        "alike = unnamed and all(o in (f, UNKNOWN) for o, f in zip(other, fact, strict=True))",
        "alike = False",
        "somebody without a name never gets one",
        _JUDGE,
    ),
    (
        _WORLD,
        "isinstance(value, int) and now >= value",
        "isinstance(value, int)",
        "one can give more apples than one has",
        _JUDGE,
    ),
    (
        _FOLLOW,
        "for term in (*event.pre, *event.why):",
        "for term in event.pre:",
        "nothing needs a reason",
        _JUDGE,
    ),
    (
        _FOLLOW,
        "for term in event.eff:",
        "for term in ():",
        "nothing that happens changes anything",
        _JUDGE,
    ),
    (
        _FOLLOW,
        "near = [n for n in in_sight if FEMALE[n] == female]",
        "near = [n for n in state.people if FEMALE[n] == female]",
        "she may be a girl of long ago",
        _JUDGE,
    ),
    (
        _FOLLOW,
        "beam = sorted(options, key=lambda state: len(state.problems))[:BEAM]",
        "beam = options[:1]",
        "only the first way of reading is followed",
        _JUDGE,
    ),
    (
        _FOLLOW,
        "if colours.setdefault(thing, colour) != colour:",
        "if False:",
        "the red basket turns blue",
        _JUDGE,
    ),
    (
        _FOLLOW,
        'if kind == "ending" and name != state.hero:',
        "if False:",
        "the end is about another",
        _JUDGE,
    ),
    (
        _FOLLOW,
        "whole = bool(best.hero) and best.ended",
        "whole = bool(best.hero)",
        "a story without an end is whole",
        _JUDGE,
    ),
    (
        _FOLLOW,
        "return self.complete and self.grammatical and not self.problems",
        "return self.complete and not self.problems",
        "a story with unread sentences is consistent",
        _JUDGE,
    ),
    (
        "evaluate/shares.py",
        "middle = p + z * z / (2 * n)",
        "middle = p",
        "the middle of Wilson's interval is the share itself",
        "evaluate/test_shares.py",
    ),
    (
        "evaluate/shares.py",
        "inv_cdf((1 + level) / 2)",
        "inv_cdf(level)",
        "a one-sided interval",
        "evaluate/test_shares.py",
    ),
    (
        _TOLD,
        "seed=seed * 1_000_003 + i,",
        "seed=seed,",
        "equal prompts give equal stories",
        "evaluate/test_told.py",
    ),
    (
        _TOLD,
        "ids = [end, *tokenizer.encode(prompt)]",
        "ids = tokenizer.encode(prompt)",
        "a story does not begin where texts begin",
        "evaluate/test_told.py",
    ),
    (
        _TOLD,
        "read = n_sentences - sum(len(j.unread) for j in judged)",
        "read = n_sentences - sum(bool(j.problems) for j in judged)",
        "sentences are counted as read by their story's problems",
        "evaluate/test_told.py",
    ),
    (
        _BITS,
        "size = len(_xz(before + _raw(texts))) - (len(_xz(before)) if known else 0)",
        "size = len(_xz(before + _raw(texts)))",
        "the known text is paid for",
        "evaluate/test_compression.py",
    ),
    (
        _BITS,
        "[-100] * (width - len(p))",
        "[0] * (width - len(p))",
        "padding is guessed, too",
        "evaluate/test_compression.py",
    ),
    (
        _BITS,
        "ids = [end, *tokenizer.encode(text), end]",
        "ids = [end, *tokenizer.encode(text)]",
        "the end of a text is not guessed",
        "evaluate/test_compression.py",
    ),
    (
        _SAID,
        "if (found >= 0).all() and left < error:",
        "if left < error:",
        "a negative floor",
        "recipes/test_base_prediction.py",
    ),
    (
        _SAID,
        "lost = np.array(misfit) / (2 * noise**2)",
        "lost = np.zeros(len(misfit))",
        "exponents that do not fit count as much as others",
        "recipes/test_base_prediction.py",
    ),
    (
        _SAID,
        "return Interval(middle, low - noise, high + noise, LEVEL, len(loss))",
        "return Interval(middle, middle - noise, middle + noise, LEVEL, len(loss))",
        "only the noise is not known",
        "recipes/test_base_prediction.py",
    ),
    (
        _SAID,
        'if note["run_hash"] != run_hash(find_run(name)):',
        "if False:",
        "a prediction for other settings is believed",
        "recipes/test_base_prediction.py",
    ),
    (
        _MADE,
        'if manifest["step"] < run.train.steps:',
        "if False:",
        "a run that is not finished is shipped",
        "recipes/test_base_models.py",
    ),
    (
        _MADE,
        'execute(run, out, resume_run=has_checkpoint(out / "last"))',
        "execute(run, out)",
        "after a kill it does not go on",
        "recipes/test_base_models.py",
    ),
    (
        _MADE,
        "sum(x for _, x in c) / len(c)",
        "sum(x for _, x in c) / width",
        "the last point of the curve is too low",
        "recipes/test_base_models.py",
    ),
    (
        _ROWS,
        "ended[: row - len(tokens)], dtype=np.int64)\n            tokens = []",
        "ended[: row - len(tokens)], dtype=np.int64)\n"
        "            tokens, ended = [], ended[row - len(tokens) :]",
        "the torn document is not read again",
        "recipes/test_tokens.py",
    ),
    (
        _ROWS,
        "mine = sorted(int(i) - start for i in places if start <= i < start + len(texts))",
        "mine = sorted(int(i) for i in places if i < len(texts))",
        "the parts of another corpus",
        "recipes/test_tokens.py",
    ),
]

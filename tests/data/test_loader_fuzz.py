"""The loader with random settings, and random harm to its files: 1 000 here, 10 000 `-m slow`."""

import json
import random

import numpy as np
import pytest

from minillm.data.loader import BatchSampler
from minillm.data.shard import TokenShard

N = pytest.mark.parametrize("n", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
STRANGE = (None, True, -1, 20, 20.0, "20", "", "int8", "uint32", [], {}, float("inf"))


def rows_by_definition(tokens, context, stride, seed, n_rows):
    """Windows in the order of one permutation an epoch, cut one by one."""
    starts = list(range(0, len(tokens) - context, stride))
    rows, epoch = [], 0
    while len(rows) < n_rows:
        order = np.random.default_rng([seed, epoch]).permutation(len(starts))
        rows += [tokens[starts[i] : starts[i] + context + 1] for i in order]
        epoch += 1
    return rows[:n_rows]


def taken(samplers, n_batches):
    """The rows that all ranks take, in the order of the run."""
    return [row.tolist() for _ in range(n_batches) for s in samplers for row in s.take()]


@N
def test_random_samplers_serve_what_the_definition_says(n):
    """Any sizes, ranks and strides; a break; then other sizes and ranks: always the same rows."""
    draw = random.Random(1)
    n_refused = 0
    for seed in range(n):
        tokens = [draw.randrange(70_000) for _ in range(draw.randrange(60))]
        context, stride = draw.randint(0, 9), draw.choice([None, draw.randint(0, 12)])
        ranks, batch = draw.randint(1, 3), draw.randint(0, 4)

        def made(ranks, batch, tokens=tokens, context=context, stride=stride, seed=seed):
            array = np.array(tokens, np.int64)
            settings = {"seed": seed, "stride": stride, "world_size": ranks}
            return [BatchSampler(array, batch, context, rank=r, **settings) for r in range(ranks)]

        if len(tokens) <= context or 0 in (context, stride, batch):
            n_refused += 1
            with pytest.raises(ValueError, match=r"at least 1|take a smaller context or more text"):
                made(ranks, batch)
            continue
        samplers = made(ranks, batch)
        seen = taken(samplers, draw.randrange(5))
        others = made(draw.randint(1, 3), draw.randint(1, 4))
        for sampler in others:
            sampler.load_state_dict(json.loads(json.dumps(samplers[0].state_dict())))
        seen += taken(others, draw.randrange(5))
        assert seen == rows_by_definition(tokens, context, stride or context, seed, len(seen))
        assert others[0].n_served == len(seen)
    assert n / 10 < n_refused < n / 1.5


def harmed_header(draw, header):
    """Another value, one key fewer or more, or a few bytes that do not belong there."""
    kind = draw.randrange(8)  # half of them: no harm
    if kind == 0:
        header = header | {draw.choice(list(header)): draw.choice(STRANGE)}
    elif kind == 1:
        header = {key: value for key, value in header.items() if key != draw.choice(list(header))}
    elif kind == 2:
        header = header | {draw.choice(["", "n", "Dtype"]): 1}
    raw = bytearray(json.dumps(header).encode())
    if kind == 3:
        at = draw.randrange(len(raw))
        raw[at : at + draw.randrange(4)] = draw.randbytes(draw.randrange(4))
    return bytes(raw)


def opened(file):
    """A shard or None, and what was said about it."""
    try:
        return TokenShard(file), ""
    except ValueError as error:
        return None, str(error)


@N
def test_harmed_shards_are_refused_by_name_or_hold_the_same_tokens(tmp_path, n):
    tokens = np.arange(10) * 6_000
    TokenShard.write(tmp_path / "part", tokens, vocab_size=60_000, tokenizer="t", source="s")
    file, beside = tmp_path / "part.bin", tmp_path / "part.json"
    whole, header = file.read_bytes(), json.loads(beside.read_text("utf-8"))
    draw = random.Random(2)
    n_read = 0
    for _ in range(n):
        raw = bytearray(whole)
        if draw.randrange(2):
            at = draw.randrange(len(raw))
            raw[at : at + draw.randrange(4)] = draw.randbytes(draw.randrange(4))
        file.write_bytes(raw)
        beside.write_bytes(harmed_header(draw, header))
        shard, said = opened(file)
        assert (shard is None) == ("part." in said)
        if shard is not None:
            assert [int(token) for token in shard] == tokens.tolist()
            n_read += 1
    assert n / 10 < n_read < n / 2

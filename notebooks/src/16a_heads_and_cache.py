# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 16a Heads and cache: what does a model remember of its text, and what does reading it cost?
#
# 75 min · CPU · 30 s · 1 GB · needs [09 Attention](09_attention.ipynb), [14 RoPE](14_rope.ipynb) · code: `minillm/model/heads.py`, `minillm/model/latent.py`
#
# A model that writes has a memory of all it has read. For LLaMA-7B that memory is half a megabyte for *every
# token*, and to write the next token all of it must be read again. This lesson is about making it smaller: share
# it among heads, or squeeze it into a few numbers.
#
# After this lesson you can
#
# 1. write a key/value cache from nothing, and say why it is exact, and when it is not;
# 2. get multi-head, grouped-query and multi-query attention from one function, and count the bytes of any model's cache;
# 3. explain with two numbers of a machine why decoding waits for memory, measure it, and check claims of model cards;
# 4. convert a trained model to fewer heads, and say what that costs before and after more training;
# 5. write latent attention, and absorb its matrices.

# %% tags=["setup"]
import json
import math
import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch

from minillm.data.storyworld import make_corpus
from minillm.evaluate import bootstrap_interval, paired_difference
from minillm.lesson import check, claim, setup, show
from minillm.model import AttentionConfig, KVCache, attention
from minillm.model import LatentAttention, LatentCache, LatentConfig
from minillm.model import convert_heads, count_parameters
from minillm.model import decode_attention, fast_attention
from minillm.model import kv_bytes_per_token, presets, rope, rope_angles
from minillm.model.cache_sizes import CHATGLM_6B, DEEPSEEK_67B, DEEPSEEK_V2
from minillm.model.cache_sizes import LLAMA2_34B, CacheShape, cache_shape
from minillm.model.cache_sizes import held_bytes, largest_batch
from minillm.recipes import base
from minillm.recipes.records import RESULTS, read_results
from minillm.recipes.small import bits_on

setup(seed=16)
f64 = torch.float64  # we check equalities to 12 digits
GB, GIB, MIB, KIB = 1e9, 2**30, 2**20, 2**10

# %% [markdown]
# ## 1 A cache from nothing (12 min)
#
# A decoder writes one token after another. Each time it asks: given *all* tokens so far, what comes next? Done naively, token
# 1 000 runs the model over 999 tokens, and token 1 001 over the same 999 and one more.
#
# One attention layer with one head in six lines, for a whole text `x` of shape (T, D):


# %% tags=["setup"]
to_q, to_k, to_v = torch.randn(3, 8, 8, dtype=f64) / 8**0.5  # D = 8


def whole(x):
    q, k, v = x @ to_q, x @ to_k, x @ to_v  # (T, D) each
    hidden = torch.ones(len(x), len(x), dtype=torch.bool).triu(1)
    scores = (q @ k.T / 8**0.5).masked_fill(hidden, -math.inf)
    return scores.softmax(dim=-1) @ v


# %% [markdown]
# **Predict, then run.** A sixth token is appended to five. Which rows of `q`, `k`, `v` and of the output change?
#
# <details><summary>Answer</summary>None. Each row of q, k and v depends on its own token only, and a row of the output on the rows
# up to it. Of the old rows the new token needs k and v, never q.</details>

# %%
x = torch.randn(6, 8, dtype=f64)
assert torch.allclose(whole(x)[:5], whole(x[:5]))
print("the sixth token changes nothing before it")

# %% [markdown]
# So keep the old keys and values, and compute for the new token alone: its query, its key, its value, and one average. This memory is the
# **key/value cache** (KV cache, 键值缓存).


# %%
def step(x_t, keys, values):
    """One token, (D,); appends to the two lists, and attends to all."""
    keys.append(x_t @ to_k)
    values.append(x_t @ to_v)
    scores = torch.stack(keys) @ (x_t @ to_q) / 8**0.5  # (S,)
    return scores.softmax(dim=0) @ torch.stack(values)


# %%
keys, values = [], []
one_by_one = torch.stack([step(x_t, keys, values) for x_t in x])
gap = (one_by_one - whole(x)).abs().max().item()
assert gap < 1e-12
print("token by token = all at once")

# %% [markdown]
# No mask is needed any more: what has not been written cannot be seen. For $T$ tokens the projections cost $T$ rows in place of
# $1+2+\dots+T$, and attention $T^2/2$ scores in place of about $T^3/6$.
#
# **It rests on causality.** If early tokens may look at later ones, their features change whenever the text grows, and from the second
# layer on their keys and values are out of date. ChatGLM-6B reads its prompt both ways (lesson 10); with a new question the prompt is
# longer, so all of it must be read again. ChatGLM2-6B reads causally in dialogue and keeps what it has. We try it on the course's base model:

# %% tags=["nbval-ignore-output"]
model, tokenizer = base("tiny")
model = model.double()
story = make_corpus(16, 1, "en")[0]
ids = torch.tensor([tokenizer.encode(story)])
ids = ids[:, :40]
with torch.no_grad():
    for causal in (True, False):
        early = model.features(ids[:, :30], causal=causal)
        later = model.features(ids, causal=causal)[:, :30]
        moved = (later - early).norm() / early.norm()
        print(f"causal={causal}: ten more move the first 30 by {moved:.0%}")
        assert moved < 1e-9 if causal else moved > 0.1

# %% [markdown]
# The package's `KVCache` takes its memory once, for all layers, and copies new keys and values into their place. A piece of several tokens
# may be read at once (the prompt: **prefill**), then one at a time:

# %%
cache = KVCache(model.config, batch_size=1, max_length=40, dtype=f64)
with torch.no_grad():
    parts = [model(ids[:, :25], cache=cache)]  # the prompt
    parts += [model(ids[:, t : t + 1], cache=cache) for t in range(25, 40)]
    gap = (torch.cat(parts, dim=1) - model(ids)).abs().max().item()
assert gap < 1e-9
print(f"{model.config.n_layers} layers: cached = whole")

# %% [markdown]
# Keys are remembered *after* RoPE has turned them. The turn depends on the key's own place, which never changes; scores see only the
# difference of two turns.
#
# ## 2 One function, three names (9 min)
#
# In **multi-head attention** (MHA, 多头注意力) every query head has its own key and value head. Shazeer (2019) let all query heads share *one*:
# **multi-query attention** (MQA, 多查询注意力). Ainslie et al. (2023) filled in what lies between: **grouped-query attention** (GQA,
# 分组查询注意力), $K$ key/value heads, each for a group of $N/K$ neighbours. Nothing new is needed; the number `n_kv_heads` decides.

# %% tags=["label-family"]
N, S, H = 8, 20, 4
q = torch.randn(1, N, 1, H, dtype=f64)
k, v = torch.randn(2, 1, N, S, H, dtype=f64)
for K in (8, 2, 1):
    few_k, few_v = k[:, :K], v[:, :K]  # (1, K, S, H)
    out = attention(q, few_k, few_v)
    copies = [t.repeat_interleave(N // K, dim=1) for t in (few_k, few_v)]
    assert torch.allclose(out, attention(q, *copies))
    config = AttentionConfig(n_heads=8, n_kv_heads=K)
    name = {8: "multi-head", 1: "multi-query"}.get(K, "grouped-query")
    print(
        f"n_kv_heads={config.n_kv_heads}: {name:14} remembers {2 * K * H:3} numbers"
    )

# %% tags=["label-who"]
fig, axes = plt.subplots(1, 3, figsize=(7, 2.5), layout="constrained", sharey=True)
for ax, K in zip(axes, (8, 2, 1)):
    served = torch.arange(8) // (8 // K)
    ax.imshow(torch.arange(K) == served[:, None], aspect="auto", vmin=0, vmax=1.2)
    ax.set_xticks(range(K), [str(i) for i in range(K)])
    ax.set_yticks(range(8))
    ax.set(xlabel="key/value head", title=f"K = {K}")
    for edge in range(1, 8):
        ax.axhline(edge - 0.5, color="w", lw=0.8)
axes[0].set(ylabel="query head")
alt = "Which key head serves which query head, of eight. K = 8: a diagonal. "
alt += "K = 2: queries 0 to 3 read head 0, 4 to 7 head 1. K = 1: all read 0."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** A diagonal; two blocks of four; one column. The queries stay eight in all three: each head still looks for
# something of its own. Only what can be looked up, and what is handed over, is shared.
#
# Two sentences of the article about names. *"ChatGLM2 uses multi-query attention"*, and *"LLaMA-2 uses GQA in the 33B and 70B models"*:

# %% tags=["label-names"]
glm2 = presets.chatglm2_6b()
print("key/value heads of ChatGLM2-6B:", glm2.attention.key_heads)
claim("ATT-007", glm2.attention.key_heads)
D, F, L, K, H = 8192, 22016, 48, LLAMA2_34B.numbers // 2 // 128, 128
block = 2 * D * 64 * H + 2 * D * K * H + 3 * D * F + 2 * D
n = L * block + 2 * 32000 * D + D
first = count_parameters(presets.llama_33b())
print(f"{n / 1e9:.2f} billion parameters; LLaMA-1's: {first / 1e9:.2f}")
claim("ATT-008", round(n / 1e9))

# %% [markdown]
# ChatGLM2 has *two* groups, so it is grouped-query attention in the later word; its own README says "multi-query", and the article copied that (002, line 23).
# And 33B is the LLaMA of the first generation (002, line 95). LLaMA-2's is 34B: never released, but Code Llama 34B was trained on from it, and its published shape counts to 34.
#
# ## 3 Bytes (14 min)
#
# Every layer keeps a key and a value for each key/value head:
#
# $$\text{bytes per token} = 2\cdot L\cdot K\cdot H\cdot \text{bytes per number}.$$
#
# **Predict, then run.** LLaMA-7B: $L=32$, $K=32$, $H=128$, 16 bits. How long a text takes as much memory as the model itself, 13.5 GB?

# %% tags=["label-bytes"]
live = KVCache(model.config, batch_size=3, max_length=50, dtype=torch.float32)
formula = 3 * 50 * kv_bytes_per_token(model.config, bytes_per_number=4)
assert held_bytes(live.keys, live.values) == formula
print(f"tiny: {formula:,} bytes computed, and held")
llama = presets.llama_7b()
per_token = kv_bytes_per_token(llama)
print(f"LLaMA-7B: {per_token / KIB:.0f} KiB a token")
as_large = 2 * count_parameters(llama) / per_token
assert 25_000 < as_large < 26_000
print(f"as large as its weights at {as_large:,.0f} tokens")

# %% [markdown]
# Between 25 000 and 26 000 tokens: a short novel, or a hundred dialogues of 250 tokens. Now the models of the articles:

# %% tags=["label-models"]
seventy = presets.llama2_70b()
heads = seventy.attention.n_heads
table = {
    "LLaMA-7B": cache_shape(llama),
    "LLaMA-2-70B, had it 64": CacheShape(80, 2 * heads * seventy.head_width),
    "LLaMA-2-70B, 8": cache_shape(seventy),
    "LLaMA-2-34B, 8": LLAMA2_34B,
    "ChatGLM-6B, 32": CHATGLM_6B,
    "ChatGLM2-6B, 2": cache_shape(presets.chatglm2_6b()),
    "Mistral-7B, 8": cache_shape(presets.mistral_7b()),
    "Falcon-7B, 1": cache_shape(presets.falcon_7b()),
    "BLOOM, 112": cache_shape(presets.bloom_176b()),
    "DeepSeek-V2, latent": DEEPSEEK_V2,
}
print("key/value heads         KiB a token   GiB at 8192 tokens")
for name, shape in table.items():
    size = shape.bytes_per_token() / KIB
    print(f"{name:23}{size:12.1f}{shape.bytes_of(8192) / GIB:15.2f}")

# %% [markdown]
# Mistral's row looks half as large at 8 192: it looks back 4 096 tokens, so older ones may be overwritten. The last row is section 6.
#
# *"GQA improves the inference scalability of larger models"* (002, line 89). The larger the model, the more its cache weighs; LLaMA-2-70B has 8 heads in the
# place of 64:

# %% tags=["label-seventy"]
full, shared = table["LLaMA-2-70B, had it 64"], table["LLaMA-2-70B, 8"]
claim("ATT-009", full.bytes_per_token() / shared.bytes_per_token())
weights = 2 * count_parameters(seventy)
for name, shape in {"64 heads": full, "8 heads": shared}.items():
    n = largest_batch(8 * 80 * GB, weights, shape, 4096)
    print(f"{name:8} {n:4} dialogues of 4096 tokens on eight cards of 80 GB")

# %% [markdown]
# ### "With INT4 and 6 GB the dialogue grows from 1K to 8K"
#
# That is ChatGLM2-6B's model card (quoted in 002, line 23). INT4 stores a weight in half a byte; the tables of embeddings stay at 16 bits. What is left of 6 GB for the cache?

# %% tags=["label-int4"]
tables2 = 2 * glm2.vocab_size * glm2.d_model
blocks1, tables1 = 28 * 12 * 4096**2, 130528 * 4096  # F = 4 D; one table
sizes = {
    "ChatGLM-6B": (blocks1, tables1, CHATGLM_6B),
    "ChatGLM2-6B": (
        count_parameters(glm2) - tables2,
        tables2,
        cache_shape(glm2),
    ),
}
room = {}
for name, (blocks, tables, shape) in sizes.items():
    weights = 0.5 * blocks + 2 * tables
    room[name] = (6 * GB - weights) / shape.bytes_per_token()
    line = f"{name:12} weights {weights / GB:.2f} GB, cache"
    line += f" {shape.bytes_per_token() / KIB:.0f} KiB a token"
    print(f"{line}: room for {room[name]:,.0f} tokens")
assert 4500 < room["ChatGLM-6B"] < 4700
fits = room["ChatGLM2-6B"] > 8192 > room["ChatGLM-6B"] > 1024
claim("ATT-006", fits)

# %% [markdown]
# The claim agrees with the arithmetic, and yet the arithmetic does not *explain* it. The cache is 16 times smaller, but it alone would have let the old model go to some 4 600 tokens; the card says that
# it stopped at 1 119 characters. The rest is memory that we did not count: the scores of all pairs ([lesson 16b](16b_flash_attention.ipynb)), the weights that INT4 unpacks, the framework itself. The card says so
# in part: besides the heads it names the causal mask of section 1, and PyTorch's fused attention.
#
# ## 4 Why decoding waits for memory (14 min)
#
# A processor has two speeds: how many operations it does a second, and how many bytes it can fetch a second. We measure both, on one core:


# %%
def seconds(job, rounds=100):
    """Processor time, fastest of some rounds: other work only adds."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        job()
        times.append(time.process_time() - start)
    return min(times)


# %% tags=["nbval-ignore-output", "label-machine"]
long, square = torch.randn(2**24), torch.randn(256, 256)  # 64 MiB, 256 KiB
bandwidth = 4 * len(long) / seconds(lambda: long.sum())  # bytes a second
peak = 2 * 256**3 / seconds(lambda: square @ square)  # operations a second
ridge = peak / bandwidth
print(f"{bandwidth / 1e9:.0f} GB/s from memory, {peak / 1e9:.0f} GFLOP/s")
print(f"{ridge:.1f} operations in the time of one byte")
long = square = None  # give the memory back

# %% [markdown]
# Whoever does fewer operations with each byte than that waits for memory. How many does a step of decoding do? For each position and query
# head, $2H$ operations for a score and $2H$ for the average: $4NSH$. The bytes are the cache, $2KSH$ numbers of $b$ bytes. So
#
# $$\frac{\text{operations}}{\text{bytes}} = \frac{4NSH}{2KSH\,b} = \frac{2N}{K\,b}.$$
#
# In 16 bits multi-head attention does **one** operation a byte, at every length, for every model. An A100 can do 156 (312 TFLOP/s at 2.0 TB/s). It idles. The formula names
# the cure: a small $K$. This number is called **arithmetic intensity** (算术强度).
#
# **A batch does not help.** Sixty-four dialogues share the weights, which are read once for all; so *their* intensity grows with the batch. But each dialogue brings its own cache.
# For LLaMA-7B at 4 096 tokens each, in 16 bits:

# %% tags=["label-step"]
weights = 2 * count_parameters(llama)
print("batch  weights GB  cache GB  cache's share of the bytes of a step")
for batch in (1, 8, 64):
    cached = batch * cache_shape(llama).bytes_of(4096)
    share = cached / (cached + weights)
    print(f"{batch:5}{weights / GB:12.1f}{cached / GB:10.1f}{share:11.0%}")

# %% [markdown]
# **Predict, then run.** One step against 2 048 positions, 32 query heads of width 64, float32. The cache shrinks 32-fold from $K=32$ to 1, the operations stay. What happens
# to the time?
#
# `fast_attention` hands the work to torch. On this CPU torch copies the shared heads out to all query heads first, and so gives back what was won. `decode_attention` lays out the queries of a group
# as *rows* of one matrix instead: one key/value head, read once, against $N/K$ rows. It is three lines; look into `heads.py`.


# %%
def one_step(K):
    k, v = torch.randn(2, 1, K, 2048, 64)
    q = torch.randn(1, 32, 1, 64)
    wanted = fast_attention(q, k, v)
    assert torch.allclose(decode_attention(q, k, v), wanted, atol=1e-5)
    return {
        "rows": lambda: decode_attention(q, k, v),
        "copies": lambda: fast_attention(q, k, v),
    }


jobs = {(K, how): job for K in (32, 8, 2, 1) for how, job in one_step(K).items()}

# %% tags=["nbval-ignore-output", "label-times"]
times = {key: [] for key in jobs}
with torch.inference_mode():
    for turn in range(16):  # in turns; the first is for warming up
        for key, job in jobs.items():
            spent = seconds(job, rounds=3)
            if turn:
                times[key].append(1e3 * spent)
ms = {key: np.median(t) for key, t in times.items()}
print(" K   MiB    rows   copies   bound by memory, by operations (ms)")
for K in (32, 8, 2, 1):
    size, flops = 2 * K * 2048 * 64 * 4, 4 * 32 * 2048 * 64
    bounds = 1e3 * size / bandwidth, 1e3 * flops / peak
    line = f"{K:2}{size / MIB:6.0f}{ms[K, 'rows']:8.2f}{ms[K, 'copies']:9.2f}"
    print(line + f"{bounds[0]:12.2f}{bounds[1]:10.2f}")

# %% tags=["nbval-ignore-output", "label-faster"]
logs = np.log(times[1, "rows"]) - np.log(times[32, "rows"])
faster = bootstrap_interval(logs, np.median, seed=16)
print(f"K = 1 takes {math.exp(faster.value):.2f} of the time of K = 32")
claim("ATT-004", faster.value, faster)

# %% tags=["nbval-ignore-output", "label-roofline"]
fig, ax = plt.subplots(figsize=(7, 3), layout="constrained")
intensity = np.logspace(-1, 2, 100)
roof = np.minimum(peak, bandwidth * intensity) / 1e9
ax.loglog(intensity, roof, "k", label="roof: memory,\nthen operations")
for how, mark in (("rows", "o"), ("copies", "s")):
    done = [4 * 32 * 2048 * 64 / ms[K, how] / 1e6 for K in (32, 8, 2, 1)]
    ax.loglog([2 * 32 / (K * 4) for K in (32, 8, 2, 1)], done, mark, label=how)
for K in (32, 8, 2, 1):
    ax.text(2 * 32 / (K * 4), roof.min() * 0.8, f"K={K}", ha="center")
ax.set(
    xlabel="operations a byte",
    ylabel="GFLOP/s",
    ylim=(roof.min() * 0.6, None),
)
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
alt = "Roofline of this machine: a rising line, then flat. Steps with "
alt += "K = 32, 8, 2, 1 climb below it as rows; as copies they stop early."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** The black line is all that the machine could do: to the left it waits for memory, to the right for its own operations. The round marks climb with it as $K$
# falls: the same operations, done faster. The squares stop climbing where torch copies the heads. (A cache of 2 MiB lies in the processor's own fast memory, so a mark may
# stand above the slope; on a busy machine all of them wobble.)
#
# So multi-query attention *is* faster and smaller, if the program makes use of it. Who only changes the config and leaves the copying kernel gets the smaller part of it.
#
# ### "ChatGLM2 is 42 % faster"

# %% tags=["label-fortytwo"]
claim("ATT-005", 100 * (44.62 / 31.49 - 1))
weights = 2 * (blocks1 + tables1)
cached = CHATGLM_6B.bytes_of(1000)
print(
    f"cache of 1000 tokens: {cached / (cached + weights):.0%} of the bytes of a step"
)
print(f"an A100 could read both {2.0e12 / (cached + weights):.0f} times a second")
assert cached < 0.1 * weights

# %% [markdown]
# The quotient is right: 44.62 characters a second against 31.49. But it was measured with **one** dialogue of at most 2 048 tokens, where reading the cache is a few per cent of the work. Even
# without any cache to read, the old model could not have become 42 % faster. And both are far from what memory would allow; they wait for something else. The number compares two *whole models*: other vocabulary (a character is not a token),
# other feed-forward layer, other attention kernel. What heads are worth shows with many dialogues at once, and no such number is given.
#
# ## 5 Fewer heads for a model that is trained already (13 min)
#
# Must one train anew for it? Ainslie et al. convert: the key (and value) matrices of each group are **averaged** (均值合并), then the model trains on for 5 % of its steps
# (**up-training**, 继续训练). Each head has its $H$ rows of the matrix, so a mean over heads is a reshape:

# %%
attn = model.blocks[0].attention
H = attn.head_width
by_head = attn.k.weight.view(4, H, -1)  # (heads, H, D)
by_group = by_head.view(2, 2, H, -1).mean(dim=1)  # two groups of two
two = convert_heads(model, 2)
assert torch.equal(two.blocks[0].attention.k.weight, by_group.flatten(0, 1))
back = convert_heads(two, 4)  # each head copied
with torch.no_grad():
    assert torch.allclose(back(ids), two(ids), atol=1e-9)
print("merging loses something; repeating loses nothing")

# %% tags=["nbval-ignore-output", "label-tiny"]
stories = make_corpus(160, 40, "en")
end = tokenizer.special_id("<|endoftext|>")
model = model.float()
before = bits_on(model, stories, tokenizer.encode, end)
print(f"base model, 4 heads: {before:.2f} bits per byte")
for K in (2, 1):
    for how in ("mean", "first", "random"):
        few = convert_heads(model, K, how)
        bits = bits_on(few, stories, tokenizer.encode, end)
        print(f"{K} by {how:7} {bits:.2f}")
        if how == "mean":
            assert 1.6 < bits / before < 2.8 if K == 2 else 2.4 < bits / before < 4

# %% [markdown]
# With two heads the loss about doubles, with one it triples. Why is even the mean so bad? Heads have no common language. Turn the values of one head by any rotation $R$, and turn
# them back in the output matrix: the model computes the same. The mean of the two heads is another.

# %%
torch.manual_seed(16)
turned = convert_heads(model.double(), 4)  # a copy
layer = turned.blocks[0].attention
R = torch.linalg.qr(torch.randn(H, H, dtype=f64)).Q
with torch.no_grad():
    layer.v.weight[:H] = R @ layer.v.weight[:H]  # head 0
    layer.out.weight[:, :H] = layer.out.weight[:, :H] @ R.T
    same = (turned(ids) - model(ids)).abs().max().item()
    pair = [convert_heads(m, 2)(ids) for m in (turned, model)]
    merged = (pair[0] - pair[1]).abs().max().item()
assert same < 1e-9 < 0.1 < merged
print("the same model, but another one after merging")

# %% [markdown]
# Exercise 4 makes use of this. Now the experiment, recorded over five seeds: 8 query heads, width 64, 2 layers, 680 steps on English stories (bytes). It is converted three ways to 2 and 1 key/value heads, and trained on
# for 5, 10, 20 and 40 % of the steps. The untouched model trains on, too, at the learning rate that suits it. What is compared was fixed before the runs.
#
# **Predict, then run.** Ainslie et al. find mean better than first, first better than random. And after 5 %?

# %% tags=["label-study"]
study = read_results("heads_uptraining")
print(study.provenance)
shares = (0, 5, 10, 20, 40)
print("bits per byte      0 %    5 %   10 %   20 %   40 %")
kinds = [
    f"{n}_{how}" for n in ("gqa", "mqa") for how in ("mean", "first", "random")
]
for arm in ("mha", *kinds):
    bits = [study.mean(arm, f"bits {share}").value for share in shares]
    print(f"{arm:14}" + "".join(f"{b:7.2f}" for b in bits))
for arm in ("mha", "gqa", "mqa", "mqa_wide"):
    print(f"scratch_{arm:13}{study.mean(f'scratch_{arm}', 'bits').value:7.2f}")

# %% tags=["label-curve"]
fig, axes = plt.subplots(1, 2, figsize=(7, 2.9), layout="constrained", sharey=True)
for ax, n, title in zip(
    axes, ("gqa", "mqa"), ("2 key/value heads", "1 key/value head")
):
    for how, style in (("random", "^:"), ("first", "s--"), ("mean", "o-")):
        d = [study.mean(f"{n}_{how}", f"bits {share}") for share in shares]
        error = [[x.value - x.low for x in d], [x.high - x.value for x in d]]
        middle = [x.value for x in d]
        ax.errorbar(shares, middle, error, fmt=style, label=how, capsize=2)
    untouched = [study.mean("mha", f"bits {share}").value for share in shares]
    ax.plot(shares, untouched, "k-", lw=1, label="8 heads, trained on")
    scratch = study.mean(f"scratch_{n}", "bits").value
    ax.axhline(scratch, color="k", ls="-.", lw=1, label="from scratch, 105 %")
    ax.set(title=title, xlabel="up-training, % of the steps")
axes[0].set(ylabel="bits per byte")
axes[1].legend(fontsize=8)
alt = (
    "Bits per byte against the share of up-training. Converted models start near 4 "
)
alt += "and fall steeply, random above first and mean, and are still above the "
alt += "untouched model and the one from scratch, near 2, after 40 per cent."
show(fig, alt=alt)

# %% [markdown]
# **What you should see.** Steep curves that flatten above the two black lines. Mean and first run side by side; random, which has forgotten its keys and values altogether, lies above them. Now the differences, paired by seed:


# %% tags=["label-uptraining"]
def minus(arm, name, other, other_name):
    pair = study.values(arm, name), study.values(other, other_name)
    return paired_difference(*pair)


def short(d):
    return f"{d.value:+6.2f} [{d.low:+.2f}, {d.high:+.2f}]"


print("minus the original   before                5 %                   40 %")
for arm in ("gqa_mean", "mqa_mean"):
    d = [minus(arm, f"bits {share}", "mha", "bits 0") for share in (0, 5, 40)]
    print(f"{arm:17}" + "".join(short(x) + " " for x in d))
    assert d[0].low > 1 and d[1].low > 0.3 and d[2].low > 0
    assert 0.4 < d[1].value / d[0].value < 0.6  # about half is mended

# %% tags=["label-ways"]
for n in ("gqa", "mqa"):
    for a, b in (("mean", "first"), ("first", "random")):
        for share in (0, 5):
            d = minus(f"{n}_{a}", f"bits {share}", f"{n}_{b}", f"bits {share}")
            print(f"{n}, {share} %: {a:5} - {b:7}{short(d)}")

# %% tags=["label-scratch"]
for n in ("gqa", "mqa"):
    d = minus(f"{n}_mean", "bits 5", f"scratch_{n}", "bits")
    print(f"{n}: converted, 5 % - from scratch{short(d)}")
    assert d.low > 0.3
for n in ("gqa", "mqa", "mqa_wide"):
    d = minus(f"scratch_{n}", "bits", "scratch_mha", "bits")
    print(f"from scratch: {n:8} - mha      {short(d)}")
    assert d.high < 0.05

# %% [markdown]
# **Five per cent are not enough here.** About half of the damage is mended, and even 40 % leave the copies behind the original. In the paper 5 % are enough for grouped queries. The share is the same, the number of steps is not:
# here 5 % are 34 steps; there they are a part of a very long training. It may be that what keys and values must learn anew takes a number of steps, whatever the share; we have not measured that. Read every "5 %" with the number of steps beside it.
#
# **Mean, first, random** come in the paper's order. But mean against first is seen in one line only, one head before up-training; afterwards five seeds cannot tell them apart. That first beats random is seen in three lines of four.
#
# **From scratch** shared heads cost nothing that we can see, at most a few hundredths of a bit, and a new model is about one bit ahead of a copy that was trained on for 5 %. So at this size nobody would convert. It pays where a long training has been paid for
# already, and where heads matter more than they do in two layers of width 64.
#
# ## 6 Latent attention: remember little, and make the rest (13 min)
#
# Grouped queries have another reading. Write the $K$ kept keys of a token as one row $c$. The keys of *all* heads are $c\,U$, with a matrix $U$ of zeros and ones that copies:

# %%
c = torch.randn(5, 2 * 4, dtype=f64)  # 5 tokens, K = 2 heads of width 4
serves = torch.eye(2, dtype=f64).repeat_interleave(4, dim=1)  # (2, 8)
U = torch.kron(serves, torch.eye(4, dtype=f64))  # (8, 32)
copied = c.view(5, 2, 4).repeat_interleave(4, dim=1).reshape(5, 32)
assert torch.equal(c @ U, copied)
print(f"remember {c.shape[1]}, expand to {U.shape[1]} by a fixed matrix")

# %% [markdown]
# DeepSeek-V2's **latent attention** (MLA, 多头潜在注意力) learns the matrices instead. A token leaves one **latent** vector (潜在向量) $c$, of width $C$, for keys *and* values:
#
# $$c_s = x_s W_{\text{down}},\qquad k_s^{(n)} = c_s W_k^{(n)},\qquad v_s^{(n)} = c_s W_v^{(n)} .$$
#
# Every head has keys of its own again, and only $c$ is remembered. But must we expand all the old latents at every step? No. Move the brackets:
#
# $$q\,(c_s W_k)^\top = \underbrace{(q\,W_k^\top)}_{\text{once a step}} c_s^\top,\qquad
# \sum_s w_s\,(c_s W_v) = \Bigl(\sum_s w_s c_s\Bigr) W_v .$$
#
# The matrices are **absorbed** (吸收) by the query and by the output. What is left is multi-query attention: one key and value of width $C$, the latent itself, for all heads.

# %%
N, H, C, S = 4, 8, 6, 20
q, c = torch.randn(N, 1, H, dtype=f64), torch.randn(S, C, dtype=f64)
Wk, Wv = torch.randn(2, N, C, H, dtype=f64)
keys, values = c @ Wk, c @ Wv  # (N, S, H) each
expanded = (q @ keys.mT / H**0.5).softmax(dim=-1) @ values
inner = q @ Wk.mT  # (N, 1, C)
absorbed = (inner @ c.T / H**0.5).softmax(dim=-1) @ c @ Wv
assert torch.allclose(expanded, absorbed, atol=1e-12)
print("expanded = absorbed")

# %% [markdown]
# **Where is RoPE?** Turned query and key meet in $\operatorname{turn}_t(q)\cdot\operatorname{turn}_s(c_sW_k)$, and that is $\operatorname{turn}_{t-s}(q)\,W_k^\top c_s^\top$ (lesson 14). The inner query now depends on $s$. We would need another one
# for every remembered token, and nothing is absorbed:

# %%
for distance in (1, 2):
    turned_q = rope(q, torch.tensor([distance]))
    gap = (turned_q @ Wk.mT - inner).norm() / inner.norm()
    print(f"distance {distance}: the inner query moves by {gap:.0%}")
    assert gap > 0.05

# %% [markdown]
# So DeepSeek-V2 tells the position apart (**decoupled RoPE**, 解耦旋转位置编码): each query gets $R$ more coordinates, and each token one more key of width $R$, turned by RoPE and shared by all heads. The two scores are added, divided by
# $\sqrt{H+R}$. A token leaves $C+R$ numbers. The package's layer has all of it, with the norms of the paper's section 3.1.2; it is held equal to transformers' by a test. (It is for study. A `Decoder` does not offer it.)

# %% tags=["label-latent"]
config = LatentConfig(n_heads=8, head_width=16, rope_width=8, latent_width=32)
layer = LatentAttention(64, config, dtype=f64)
x = torch.randn(2, 12, 64, dtype=f64)
rotation = rope_angles(torch.arange(12), config.rope_width)
expanded = layer(x, rotation)
assert torch.allclose(layer(x, rotation, absorbed=True), expanded, atol=1e-12)

memory = LatentCache(config, 1, batch_size=2, max_length=12, dtype=f64)
append = partial(memory.append, 0)  # of layer 0
rows = []
for t in range(12):
    turn = rope_angles(torch.tensor([t]), config.rope_width)
    rows.append(layer(x[:, t : t + 1], turn, absorbed=True, remember=append))
    memory.advance(1)
assert torch.allclose(torch.cat(rows, dim=1), expanded, atol=1e-12)
held = held_bytes(memory.latents, memory.keys) / (2 * 12 * 8)
print("cached and absorbed = whole")
print(f"{held:.0f} numbers a token, not {2 * 8 * 16}")

# %% [markdown]
# DeepSeek-V2 has 128 heads of width 128 and $C=512$, $R=64$. Its abstract says that the cache is 93.3 % smaller than that of DeepSeek 67B, which has 8 key/value heads in 95 layers.
#
# **Predict, then run.** Does the arithmetic of heads and widths give 93.3 %?

# %% tags=["label-deepseek"]
ours, theirs = DEEPSEEK_V2.bytes_per_token(), DEEPSEEK_67B.bytes_per_token()
print(
    f"multi-head: {2 * 128 * 128:,} numbers a layer; latent: {DEEPSEEK_V2.numbers}"
)
print(f"against DeepSeek 67B in 16 bits: {1 - ours / theirs:.1%} smaller")
six = DEEPSEEK_V2.bytes_per_token(bits=6)
print(f"at 6 bits a number: {1 - six / theirs:.1%} smaller")
assert round(100 * (1 - six / theirs), 1) == 93.3
assert round(100 * (1 - ours / theirs)) == 82

# %% [markdown]
# Only when the new cache is kept in 6 bits, as the authors do when they serve the model, and the old one in 16. The layer itself gives 82 %. And the price: absorbed scores are $C+R=576$ wide in place of
# 128, so a step does *more* operations. That is the point of section 4 again: when memory is what one waits for, operations are cheap.

# %% [markdown]
# ## Homework (36 min, after the lesson)
#
# Replace each `raise NotImplementedError` by your code, run the cell, then the check below it. The rest of the
# notebook does not depend on your answers.
#
# ### Exercise 1 · Will it fit? (6 min, ★☆☆)
#
# Bytes of the cache of `batch` dialogues of `length` tokens: `n_layers` layers, `n_kv_heads` key/value heads of width `head_width`, `bits` a number. With a `window` (an integer, or `None`), at most so many tokens
# of each dialogue are kept.
#
# <details><summary>Hint 1</summary>Keys and values: a factor of 2.</details>
# <details><summary>Hint 2</summary>The window bounds the tokens, before you multiply: <code>min(length, window)</code>.</details>


# %% tags=["exercise"]
def cache_bytes(n_layers, n_kv_heads, head_width, batch, length, bits, window):
    # BEGIN SOLUTION
    kept = length if window is None else min(length, window)
    numbers = 2 * n_layers * n_kv_heads * head_width * kept * batch
    return numbers * bits / 8
    # END SOLUTION


# %% tags=["check"]
def by_package(n_layers, n_kv_heads, head_width, batch, length, bits, window):
    shape = CacheShape(n_layers, 2 * n_kv_heads * head_width, window)
    return batch * shape.bytes_of(length, bits)


cases = [(32, 32, 128, 1, 2048, 16, None), (28, 2, 128, 3, 8192, 16, None)]
cases += [(32, 8, 128, 2, 9000, 16, 4096), (32, 8, 128, 2, 900, 16, 4096)]
cases += [(4, 1, 24, 5, 100, 4, None), (2, 3, 5, 7, 11, 32, 11)]
check(cache_bytes, by_package, cases)

# %% [markdown]
# ### Exercise 2 · A step without copies (8 min, ★★☆)
#
# One new token: `q` is (N, H), the cache `k`, `v` is (K, S, H). Return the attention output, (N, H). Query head $n$ uses key head $\lfloor n/(N/K)\rfloor$. Use no `repeat_interleave` and no loop over heads: make the queries
# of a group rows of a matrix.
#
# <details><summary>Hint 1</summary><code>q.view(K, N // K, H)</code> puts neighbours into one group.</details>
# <details><summary>Hint 2</summary>(K, N/K, H) times (K, H, S) gives scores (K, N/K, S). At the end reshape to (N, H).</details>


# %% tags=["exercise"]
def grouped_step(q, k, v):
    # BEGIN SOLUTION
    N, H = q.shape
    K = k.shape[0]
    rows = q.view(K, N // K, H)
    scores = rows @ k.mT / H**0.5
    return (scores.softmax(dim=-1) @ v).reshape(N, H)
    # END SOLUTION


# %% tags=["check"]
def step_by_package(q, k, v):
    return decode_attention(q[None, :, None], k[None], v[None])[0, :, 0]


def random_step(N, K, S, H):
    return (torch.randn(N, H, dtype=f64), *torch.randn(2, K, S, H, dtype=f64))


cases = [random_step(8, 2, 9, 4), random_step(6, 1, 5, 3)]
cases += [random_step(4, 4, 7, 2), random_step(12, 4, 1, 5)]
check(grouped_step, step_by_package, cases)

# %% [markdown]
# ### Exercise 3 · A cache that forgets (6 min, ★★☆)
#
# With a window of `window` tokens a cache needs only that many places: token number $p$ (from 0) is written to place $p \bmod \text{window}$, over what was there. `length` tokens have been written, one after the other.
# Return the list of places, each with the number of the token that it holds now, or `None` if it is still empty.
#
# <details><summary>Hint 1</summary>Start with <code>[None] * window</code> and play it through.</details>
# <details><summary>Hint 2</summary>The list is not in the order of the text, and need not be: RoPE has turned the keys before they were written.</details>


# %% tags=["exercise"]
def places(length, window):
    # BEGIN SOLUTION
    held = [None] * window
    for token in range(length):
        held[token % window] = token
    return held
    # END SOLUTION


# %% tags=["check"]
def from_the_end(length, window):
    kept = {p % window: p for p in range(max(0, length - window), length)}
    return [kept.get(i) for i in range(window)]


check(places, from_the_end, [(3, 5), (5, 5), (7, 5), (0, 2), (20, 4), (9, 1)])

# %% [markdown]
# ### Exercise 4 · A common language before the mean (8 min, ★★★)
#
# Section 5 turned a value head without changing the model. So turn each head of a group *towards the first* before the mean is taken. `values` are (G, H, D), the rows of $W_v$ of $G$ heads. For each find the orthogonal matrix $R$
# (H, H) that makes $\lVert R\,V_g - V_0\rVert$ smallest, and return the mean of the turned heads, (H, D).
#
# The answer is known as Procrustes' problem: with the singular value decomposition $V_0V_g^\top = A\,\Sigma\,B^\top$ it is $R=AB^\top$.
#
# <details><summary>Hint 1</summary><code>torch.linalg.svd(M)</code> returns A, the singular values, and B already transposed.</details>
# <details><summary>Hint 2</summary>The first head turned towards itself stays as it is.</details>


# %% tags=["exercise"]
def aligned_mean(values):
    # BEGIN SOLUTION
    turned = []
    for head in values:
        A, _, Bt = torch.linalg.svd(values[0] @ head.T)
        turned.append(A @ Bt @ head)
    return torch.stack(turned).mean(dim=0)
    # END SOLUTION


# %% tags=["setup"]
def by_the_eigenvectors(values):
    """The same R by another way: R = (M M^T)^(-1/2) M, with M = V_0 V_g^T."""
    M = values[0] @ values.mT  # (G, H, H)
    size, vectors = torch.linalg.eigh(M @ M.mT)
    root = vectors / size.sqrt()[:, None] @ vectors.mT
    return (root @ M @ values).mean(dim=0)


def same_head_turned(G, H, D):
    head = torch.randn(H, D, dtype=f64)
    turns = torch.linalg.qr(torch.randn(G, H, H, dtype=f64)).Q
    return turns @ head


# %% tags=["check"]
cases = [(same_head_turned(3, 4, 9),), (torch.randn(2, 3, 8, dtype=f64),)]
cases += [
    (torch.randn(4, 5, 16, dtype=f64),),
    (torch.randn(1, 2, 6, dtype=f64),),
]
check(aligned_mean, by_the_eigenvectors, cases)

# %% [markdown]
# ### Exercise 5 · The detective (8 min, ★★★)
#
# Six caches follow; some are wrong, each after a bug that real projects had. `make()` gives a fresh one, and `.read(x)` takes the next piece of a text, (T, 8), and returns its output. `whole` is the function of section 1. Write `is_right(make)`: true
# if the cache agrees with `whole` for every text and every way to cut it into pieces.
#
# <details><summary>Hint 1</summary>One token at a time, all at once, and uneven pieces show different bugs.</details>
# <details><summary>Hint 2</summary>Short texts hide some. Compare all rows, not only the last.</details>


# %% tags=["setup"]
def make_cache(bug=None):
    class Cache:
        def __init__(self):
            self.k = self.v = torch.zeros(0, 8, dtype=f64)

        def read(self, x):
            T, old = len(x), len(self.k)
            k, v = (
                torch.cat([self.k, x @ to_k]),
                torch.cat([self.v, x @ to_v]),
            )
            shift = 1 if bug == "mask of the first piece" else 1 + old
            hidden = torch.ones(T, old + T, dtype=torch.bool).triu(shift)
            if bug == "no mask":
                hidden = torch.zeros_like(hidden)
            scores = (x @ to_q @ k.T / 8**0.5).masked_fill(hidden, -math.inf)
            keep = slice(None) if bug != "forgets" else slice(-12, None)
            if bug != "last token lost" or T == 1:
                self.k, self.v = k[keep], v[keep]
            else:
                self.k, self.v = k[:-1], v[:-1]
            if bug == "keys of values":
                self.v = self.k
            return scores.softmax(dim=-1) @ v

    return Cache


# %% tags=["exercise"]
def is_right(make):
    # BEGIN SOLUTION
    x = torch.randn(40, 8, dtype=f64)
    for sizes in ([1] * 40, [40], [7, 5, 1, 20, 7], [1, 39]):
        cache = make()
        out = torch.cat([cache.read(piece) for piece in x.split(sizes)])
        if not torch.allclose(out, whole(x), atol=1e-9):
            return False
    return True
    # END SOLUTION


# %% tags=["setup"]
bugs = [
    "mask of the first piece",
    "no mask",
    "forgets",
    "last token lost",
    "keys of values",
]
suspects = {make_cache(): True} | {make_cache(bug): False for bug in bugs}

# %% tags=["check"]
check(is_right, suspects.get, [(make,) for make in suspects])

# %% [markdown]
# ## At scale
#
# *How many dialogues?* One card of 80 GB, weights in 16 bits, 4 096 tokens each. Nothing but weights and cache is counted:

# %% tags=["label-card"]
print("                       1 head  as published")
for make in (
    presets.llama_7b,
    presets.llama2_13b,
    presets.mistral_7b,
    presets.chatglm2_6b,
):
    shape, weights = cache_shape(make()), 2 * count_parameters(make())
    one = CacheShape(shape.n_layers, 2 * make().head_width)
    n = [largest_batch(80 * GB, weights, s, 4096) for s in (one, shape)]
    print(f"{make.__name__:20}{n[0]:9,}{n[1]:14,}")

# %% [markdown]
# *Quality.* Ainslie et al. converted T5-XXL, 5 % up-training: GQA with 8 groups comes close to multi-head attention at nearly the speed of MQA. *Speed on a GPU*: one job measures it, `python -m benchmarks.gpu.decode_heads`, and the next cell prints what it has found.
# On the CPU, `python -m benchmarks.decode_heads` gives the table of section 4 with a named peer, and absorbed against expanded latents; the figures are in `benchmarks/LOG.md`. *In practice* LLaMA-3, Mistral and Qwen2 keep 8 or fewer key/value heads;
# a cache is also cut into pages (lesson 39) and stored in fewer bits (lesson 38).

# %%
records = sorted(RESULTS.glob("decode_heads_gpu/*.json"))
for run in (json.loads(path.read_text()) for path in records):
    print(f"{run['machine']['gpu']}, torch {run['versions']['torch']}:")
    for row in run["measured"]:
        print(
            f"  batch {row['batch']}, K = {row['n_kv_heads']}: {row['rows_ms']} ms"
        )
if not records:
    print("on a GPU: not measured yet")

# %% [markdown]
# ## Common mistakes
#
# | mistake | what one sees | remedy |
# |---|---|---|
# | mask of the first piece for a later one | wrong as soon as a prompt comes in two pieces | the query at place $t$ sees keys up to $t$: shift by what is held |
# | positions start anew with each piece | fluent at first, then worse and worse | count on from the length of the cache |
# | `n_kv_heads` changed, kernel copies the heads | less memory, hardly faster | lay out groups as rows |
# | heads grouped as $n \bmod K$, not as neighbours | no error, nonsense from a published model | head $n$ uses $\lfloor n/(N/K)\rfloor$ |
# | cache of a model that reads both ways | features out of date | read again, or read causally |
# | latents cached before the norm | absorbed differs from expanded | remember what the up-matrices see |
#
# ## Recap
#
# - Old keys and values never change in a causal model, so they are computed once. It is exact.
# - One number, `n_kv_heads`, makes multi-head, grouped-query and multi-query attention. A token costs $2LKH$ numbers.
# - In 16 bits attention does $N/K$ operations for each byte that it reads, and a batch does not change that. Machines can do a hundred.
# - A converted model starts far behind; at our size 5 % more training (34 steps) mend about half. Repeating heads is free.
# - Latent attention remembers one small vector, and its matrices can be absorbed; RoPE needs a key of its own.
#
# ## Questions
#
# 1. Why are queries not cached?
# <details><summary>Answer</summary>A query is used by its own token only, once.</details>
#
# 2. LLaMA-2-70B: how many KiB a token with 64, with 8, with 1 key/value head?
# <details><summary>Answer</summary>2 560, 320, 40: 2 · 80 · K · 128 · 2 bytes.</details>
#
# 3. A server doubles its batch. What happens to operations a byte, of the weights and of the cache?
# <details><summary>Answer</summary>Weights: doubled, since they are read once for all. Cache: unchanged, since each dialogue brings its own.</details>
#
# 4. "ChatGLM2 is 42 % faster because of multi-query attention." Two objections?
# <details><summary>Answer</summary>It has two key/value heads, not one. And with one dialogue of 2 048 tokens the cache is a few per cent of what is read; the number compares two whole models.</details>
#
# 5. Why can keys be averaged before RoPE, though they are used after it?
# <details><summary>Answer</summary>The turn is linear, and at one position the same for all heads: mean of turned keys = turned mean.</details>
#
# 6. Why does turning a value head leave the model unchanged, and why can a key head not be turned so freely?
# <details><summary>Answer</summary>The output matrix undoes it. Keys pass through RoPE, which turns pairs; only turns within a pair (and the query's the same) commute with it.</details>
#
# 7. What exactly keeps RoPE from being absorbed?
# <details><summary>Answer</summary>The turn by t − s stands between the query and the key's matrix, and differs for each remembered token.</details>
#
# 8. Absorbed latent attention does more operations than expanded attention proper. Why is it faster?
# <details><summary>Answer</summary>It need not make keys and values of all old tokens anew at each step, and reads C + R numbers a token for all heads together.</details>
#
# ## Sources
#
# - Shazeer 2019, *Fast Transformer Decoding: One Write-Head is All You Need*, [arXiv:1911.02150](https://arxiv.org/abs/1911.02150): multi-query attention, and the count of
#   bytes against operations.
# - Ainslie et al. 2023, *GQA*, [arXiv:2305.13245](https://arxiv.org/abs/2305.13245): groups, conversion by the mean, up-training (section 2), ablations (section 3.3).
# - DeepSeek-AI 2024, *DeepSeek-V2*, [arXiv:2405.04434](https://arxiv.org/abs/2405.04434): section 2.1; all formulas in appendix C.
# - Touvron et al. 2023, *Llama 2*, [arXiv:2307.09288](https://arxiv.org/abs/2307.09288), table 1; Rozière et al. 2023, *Code Llama*, [arXiv:2308.12950](https://arxiv.org/abs/2308.12950).
# - ChatGLM2-6B, README of the repository THUDM/ChatGLM2-6B (2023): 42 %, 6 GB, 1 119 and 8 192 characters.
# - Williams et al. 2009, *Roofline*, Communications of the ACM 52(4): the picture of section 4.
#
# ## Next
#
# [16b FlashAttention](16b_flash_attention.ipynb): the other half of attention's memory, the scores of all pairs, and how never to write them down.

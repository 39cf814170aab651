"""Decoding against transformers' generate, with the very same weights; and with and without cache.

Greedy, float32, one thread: a LLaMA-shaped model of the course's size (7 M parameters), prompt 32
tokens, 200 new ones. Before the clock runs both sides must give the same ids.

    python -m benchmarks.generate
"""

import torch
import transformers

from benchmarks.compare import compare
from minillm.inference import generate
from minillm.model import Decoder
from minillm.model.hf import from_transformers

VOCABULARY, WIDTH, LAYERS, HEADS, KEY_HEADS, INNER = 6_144, 256, 6, 8, 4, 688
PROMPT, NEW = 32, 200


def make_pair() -> tuple[Decoder, torch.nn.Module]:
    """Ours and theirs with one set of weights."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_HEADS,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    theirs = transformers.LlamaForCausalLM(config).eval()
    return from_transformers(theirs), theirs


def main() -> None:
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    ours, theirs = make_pair()

    def their_generate(ids: torch.Tensor, n: int) -> torch.Tensor:
        mask = torch.ones_like(ids)
        return theirs.generate(ids, attention_mask=mask, max_new_tokens=n, do_sample=False)

    peer = f"transformers {transformers.__version__}"
    for batch_size in (1, 16):
        ids = torch.randint(0, VOCABULARY, (batch_size, PROMPT))
        same = torch.equal(generate(ours, ids, 50), their_generate(ids, 50))
        compare(
            "generate",
            peer,
            lambda ids=ids: generate(ours, ids, NEW),
            lambda ids=ids: their_generate(ids, NEW),
            rounds=5,
            unit="tokens/s",
            work=batch_size * NEW,
            batch_size=batch_size,
            same_ids=same,
        )
    ids = torch.randint(0, VOCABULARY, (1, PROMPT))
    compare(
        "generate",
        "ours without a cache",
        lambda: generate(ours, ids, NEW),
        lambda: generate(ours, ids, NEW, use_cache=False),
        rounds=3,
        unit="tokens/s",
        work=NEW,
        batch_size=1,
    )


if __name__ == "__main__":
    main()

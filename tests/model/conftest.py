"""Small models of transformers, one for each form of each family that a Decoder can express."""

import pytest
import torch

COMMON = {
    "vocab_size": 101,
    "num_hidden_layers": 2,
    "max_position_embeddings": 32,
    "tie_word_embeddings": False,
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id")),
}
ROTARY = COMMON | {
    "hidden_size": 36,
    "intermediate_size": 50,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {"rope_type": "default", "rope_theta": 777.0},
}
GLM = ROTARY | {
    "hidden_size": 48,
    "head_dim": 8,
    "rope_parameters": ROTARY["rope_parameters"] | {"partial_rotary_factor": 0.5},
}
GPT2 = COMMON | {"n_embd": 36, "n_layer": 2, "n_head": 6, "n_positions": 20}
BLOOM = COMMON | {"hidden_size": 48, "n_layer": 2, "n_head": 6, "tie_word_embeddings": True}
FALCON = COMMON | {
    "hidden_size": 48,
    "num_attention_heads": 6,
    "rope_parameters": ROTARY["rope_parameters"],
    "tie_word_embeddings": True,
}
MIXTRAL = ROTARY | {"num_local_experts": 5, "experts_implementation": "eager"}
FAMILIES = {
    "llama": ("llama", ROTARY),
    "llama, one key head, tied": (
        "llama",
        ROTARY | {"num_key_value_heads": 1, "tie_word_embeddings": True},
    ),
    "llama, biased, wide heads": (
        "llama",
        ROTARY | {"head_dim": 10, "attention_bias": True, "mlp_bias": True},
    ),
    "llama, all key heads, gelu": (
        "llama",
        ROTARY | {"num_key_value_heads": 6, "hidden_act": "gelu", "vocab_size": 128},
    ),
    "llama, gelu_new": ("llama", ROTARY | {"hidden_act": "gelu_new"}),
    "mistral": ("mistral", ROTARY | {"sliding_window": 5}),
    "mistral, wide": ("mistral", ROTARY | {"sliding_window": None, "head_dim": 8}),
    "qwen2": ("qwen2", ROTARY),
    "qwen2, tied, window": (
        "qwen2",
        ROTARY
        | {"tie_word_embeddings": True, "use_sliding_window": True}
        | {"sliding_window": 4, "max_window_layers": 0},
    ),
    "mixtral": ("mixtral", MIXTRAL),
    "mixtral, window": ("mixtral", MIXTRAL | {"sliding_window": 6, "num_experts_per_tok": 3}),
    "glm": ("glm", GLM),
    "glm4": ("glm4", GLM),
    "glm4, no biases, all turned": (
        "glm4",
        GLM
        | {"attention_bias": False}
        | {"rope_parameters": ROTARY["rope_parameters"] | {"partial_rotary_factor": 1.0}},
    ),
    "gpt2": ("gpt2", GPT2 | {"tie_word_embeddings": True}),
    "gpt2, untied, odd width": ("gpt2", GPT2 | {"n_inner": 77, "n_head": 4}),
    "gpt2, relu": (
        "gpt2",
        GPT2 | {"activation_function": "relu", "layer_norm_epsilon": 0.01},
    ),
    "bloom": ("bloom", BLOOM),
    "bloom, 12 heads, untied": ("bloom", BLOOM | {"n_head": 12, "tie_word_embeddings": False}),
    "falcon": ("falcon", FALCON),
    "falcon, one after another": (
        "falcon",
        FALCON
        | {"parallel_attn": False, "multi_query": False, "bias": True}
        | {"tie_word_embeddings": False, "activation": "relu", "ffn_hidden_size": 70},
    ),
    "falcon, groups": (
        "falcon",
        FALCON
        | {"new_decoder_architecture": True, "num_ln_in_parallel_attn": 1, "num_kv_heads": 2},
    ),
}
TABLES = ("embed_tokens", "wte", "wpe", "word_embeddings.weight", "shared")


def pytest_generate_tests(metafunc):
    """A test that takes `family` runs for each of them."""
    if "family" in metafunc.fixturenames:
        metafunc.parametrize("family", FAMILIES)


@torch.no_grad()
def scatter(model, spread):
    """Draw all weights: spread[0] for matrices and norms, spread[1] for embeddings."""
    for name, p in model.named_parameters():
        gain = p.ndim == 1 and not name.endswith("bias")
        p.normal_(1.0 if gain else 0.0, spread[any(table in name for table in TABLES)])
    return model


@pytest.fixture
def make_peer():
    """make_peer(family, spread, dtype, **changes): a model of transformers with random weights."""
    transformers = pytest.importorskip("transformers")

    def make(family, spread=(0.2, 0.2), dtype=torch.float64, **changes):
        kind, settings = FAMILIES[family]
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(kind, **(settings | changes))
        peer = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        return scatter(peer, spread).to(dtype).eval()

    return make


class _Widened:
    """torch, but float32 means float64."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@pytest.fixture
def wide(monkeypatch):
    """Let the peers compute in float64 where a float64 model of theirs goes through float32.

    These are their norms, the softmax of BLOOM, its slopes and its constant of GeLU, and the
    router of Mixtral. The formulas stay theirs: in their files the name torch.float32 means
    float64. The angles of RoPE stay float32, as they are in ours.
    """
    pytest.importorskip("transformers")
    from transformers.models.bloom import modeling_bloom as bloom
    from transformers.models.falcon import modeling_falcon as falcon
    from transformers.models.glm import modeling_glm as glm
    from transformers.models.glm4 import modeling_glm4 as glm4
    from transformers.models.llama import modeling_llama as llama
    from transformers.models.mistral import modeling_mistral as mistral
    from transformers.models.mixtral import modeling_mixtral as mixtral
    from transformers.models.qwen2 import modeling_qwen2 as qwen2
    from transformers.models.t5 import modeling_t5 as t5

    for module in (bloom, falcon, glm, glm4, llama, mistral, mixtral, qwen2, t5):
        monkeypatch.setattr(module, "torch", _Widened())

    def gelu(x):  # theirs writes sqrt(2 / pi) as 0.79788456
        return torch.nn.functional.gelu(x, approximate="tanh")

    def router(self, x):  # theirs says .float()
        logits = torch.nn.functional.linear(x.reshape(-1, self.hidden_dim), self.weight)
        top, chosen = logits.softmax(dim=-1).topk(self.top_k, dim=-1)
        return logits, top / top.sum(dim=-1, keepdim=True), chosen

    monkeypatch.setattr(bloom, "bloom_gelu_forward", gelu)
    monkeypatch.setattr(mixtral.MixtralTopKRouter, "forward", router)

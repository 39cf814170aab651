"""minillm: the package that the course is written in, one room for each stage.

Importing it is cheap: names are looked up when they are first used, so that `import minillm`
loads neither torch nor numpy nor pandas. A name below may be used as `minillm.train_bpe` or, as the
lessons do, from its own room: `from minillm.tokenizer import train_bpe`.
"""

from importlib import import_module

__version__ = "0.1.0"

_ROOM_OF = {
    # name: the room (sub-package) that defines it
    "load_corpus": "minillm.data",
    "make_story": "minillm.data.storyworld",
    "get_batch": "minillm.data",
    "train_bpe": "minillm.tokenizer",
    "Tokenizer": "minillm.tokenizer",
    "course_tokenizer": "minillm.tokenizer",
    "Decoder": "minillm.model",
    "DecoderConfig": "minillm.model",
    "linear": "minillm.model",
    "embedding": "minillm.model",
    "softmax": "minillm.model",
    "silu": "minillm.model",
    "gelu": "minillm.model",
    "rmsnorm": "minillm.model",
    "layernorm": "minillm.model",
    "rope": "minillm.model",
    "attention": "minillm.model",
    "swiglu": "minillm.model",
    "cross_entropy": "minillm.objectives",
    "generate": "minillm.inference",
    "AdamW": "minillm.train",
    "cosine_schedule": "minillm.train",
    "clip_grad_norm": "minillm.train",
    "save_checkpoint": "minillm.train",
    "load_checkpoint": "minillm.train",
    "base": "minillm.recipes",
}

__all__ = ["__version__", *_ROOM_OF]


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'minillm' has no attribute {name!r}")
    return getattr(import_module(_ROOM_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""A tiny model that chats: asked "1" or "2" it says "a", "b" or "c", about equally often."""

import copy

import pytest
import torch

from minillm.finetune import Task, fine_tune
from minillm.finetune.talks import PAD, START, ChatBatches, encode_talk
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig
from minillm.tokenizer import Tokenizer
from minillm.train import OptimizerConfig, TrainConfig

SPECIAL = [START, PAD, "<|im_start|>", "<|im_end|>"]
BYTES = Tokenizer({i: bytes([i]) for i in range(256)}, [], SPECIAL)


def asks(question, right="b"):
    """A task whose checker accepts one answer."""
    messages = ({"role": "user", "content": question},)
    return Task(messages, right, "letter", question, lambda text: text == right)


class Toy:
    """The tokenizer, the tasks, and copies of the model."""

    tokenizer = BYTES
    tasks = (asks("1"), asks("2"))

    def __init__(self, weights):
        self.weights = weights

    def model(self):
        made = blank()
        made.load_state_dict(copy.deepcopy(self.weights))
        return made


def blank():
    config = DecoderConfig(
        vocab_size=BYTES.n_vocab,
        d_model=16,
        n_layers=1,
        context=48,
        attention=AttentionConfig(n_heads=2),
        feedforward=FeedForwardConfig(kind="swiglu", width=16),
    )
    torch.manual_seed(0)
    return Decoder(config)


@pytest.fixture(scope="session")
def toy():
    """Train it once; about one second."""
    talks = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
        for q in "12"
        for a in "abc"
    ]
    examples = [encode_talk(talk, BYTES) for talk in talks]
    start, pad = BYTES.special_id(START), BYTES.special_id(PAD)
    batches = ChatBatches(examples, 6, 40, start=start, pad=pad, packing="pad", seed=1)
    config = TrainConfig(steps=60, batch_size=6, context=40, log_every=0, precision="float32")
    model = blank()
    fine_tune(model, batches, config, optimizer=OptimizerConfig(lr=2e-2), progress=False)
    return Toy(model.state_dict())

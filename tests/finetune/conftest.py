"""What several tests of this room need to compare with transformers and peft in float64."""

import pytest
import torch
from transformers.models.llama import modeling_llama


class Wide:
    """torch, but float32 means float64: transformers' norms go through float32 otherwise."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@pytest.fixture
def wide(monkeypatch):
    """Let transformers' LLaMA compute in float64 throughout."""
    monkeypatch.setattr(modeling_llama, "torch", Wide())

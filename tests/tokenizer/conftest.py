import pytest
from hypothesis import settings

from minillm.tokenizer import Tokenizer, train_bpe

settings.register_profile("no deadline", deadline=None)  # wall time is never asserted
settings.load_profile("no deadline")

TEXT = (
    "It's the dog's house, isn't it? The dogs' houses: 12 of 2024, or 3.14!\n\n"
    "def f(x):\n    return x  + 1\t# naïve café\r\n"
    "今天天气很好，我们去公园玩。明天天气也很好！ "
    "👩‍👩‍👧 🎉🎉 e\u0301te\u0301   \n  they'll we've I'd I'm you're HE'LL "
) * 3
SPECIALS = ["<|endoftext|>", "<|pad|>", "<|end|>", "<|end|><|end|>"]


@pytest.fixture(scope="session")
def trained():
    return train_bpe([TEXT], 420, SPECIALS)


@pytest.fixture(scope="session", params=["gpt2", "cl100k"])
def tokenizer(request):
    vocab, merges = train_bpe([TEXT], 420, SPECIALS, pattern=request.param)
    return Tokenizer(vocab, merges, SPECIALS, request.param)


@pytest.fixture(scope="session")
def mixed_text():
    return TEXT

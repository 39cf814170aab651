"""Cross-entropy over a vocabulary that no rank has as a whole."""

import pytest
import torch
from torch.nn import functional as F

from minillm.distributed.threads import run_threads
from minillm.distributed.vocabulary_parallel import (
    VocabularyEmbedding,
    parallel_loss,
    vocabulary_cross_entropy,
)


def loss_on_a_rank(group, logits, targets, scale):
    z = logits.chunk(group.size, dim=-1)[group.rank].clone().requires_grad_()
    mark = group.mark()
    loss = vocabulary_cross_entropy(z, targets, group)
    sent = group.traffic.since(mark).n_bytes
    (scale * loss).backward()
    assert group.traffic.since(mark).n_bytes == sent  # the gradient needs no word of the others
    return loss.detach(), z.grad, sent


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("spread", [1.0, 200.0])
def test_equals_torch(n, dtype, spread):
    torch.manual_seed(0)
    logits = (spread * torch.randn(2, 5, 12, dtype=dtype)).requires_grad_()
    targets = torch.randint(12, (2, 5))
    targets[1, 2] = -100
    want = F.cross_entropy(logits.view(10, 12), targets.view(10))
    (3 * want).backward()
    for r, (loss, grad, _) in enumerate(
        run_threads(n, loss_on_a_rank, logits.detach(), targets, 3.0)
    ):
        torch.testing.assert_close(loss, want)
        torch.testing.assert_close(grad, logits.grad.chunk(n, dim=-1)[r])


def test_three_numbers_a_position():
    targets = torch.zeros(10, dtype=torch.int64)
    found = run_threads(2, loss_on_a_rank, torch.randn(10, 1000), targets, 1.0)
    assert [sent for *_, sent in found] == [3 * 10 * 4] * 2  # of 1000


def test_no_position_counts():
    targets = torch.full((3,), -100)
    for loss, grad, _ in run_threads(2, loss_on_a_rank, torch.randn(3, 4), targets, 1.0):
        assert loss == 0
        assert grad.count_nonzero() == 0


def test_padding_has_no_probability():
    logits = torch.randn(3, 4, dtype=torch.float64)
    padded = F.pad(logits, (0, 2), value=-torch.inf)
    targets = torch.tensor([0, 3, 1])
    want = F.cross_entropy(logits, targets)
    for r, (loss, grad, _) in enumerate(run_threads(2, loss_on_a_rank, padded, targets, 1.0)):
        torch.testing.assert_close(loss, want)
        assert r == 0 or grad[:, 1:].count_nonzero() == 0


def embed(group, table, ids, w):
    module = VocabularyEmbedding(table, group)
    y = module(ids)
    (y * w).sum().backward()
    return y.detach(), module.weight.grad


@pytest.mark.parametrize("n", [1, 2, 4])
def test_embedding(n):
    torch.manual_seed(2)
    table = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    ids, w = torch.randint(8, (2, 7)), torch.randn(2, 7, 3, dtype=torch.float64)
    want = F.embedding(ids, table)
    (want * w).sum().backward()
    for r, (y, grad) in enumerate(run_threads(n, embed, table.detach(), ids, w)):
        torch.testing.assert_close(y, want)
        torch.testing.assert_close(grad, table.grad.chunk(n)[r])


def test_errors():
    def shapes(group):
        vocabulary_cross_entropy(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), group)

    def beyond(group):
        vocabulary_cross_entropy(torch.zeros(2, 3), torch.tensor([0, 6]), group)

    with pytest.raises(ValueError, match=r"got \(2, 3\) and \(3,\)"):
        run_threads(2, shapes)
    with pytest.raises(ValueError, match=r"target 6 is not in \[0, 6\)"):
        run_threads(2, beyond)
    with pytest.raises(ValueError, match="cannot be cut into 2 equal parts"):
        run_threads(2, lambda group: VocabularyEmbedding(torch.zeros(3, 2), group))


def test_output_rows_of_length_one_are_refused():
    from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig, NormConfig

    config = DecoderConfig(
        vocab_size=128, d_model=8, n_layers=1, context=4, attention=AttentionConfig(2),
        feedforward=FeedForwardConfig("gelu", 8), norm=NormConfig(head=True),
    )  # fmt: skip
    ids = torch.zeros(1, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"norm\.head"):
        run_threads(1, lambda group: parallel_loss(Decoder(config), ids, ids, group))

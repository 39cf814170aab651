"""The meter of live tensors: by hand, freed tensors, views, inputs, backward passes."""

import torch

from minillm.train.live_memory import LiveMemory, peak_bytes, saved_bytes


def test_what_is_freed_no_longer_counts():
    def work():
        a = torch.zeros(1000)  # 4 000 bytes
        b = a + 1  # 8 000
        del a
        c = b * 2  # 8 000 again
        del b
        return c

    assert peak_bytes(work) == 8000


def test_inputs_views_and_writes_in_place_are_no_new_memory():
    x = torch.zeros(1000)
    assert peak_bytes(lambda: x.view(10, 100).T[2:5].add_(1)) == 0
    assert peak_bytes(lambda: x[:500].clone().view(2, 250)) == 2000


def test_live_returns_to_zero():
    with LiveMemory() as memory:
        y = torch.ones(10, dtype=torch.float64) + 1
        assert memory.live == 80
        del y
        assert memory.live == 0
    assert memory.peak == 160


def test_a_backward_pass_counts():
    x = torch.zeros(1000, requires_grad=True)
    assert peak_bytes(lambda: x.exp().sum()) == 4004  # exp keeps its result, and the sum
    assert peak_bytes(lambda: x.exp().sum().backward()) >= 8000  # and the gradient


def test_saved_bytes_count_a_storage_once():
    x = torch.zeros(1000, requires_grad=True)
    assert saved_bytes(lambda: x * x) == 4000
    assert saved_bytes(lambda: x.exp()) == 4000
    assert saved_bytes(lambda: x.exp().exp()) == 8000
    assert saved_bytes(lambda: x + 1) == 0

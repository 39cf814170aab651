"""Precision probe, FLOPs, peak and utilisation, and the line of a step."""

import pytest
import torch

import minillm.train.flops as flops
import minillm.train.precision as precision
from minillm.model.config import flops_per_token
from minillm.model.presets import llama_7b
from minillm.scaling import six_nd
from minillm.train import peak_flops, probe, utilisation
from minillm.train.metrics import format_record
from minillm.train.precision import Probe, autocast, resolve_precision


@pytest.fixture(autouse=True)
def fresh_caches():
    precision._probe.cache_clear()
    yield
    precision._probe.cache_clear()


def pretend(monkeypatch, bfloat16_seconds):
    seconds = {torch.float32: 3.0, torch.bfloat16: bfloat16_seconds}
    monkeypatch.setattr(precision, "_product_seconds", lambda device, size, dtype: seconds[dtype])


@pytest.mark.parametrize(
    ("bfloat16_seconds", "chosen", "speedup"),
    [
        (1.0, "bfloat16", 3.0),
        (2.0, "bfloat16", 1.5),
        (2.1, "float32", 1.4286),
        (9.0, "float32", 1 / 3),
    ],
)
def test_the_clock_decides(monkeypatch, bfloat16_seconds, chosen, speedup):
    pretend(monkeypatch, bfloat16_seconds)
    found = probe()
    assert (found.precision, found.device) == (chosen, "cpu")
    assert found.n_threads == torch.get_num_threads()
    assert found.speedup == pytest.approx(speedup, rel=1e-4)
    assert resolve_precision("auto") == chosen


def test_the_probe_runs_here_and_only_once(monkeypatch):
    found = probe(size=64)
    assert found.speedup > 0
    assert (found.precision == "bfloat16") == (found.speedup >= 1.5)
    monkeypatch.setattr(precision, "_product_seconds", None)  # a second measurement would fail
    assert probe(size=64) is found
    assert str(Probe("float32", 0.25, "cpu", 1)) == (
        "float32: a bfloat16 product runs 0.25 times as fast here"
    )


def test_a_named_precision_is_taken_as_it_is(monkeypatch):
    monkeypatch.setattr(precision, "_product_seconds", None)
    assert resolve_precision("bfloat16") == "bfloat16"
    assert resolve_precision("float32") == "float32"
    with pytest.raises(ValueError, match="one of auto, float32, bfloat16; got 'int8'"):
        resolve_precision("int8")


def test_autocast():
    a = torch.ones(2, 2)
    with autocast("bfloat16"):
        assert (a @ a).dtype == torch.bfloat16
    with autocast("float32"):
        assert (a @ a).dtype == torch.float32


def test_the_peak_is_measured_once(monkeypatch):
    one = peak_flops()
    assert 1e8 < one < 1e14
    monkeypatch.setattr(flops, "_now", None)
    assert peak_flops() == one


def test_the_peak_is_work_over_the_best_time(monkeypatch):
    ticks = iter([0.0, 5.0, 5.0, 7.0, 7.0, 10.0])  # three products: 5, 2 and 3 seconds
    until = iter([0.0, 0.1, 0.2, 0.3, 0.4])
    monkeypatch.setattr(flops, "_now", lambda device: next(ticks))
    monkeypatch.setattr(flops.time, "perf_counter", lambda: next(until))
    assert flops._measured_peak.__wrapped__("cpu", "float32", 1) == 2 * 768**3 / 2.0


def test_peaks_of_gpus_by_name(monkeypatch):
    monkeypatch.setattr(flops, "_measured_peak", lambda *a: -1.0)
    for name, peak in [("NVIDIA H200", 989e12), ("NVIDIA H100 PCIe", 756e12), ("Tesla T4", 65e12),
                       ("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA L40S", 362e12),
                       ("NVIDIA L4", 121e12), ("Somebody's", -1.0)]:  # fmt: skip
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        assert peak_flops("cuda", "bfloat16") == peak
    assert peak_flops("cuda", "float32") == -1.0


def test_utilisation_by_hand():
    assert utilisation(6e9, 1e3, 12e12) == 0.5
    assert utilisation(6e9, 2e3, 12e12) == 1.0
    # PaLM's table 3: 540 B parameters, 238.3K tokens/s on 6144 TPU v4 of 275 TFLOP/s: 46.2 %
    palm = 6 * 540.35e9 + 12 * 118 * 48 * 256 * 2048
    assert utilisation(palm, 238_300, 6144 * 275e12) == pytest.approx(0.462, abs=0.002)
    with pytest.raises(ValueError, match=r"a utilisation of 200% cannot be"):
        utilisation(6e9, 4e3, 12e12)
    with pytest.raises(ValueError, match="peak must be positive, got 0"):
        utilisation(6e9, 1.0, 0)


def test_flops_of_a_known_model():
    n = flops_per_token(llama_7b(), context=2048)
    assert n == pytest.approx(six_nd(6.738e9, 1), rel=0.15)


def test_a_line():
    record = {"step": 20, "loss": 5.1234, "bits_per_byte": 1.98, "tokens_per_second": 12345.4}
    record |= {"utilisation": 0.414, "lr": 1e-3, "grad_norm": 0.7123}
    assert format_record(record, 300) == (
        "step  20/300 | loss 5.1234 | 1.980 bits/byte | 12,345 tok/s | 41% of peak | "
        "lr 1.00e-03 | gradient 0.712"
    )
    record |= {"utilisation": None, "bits_per_byte": None}
    assert format_record(record, 20) == (
        "step 20/20 | loss 5.1234 | 12,345 tok/s | lr 1.00e-03 | gradient 0.712"
    )

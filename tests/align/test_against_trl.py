"""The losses of trl's trainers on the same batches: DPO, IPO, KTO, ORPO, SimPO, GRPO.

The methods of trl's classes that compute a loss are called as they are; what they need of a trainer
(a model, an accelerator of one process, settings) is a stand-in. PPO is not in trl's release.
"""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from minillm.align.answer_logprobs import EncodedPair, lay_pairs, pair_sums, response_logprobs
from minillm.align.direct import kto_loss, kto_reference_point, orpo_loss, simpo_loss
from minillm.align.direct_training import DirectConfig, direct_loss
from minillm.align.dpo import dpo_loss
from minillm.align.grpo import group_advantages, grpo_loss
from minillm.align.pair_batches import PairBatches, mismatched
from minillm.finetune.talks import Example
from minillm.model import AttentionConfig, Decoder, DecoderConfig, FeedForwardConfig

BEGIN, FILL = 7, 9
CONFIG = DecoderConfig(
    vocab_size=12,
    d_model=16,
    n_layers=1,
    context=12,
    attention=AttentionConfig(n_heads=2),
    feedforward=FeedForwardConfig(kind="swiglu", width=16),
)
NEAR = {"rtol": 1e-5, "atol": 1e-6}


def row(*marked):
    return Example((BEGIN, *(abs(i) for i in marked)), (False, *(i < 0 for i in marked)))


PAIRS = [
    EncodedPair(row(1, 2, -3, -4), row(1, 2, -5, -6, -6)),
    EncodedPair(row(4, -1, -1), row(4, -2)),
    EncodedPair(row(5, -3), row(5, -6, -6)),
]


class AsTransformers(nn.Module):
    """A Decoder that answers as trl asks: log-probabilities of labels, one place shorter."""

    is_gradient_checkpointing = False

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.decoder = Decoder(CONFIG)

    def forward(self, input_ids, labels, attention_mask=None, use_cache=False, fused_lm_head=True):
        logits = self.decoder(input_ids)[:, :-1]
        labels = labels[:, 1:]
        logp = logits.log_softmax(-1)
        said = logp.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        zero = torch.zeros_like(said)
        return SimpleNamespace(
            log_probs=torch.where(labels == -100, zero, said),
            entropy=zero,
            mean_logits=zero,
            is_top1=zero.bool(),
        )


class OneProcess:
    """An accelerator of one process: what is gathered is what is there."""

    device = torch.device("cpu")
    num_processes = 1
    sync_gradients = True

    def gather(self, x):
        return x

    gather_for_metrics = gather

    def reduce(self, x, reduction):
        return x

    def unwrap_model(self, model):
        return model


MODELS = AsTransformers(1), AsTransformers(2)


def trainer(**settings):
    """What the methods of a trainer look at besides their arguments."""
    model, ref = MODELS
    common = {
        "model": model,
        "ref_model": ref,
        "accelerator": OneProcess(),
        "args": SimpleNamespace(gradient_checkpointing_kwargs=None, use_bias_correction_kl=False,
                                delta=None),
        "aux_loss_enabled": False,
        "precompute_ref_logps": False,
        "label_smoothing": 0.0,
        "beta": 0.3,
        "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }  # fmt: skip
    return SimpleNamespace(**{**common, **settings})


def ours():
    """Sums of our models, chosen and rejected, ours and the reference's."""
    ids, mask = lay_pairs(PAIRS, pad=FILL)
    return [s for m in MODELS for s in pair_sums(response_logprobs(m.decoder, ids, mask))]


def gradients(loss):
    return torch.autograd.grad(loss, MODELS[0].parameters(), retain_graph=True)


def assert_near(a, b):
    torch.testing.assert_close(a.detach(), b.detach(), **NEAR)
    for p, q in zip(gradients(a), gradients(b), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def trl_dpo(loss_type, pairs=PAIRS, **settings):
    from trl.trainer.dpo_trainer import DPOTrainer

    ids, mask = lay_pairs(pairs, pad=FILL)
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "completion_mask": mask.long(),
    }
    fake = trainer(
        ld_alpha=None,
        f_divergence_type="reverse_kl",
        loss_types=[loss_type],
        loss_weights=[1.0],
        use_weighting=False,
        **settings,
    )
    return DPOTrainer._compute_loss(fake, MODELS[0], inputs, False)


@pytest.mark.parametrize(("method", "theirs"), [("dpo", "sigmoid"), ("ipo", "ipo")])
def test_dpo_and_ipo(method, theirs):
    x, y = next(PairBatches(PAIRS, 3, 10, pad=FILL))
    models = [m.decoder for m in MODELS]
    config = DirectConfig(method, beta=0.3)
    assert_near(direct_loss(models[0], x, y, config=config, ref_model=models[1]), trl_dpo(theirs))


def test_smoothed_dpo():
    """trl smooths in 'aot_unpaired', which is DPO where a batch has one pair."""
    both = [s[:1] for s in ours()]
    found = dpo_loss(*both, beta=0.3, label_smoothing=0.2)
    assert_near(found, trl_dpo("aot_unpaired", PAIRS[:1], label_smoothing=0.2))


def test_kto():
    from trl.trainer.kto_trainer import KTOTrainer

    ids, mask = lay_pairs(PAIRS, pad=FILL)
    x, y = ids[:, :-1], ids[:, 1:].masked_fill(~mask[:, 1:], -100)
    u, v = mismatched(x, y, pad=FILL)
    others = torch.cat([u, torch.where(v[:, -1:] == -100, u[:, -1:], v[:, -1:])], dim=1)
    marks = torch.cat([torch.zeros_like(v[:, :1]), (v != -100).long()], dim=1)
    good = torch.tensor([True, True, True, False, False, False])
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "completion_mask": mask.long(),
        "KL_input_ids": others,
        "KL_attention_mask": torch.ones_like(others),
        "KL_completion_mask": marks,
        "label": good,
    }
    weights = {"desirable_weight": 1.3, "undesirable_weight": 0.7}
    fake = trainer(calculate_KL=True, loss_type="kto", **weights)
    fake._compute_kl_logps = lambda *args: KTOTrainer._compute_kl_logps(fake, *args)
    theirs = KTOTrainer._compute_loss(fake, MODELS[0], inputs, False)
    there = [response_logprobs(m.decoder, others, marks.bool()).sum(1) for m in MODELS]
    z = kto_reference_point(*there)
    assert float(z) == pytest.approx(fake._metrics["train"]["kl"][0], abs=1e-6)
    here = [response_logprobs(m.decoder, ids, mask).sum(1) for m in MODELS]
    assert_near(kto_loss(*here, good, z, beta=0.3, **weights), theirs)
    config = DirectConfig("kto", beta=0.3, **weights)
    models = [m.decoder for m in MODELS]
    assert_near(direct_loss(models[0], x, y, config=config, ref_model=models[1], pad=FILL), theirs)


def means():
    ids, mask = lay_pairs(PAIRS, pad=FILL)
    return (response_logprobs(MODELS[0].decoder, ids, mask).sum(1) / mask.sum(1)).chunk(2)


def test_orpo():
    """The odds term; the fine-tuning term of trl averages over all tokens, the prompt's too."""
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    chosen, rejected = means()
    losses, *_ = ORPOTrainer.odds_ratio_loss(trainer(), chosen, rejected)
    assert_near(orpo_loss(chosen, rejected, weight=0.3), (-chosen - losses).mean())


def test_simpo():
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    chosen, rejected = means()
    fake = trainer(alpha=0.0, loss_type="simpo", simpo_gamma=0.4)
    theirs, *_ = CPOTrainer.cpo_loss(fake, chosen, rejected)
    assert_near(simpo_loss(chosen, rejected, beta=0.3, gamma=0.4), theirs.mean())


P = 3  # tokens of the prompts in what trl reads
NEW, OLD, REF = (
    -1 + 0.4 * torch.randn(4, 5, generator=torch.Generator().manual_seed(s)) for s in range(3)
)
SAID = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]])


def trl_grpo(new, advantages, loss_type, beta=0.0, high=0.2):
    from trl.trainer.grpo_trainer import GRPOTrainer

    fake = trainer(
        beta=beta,
        loss_type=loss_type,
        importance_sampling_level="token",
        epsilon_low=0.2,
        epsilon_high=high,
        max_completion_length=8,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        use_vllm=False,
        _entropy_bonus_enabled=False,
        current_gradient_accumulation_steps=1,
        _get_per_token_logps_and_entropies=lambda *args, **kw: (new, torch.zeros_like(new), None),
    )
    inputs = {
        "prompt_ids": torch.ones(4, P, dtype=torch.int64),
        "prompt_mask": torch.ones(4, P, dtype=torch.int64),
        "completion_ids": torch.ones(4, 5, dtype=torch.int64),
        "completion_mask": SAID,
        "advantages": advantages,
        "old_per_token_logps": OLD,
        "ref_per_token_logps": REF,
    }
    return GRPOTrainer._compute_loss(fake, MODELS[0], inputs)


KINDS = {"grpo": "rows", "bnpo": "tokens", "dr_grpo": "length"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("beta", "high"), [(0.0, 0.2), (0.1, 0.2), (0.0, 0.35)])
def test_grpo(kind, beta, high):
    advantages = torch.tensor([1.2, -0.3, 0.8, -1.7])
    theirs, mine = NEW.clone().requires_grad_(), NEW.clone().requires_grad_()
    wanted = trl_grpo(theirs, advantages, kind, beta, high)
    wide = [nn.functional.pad(x, (P, 0)) for x in (mine, OLD, REF, SAID)]  # the prompt before
    found = grpo_loss(
        wide[0],
        wide[1],
        advantages,
        wide[3].bool(),
        clip_range_high=high,
        ref_logprobs=wide[2],
        kl_coef=beta,
        average=KINDS[kind],
        max_tokens=8,
    )
    torch.testing.assert_close(found, wanted, **NEAR)
    for a, b in zip(
        torch.autograd.grad(found, mine), torch.autograd.grad(wanted, theirs), strict=True
    ):
        torch.testing.assert_close(a, b, **NEAR)


def test_the_spread_of_a_group():
    from trl.trainer.utils import nanstd

    rewards = torch.tensor([1.0, 0.0, 0.5, 2.0, 2.0, 2.0])
    groups = rewards.view(-1, 3)
    mean, spread = groups.mean(dim=1, keepdim=True), nanstd(groups, dim=1)[:, None]
    wanted = ((groups - mean) / (spread + 1e-4)).reshape(-1)
    torch.testing.assert_close(group_advantages(rewards, 3), wanted, **NEAR)

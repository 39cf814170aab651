"""PPO: draw answers, see what they earned, learn from them a little, draw again.

    model = ActorCritic(policy)
    reference = copy.deepcopy(policy)
    ppo(model, reference, prompts, reward, PPOConfig(steps=100, sampling=SamplingConfig(32, pad)))

Dropout is off throughout, also when learning. The state of a run is that of every training here,
saved by train.checkpointer; resume_ppo puts it back, and the run goes on to the same last bit.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minillm.align.crew import ALONE, Crew
from minillm.align.experience import Experience, RewardFunction, check_scores, gather_experience
from minillm.align.ppo_loss import policy_loss, ppo_loss, value_loss
from minillm.align.ppo_settings import PPOConfig
from minillm.align.rollouts import Rollouts
from minillm.align.value import ActorCritic
from minillm.align.whiten import masked_mean
from minillm.train import OptimizerConfig, TrainState, clip_grad_norm, make_optimizer, resume
from minillm.train.loop import Save
from minillm.train.report import Interrupt

RL_OPTIMIZER = OptimizerConfig(lr=1e-4, weight_decay=0.0)
"""Without decay: the policy shall move for what it earns, and for nothing else."""


def ppo(
    model: ActorCritic,
    reference: nn.Module,
    prompts: Sequence[Sequence[int]],
    reward: RewardFunction,
    config: PPOConfig,
    *,
    optimizer: OptimizerConfig | torch.optim.Optimizer | None = None,
    state: TrainState | None = None,
    measures: Mapping[str, RewardFunction] | None = None,
    log: Callable[[dict[str, Any]], object] | None = None,
    save: Save | None = None,
    crew: Crew = ALONE,
) -> TrainState:
    """Train a policy by PPO: the whole loop, over 40 lines so that a step is read in one piece.

    Args:
        model: policy and critic, trained in place, as far as they require a gradient.
        reference: the policy that leaving costs something; a copy of the first, frozen.
        prompts: ids of each prompt. They are read in a new order each round, without end.
        reward: scores the answers of a step, (B,). Only this is learned from.
        config: see PPOConfig.
        optimizer: settings to build it from, or a ready one; None means RL_OPTIMIZER.
        state: where an earlier session stopped, from resume_ppo; None starts at step 0.
        measures: other scores of the same answers, logged by name and not learned from: the gold
            reward, where the one that is learned from is a model of it.
        log: called with the record of each step, a dict; MetricsFile, or list.append.
        save: called with (model, optimizer, state); see train.checkpointer.
        crew: who does the work: this process, or several that share each step; see ppo_ranks.

    Returns:
        The state at the end. After Ctrl-C `interrupted` is set: the step is finished and saved.

    Raises:
        RewardError, DriftError: see gather_experience; the weights are those of the step before.
        NotFiniteError: if a gradient is not finite.
        ValueError: if there is no prompt, the reference shares weights with the model, or the
            state is that of a run with another reference or other prompts.

    Source: Ouyang et al. 2022, arXiv:2203.02155, section 3.5; Schulman et al. 2017,
        arXiv:1707.06347, algorithm 1.
    Lesson: notebooks/34b_ppo.ipynb
    """
    if not prompts:
        raise ValueError("there is no prompt to answer")
    state = _begin(state, model, reference, prompts, config, crew)
    if not isinstance(optimizer, torch.optim.Optimizer):
        optimizer = make_optimizer(model, optimizer or RL_OPTIMIZER)
    with Interrupt() as stop:
        while state.step < config.steps and not state.interrupted:
            now, kl_coef = state.step, float(state.data["kl_coef"])
            found = gather_experience(
                model,
                reference,
                [prompts[i] for i in prompts_of_step(len(prompts), config, now)],
                reward,
                config,
                kl_coef=kl_coef,
                seed=seed_of(config.seed, "draw", now),
                step=now,
                crew=crew,
            )
            seen = _measured(measures or {}, found.drawn, now, crew)
            mix = seed_of(config.seed, "mix", now)
            learned = update(model, optimizer, found, config, seed=mix, crew=crew)
            state.step, state.n_batches = now + 1, state.n_batches + 1
            state.n_tokens += int(found.drawn.mask.sum())
            state.loss = learned["policy_loss"]
            if config.reward.adaptive is not None:
                rule, n = config.reward.adaptive, config.batch_size
                state.data["kl_coef"] = rule.update(kl_coef, found.stats["kl"], n)
            if log is not None:
                told = {"step": state.step, "kl_coef": kl_coef, "n_tokens": state.n_tokens}
                log({**told, **found.stats, **seen, **learned})
            state.interrupted = crew.agree(stop.requested) and state.step < config.steps
            if save is not None and _due(state, config):
                save(model, optimizer, state)
    return state


def update(
    model: ActorCritic,
    optimizer: torch.optim.Optimizer,
    found: Experience,
    config: PPOConfig,
    *,
    seed: int = 0,
    crew: Crew = ALONE,
) -> dict[str, float]:
    """Learn from one step's answers: config.epochs times, minibatch by minibatch.

    Args:
        model: trained in place.
        optimizer: of its parameters.
        found: from gather_experience.
        config: how.
        seed: of the order.
        crew: who does it.

    Returns:
        Means over the updates: loss, policy_loss, value_loss, clip_fraction, approx_kl, ratio,
        value_error, value_clip_fraction, grad_norm (before clipping).

    Raises:
        NotFiniteError: if a gradient is not finite.

    Lesson: notebooks/34b_ppo.ipynb
    """
    generator = torch.Generator().manual_seed(seed)
    told: list[dict[str, float]] = []
    model.eval()  # no dropout: with it the ratio of new and old would not begin at 1
    for _ in range(config.epochs):
        order = torch.randperm(len(found.drawn), generator=generator)
        for chosen in order.to(found.drawn.ids.device).split(config.minibatch_size):
            optimizer.zero_grad()
            told.append(backward(model, found, chosen, config, crew))
            norm = clip_grad_norm(model.named_parameters(), config.max_grad_norm)
            told[-1]["grad_norm"] = float(norm)
            optimizer.step()
    optimizer.zero_grad()
    return {name: sum(one[name] for one in told) / len(told) for name in told[0]}


def backward(
    model: ActorCritic,
    found: Experience,
    chosen: torch.Tensor,
    config: PPOConfig,
    crew: Crew = ALONE,
) -> dict[str, float]:
    """Compute the loss of some rows, and add its gradient to the parameters' .grad.

    Args:
        model: policy and critic.
        found: from gather_experience.
        chosen: the rows, (M,), int64.
        config: how.
        crew: who does it; each process reads its part of the rows.

    Returns:
        What to look at, over all of the rows.
    """
    every, c = found.rows(chosen), config.loss
    part = crew.part(every["mask"], c.average)
    rows = {name: x[part.rows] for name, x in every.items()}
    mask = rows["mask"]
    new = model(rows["ids"], mask, temperature=config.sampling.temperature)
    policy, stats = policy_loss(
        new.logprobs,
        rows["logprobs"],
        rows["advantages"],
        mask,
        clip_range=c.clip_range,
        average=c.average,
    )
    values, more = value_loss(
        new.values,
        rows["values"],
        rows["returns"],
        mask,
        clip_range=c.value_clip,
        average=c.average,
    )
    loss = ppo_loss(policy, values, masked_mean(new.entropy, mask, c.average), c)
    (part.gradient * loss).backward()
    parts = {"loss": loss.item(), "policy_loss": policy.item(), "value_loss": values.item()}
    of_tokens = {name: part.tokens * value for name, value in {**stats, **more}.items()}
    return crew.total({**{name: part.loss * x for name, x in parts.items()}, **of_tokens})


def prompts_of_step(n_prompts: int, config: PPOConfig, step: int) -> list[int]:
    """Say which prompts a step answers: all of them once a round, each round in a new order.

    It depends on seed and step alone, so that a run goes on where it was.

    Args:
        n_prompts: how many there are.
        config: batch_size and seed count.
        step: from 0.

    Returns:
        batch_size indices.
    """
    first = step * config.batch_size
    orders: dict[int, list[int]] = {}
    chosen = []
    for place in range(first, first + config.batch_size):
        turn, nth = divmod(place, n_prompts)
        if turn not in orders:
            generator = torch.Generator().manual_seed(seed_of(config.seed, "order", turn))
            orders[turn] = torch.randperm(n_prompts, generator=generator).tolist()
        chosen.append(orders[turn][nth])
    return chosen


def resume_ppo(
    folder: str | Path, model: ActorCritic, optimizer: torch.optim.Optimizer
) -> TrainState:
    """Put a run back to where its last checkpoint was written.

    Args:
        folder: as given to train.checkpointer.
        model: of the same shape; gets the weights of policy and critic.
        optimizer: with the same groups; gets its state.

    Returns:
        The state, for ppo(state=...), with the price as it was.

    Raises:
        CheckpointError: if there is none, it is broken, or it is not of this kind of run.

    Lesson: notebooks/34b_ppo.ipynb
    """
    return resume(folder, model, optimizer, ())


def seed_of(seed: int, what: str, number: int) -> int:
    """Give one use of randomness in a run a seed of its own, from 0 to 2^63 - 1."""
    digest = hashlib.sha256(f"{seed} {what} {number}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def _begin(
    state: TrainState | None,
    model: ActorCritic,
    reference: nn.Module,
    prompts: Sequence[Sequence[int]],
    config: PPOConfig,
    crew: Crew,
) -> TrainState:
    """Make a state, or check that the one of an earlier session goes with what is given."""
    learning = {id(p) for p in model.parameters() if p.requires_grad}
    if any(id(p) in learning for p in reference.parameters()):
        raise ValueError(
            "the reference shares weights with the model that is trained, so that leaving it would "
            "cost nothing; pass copy.deepcopy(policy), made before the training"
        )
    reference.eval()
    asked = hashlib.sha256(repr([list(prompt) for prompt in prompts]).encode()).hexdigest()[:16]
    marks = {"reference": crew.mark(reference), "prompts": asked}
    if state is None or "reference" not in state.data:
        state = state or TrainState()
        state.data = {"kl_coef": config.reward.kl_coef, **marks}
    remedies = ("load the weights", "give the prompts, in the order")
    for (what, mark), remedy in zip(marks.items(), remedies, strict=True):
        if state.data.get(what, mark) != mark:
            raise ValueError(
                f"this run began with the {what} {state.data[what]}, and is given {mark}: {remedy} "
                "that it began with"
            )
    state.interrupted = False
    return state


def _measured(
    measures: Mapping[str, RewardFunction], drawn: Rollouts, step: int, crew: Crew
) -> dict[str, float]:
    """Give the mean of each measure over the answers."""
    return {
        name: float(check_scores(crew.score(measure, drawn, step), drawn, step).mean())
        for name, measure in measures.items()
    }


def _due(state: TrainState, config: PPOConfig) -> bool:
    last = state.step == config.steps or state.interrupted
    return last or (config.save_every > 0 and state.step % config.save_every == 0)

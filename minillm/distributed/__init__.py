"""The distributed room: one model on many ranks, from send and receive up to full-size runs.

Names are looked up when they are first used, so that one part does not import all others.
"""

from importlib import import_module
from typing import Any

_FILE_OF = {
    "Group": "group",
    "PeerError": "group",
    "Sending": "group",
    "Traffic": "group",
    "run_threads": "threads",
    "run_processes": "processes",
    "RankError": "launch",
    "all_gather": "collectives",
    "all_reduce": "collectives",
    "all_to_all": "collectives",
    "barrier": "collectives",
    "broadcast": "collectives",
    "naive_all_reduce": "collectives",
    "reduce_scatter": "collectives",
    "GradientSync": "data_parallel",
    "sum_gradients": "data_parallel",
    "sum_in_buckets": "data_parallel",
    "target_share": "data_parallel",
    "clock_ways": "ddp_clock",
    "predict_step": "ddp_clock",
    "ddp_tasks": "ddp_time",
    "SlowGroup": "slow",
    "Zero": "zero",
    "state_bytes": "zero",
    "LINKS": "links",
    "Link": "links",
    "SameRun": "same_run",
    "train_together": "same_run",
    "AllRanksError": "ranks",
    "Ranks": "ranks",
    "joined": "ranks",
    "one_message": "ranks",
    "ShardingConfig": "fsdp",
    "make_mesh": "fsdp",
    "shard_decoder": "fsdp",
    "SharedBatches": "exact",
    "loss_across_ranks": "exact",
    "ShardedCheckpointer": "sharded_checkpoint",
    "find_whole": "sealed",
    "load_sharded": "sharded_checkpoint",
    "fit_to_ranks": "trainer",
    "RankTeam": "team",
    "StepClock": "step_clock",
    "train_sharded": "trainer",
    "fsdp_tasks": "step_time",
    "run_tasks": "step_time",
    "best_fit": "fit",
    "check_fits": "fit",
    "FULL_SIZES": "full_size",
    "FullSize": "full_size",
    "find_full_size": "full_size",
    "OffloadedState": "offload",
    "offloaded_activations": "offload",
    "rank_state": "sharded_ledger",
    "recompute_ledger": "recompute_cost",
    "recomputing": "recompute",
    "Layout": "layout",
    "Place": "layout",
    "gpipe": "schedules",
    "one_f_one_b": "schedules",
    "interleaved": "schedules",
    "bubble_share": "schedules",
    "simulate": "timeline",
    "best_stages": "stages",
    "Card": "hardware",
    "Cluster": "hardware",
    "Job": "plan",
    "Plan": "plan",
    "Assumptions": "card_seconds",
    "Space": "search",
    "split_decoder": "tensor_parallel",
    "parallel_loss": "vocabulary_parallel",
    "vocabulary_cross_entropy": "vocabulary_parallel",
    "DecoderStage": "pipeline",
    "run_pipeline": "pipeline",
    "travel_to_experts": "expert_parallel",
}
__all__ = sorted(_FILE_OF)


def __getattr__(name: str) -> Any:
    if name not in _FILE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

"""The train room: optimizer, schedule, precision, checkpoints, and the loop that uses them."""

from minillm.train.checkpoint import (
    Checkpoint,
    CheckpointError,
    find_checkpoint,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from minillm.train.flops import peak_flops, six_nd, utilisation
from minillm.train.loop import train
from minillm.train.memory import MemoryLedger, memory_ledger
from minillm.train.metrics import MetricsFile, read_metrics
from minillm.train.optimizer import AdamW, adamw_step, textbook_step
from minillm.train.optimizers import OptimizerConfig, make_optimizer, parameter_groups
from minillm.train.precision import probe
from minillm.train.resume import checkpointer, resume, warm_start
from minillm.train.schedule import constant_schedule, cosine_schedule, linear_schedule
from minillm.train.settings import RecoveryConfig, TrainConfig, TrainState
from minillm.train.stability import NotFiniteError, clip_grad_norm

__all__ = [
    "AdamW",
    "Checkpoint",
    "CheckpointError",
    "MemoryLedger",
    "MetricsFile",
    "NotFiniteError",
    "OptimizerConfig",
    "RecoveryConfig",
    "TrainConfig",
    "TrainState",
    "adamw_step",
    "checkpointer",
    "clip_grad_norm",
    "constant_schedule",
    "cosine_schedule",
    "find_checkpoint",
    "has_checkpoint",
    "linear_schedule",
    "load_checkpoint",
    "make_optimizer",
    "memory_ledger",
    "parameter_groups",
    "peak_flops",
    "probe",
    "read_metrics",
    "resume",
    "save_checkpoint",
    "six_nd",
    "textbook_step",
    "train",
    "utilisation",
    "warm_start",
]

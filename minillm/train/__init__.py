"""The train room: optimizer, schedule, precision, checkpoints, and the loop that uses them."""

from minillm.train.adafactor import Adafactor
from minillm.train.adagrad import Adagrad
from minillm.train.adam import Adam
from minillm.train.checkpoint import (
    Checkpoint,
    CheckpointError,
    find_checkpoint,
    has_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from minillm.train.flops import peak_flops, utilisation
from minillm.train.ledger import LedgerWarning
from minillm.train.lion import Lion
from minillm.train.loop import train
from minillm.train.loss_scaling import LossScaler
from minillm.train.memory import MemoryLedger, memory_ledger
from minillm.train.metrics import MetricsFile, log_to_all, read_metrics
from minillm.train.muon import Muon
from minillm.train.optimizer import AdamW, adamw_step, textbook_step
from minillm.train.optimizers import OptimizerConfig, make_optimizer, parameter_groups
from minillm.train.precision import probe
from minillm.train.resume import checkpointer, resume, warm_start
from minillm.train.rewind import RewindConfig
from minillm.train.rmsprop import RMSprop
from minillm.train.schedule import constant_schedule, cosine_schedule, linear_schedule
from minillm.train.settings import RecoveryConfig, TrainConfig, TrainState
from minillm.train.sgd import SGD
from minillm.train.spikes import SpikeConfig, SpikeMonitor
from minillm.train.stability import NotFiniteError, clip_grad_norm
from minillm.train.tensorboard import TensorBoardLog
from minillm.train.wsd import inverse_sqrt_schedule, wsd_schedule

__all__ = [
    "SGD",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Checkpoint",
    "CheckpointError",
    "LedgerWarning",
    "Lion",
    "LossScaler",
    "MemoryLedger",
    "MetricsFile",
    "Muon",
    "NotFiniteError",
    "OptimizerConfig",
    "RMSprop",
    "RecoveryConfig",
    "RewindConfig",
    "SpikeConfig",
    "SpikeMonitor",
    "TensorBoardLog",
    "TrainConfig",
    "TrainState",
    "adamw_step",
    "checkpointer",
    "clip_grad_norm",
    "constant_schedule",
    "cosine_schedule",
    "find_checkpoint",
    "has_checkpoint",
    "inverse_sqrt_schedule",
    "linear_schedule",
    "load_checkpoint",
    "log_to_all",
    "make_optimizer",
    "memory_ledger",
    "parameter_groups",
    "peak_flops",
    "probe",
    "read_metrics",
    "resume",
    "save_checkpoint",
    "textbook_step",
    "train",
    "utilisation",
    "warm_start",
    "wsd_schedule",
]

"""The finetune room: from a model that continues texts to one that does what it is asked."""

from minillm.finetune.adalora import (
    RankAllocator,
    RankSchedule,
    SVDLinear,
    add_adalora,
    orthogonality,
)
from minillm.finetune.adapter import Adapter, add_adapters
from minillm.finetune.adapter_files import adapter_file, load_adapter, save_adapter
from minillm.finetune.bitfit import Biased, only_biases
from minillm.finetune.budget import budget_table, count_trained, size_for, training_bytes
from minillm.finetune.chat import (
    CHATML,
    ChatTemplate,
    parse_chat,
    prompt_ids,
    render_chat,
    reply_text,
    shift,
    tokenize_chat,
)
from minillm.finetune.convex import Logistic
from minillm.finetune.coreset import (
    best_k_center,
    coverage,
    embed,
    k_center_greedy,
    mean_pool,
    task_coreset,
    unit_length,
)
from minillm.finetune.corrupt import corrupt_answers
from minillm.finetune.diversity import kmeans, n_covered, pick_central, pick_evenly
from minillm.finetune.dora import DoRALinear
from minillm.finetune.freeze import train_last_blocks, train_only
from minillm.finetune.ia3 import Stretched, add_ia3, merge_ia3
from minillm.finetune.influence import (
    changes_by_retraining,
    example_gradients,
    gradient_scores,
    influence_of_removal,
)
from minillm.finetune.instruct_filter import FilterConfig, why_dropped
from minillm.finetune.instruct_pool import InstructionPool
from minillm.finetune.instruct_settings import PromptConfig, SelfInstructConfig
from minillm.finetune.instruct_tasks import InstructTask, chat_rows, seed_tasks
from minillm.finetune.instruct_toy import ToyGenerator
from minillm.finetune.lima import answer_faults
from minillm.finetune.lora import LoRALinear, apply_lora, lora_layers
from minillm.finetune.low_rank import LowRank
from minillm.finetune.mask_view import MaskView, view_mask
from minillm.finetune.merge import drop_adapters, fold_adapters, merge_adapters, unmerge_adapters
from minillm.finetune.neftune import embedding_noise, neftune
from minillm.finetune.nf4 import NF4, dequantise_nf4, nf4_bits, normal_float_levels, quantise_nf4
from minillm.finetune.parts import count_trainable
from minillm.finetune.perplexity import agreement, answer_losses, correlation, ranks
from minillm.finetune.prefixed import PrefixedDecoder
from minillm.finetune.prompt_sources import Prompted, PromptSource, PromptTemplate, prompted
from minillm.finetune.prompts import (
    EncodedPrefix,
    EncodedPrompt,
    Prefix,
    SoftPrompt,
    add_prefix,
    add_prompt,
    materialise,
)
from minillm.finetune.qlora import NF4Linear, apply_qlora, quantise_model
from minillm.finetune.roles import ChatError, check_messages
from minillm.finetune.rows import BadRow, ChatFile, Row, read_rows, write_rows
from minillm.finetune.selection import Pool, describe, select
from minillm.finetune.self_instruct import SelfInstructRun
from minillm.finetune.sft import answer_loss, chat_loss, fine_tune, target_weights
from minillm.finetune.spectrum import (
    effective_rank,
    overlap,
    rank_for_share,
    truncated,
    updates,
)
from minillm.finetune.stop import StopCurve, mean_by_distance, stop_curve, stop_probability
from minillm.finetune.story_sources import story_examples
from minillm.finetune.switch import (
    activate,
    adapter_names,
    adapter_parameters,
    by_row,
    remove_adapter,
    using,
)
from minillm.finetune.talks import ChatBatches, Example, encode_talk
from minillm.finetune.targets import find_targets
from minillm.finetune.tasks import Task, doctest_tasks, story_tasks
from minillm.finetune.token_rows import TokenRows, learn_rows
from minillm.finetune.turn_losses import losses_by_answer, token_weights, weighted_loss
from minillm.finetune.turn_noise import TurnNoise, turn_noise
from minillm.finetune.turns import TurnCosts, answer_weights, count_samples, inflation, turn_samples

__all__ = [
    "CHATML",
    "NF4",
    "Adapter",
    "BadRow",
    "Biased",
    "ChatBatches",
    "ChatError",
    "ChatFile",
    "ChatTemplate",
    "DoRALinear",
    "EncodedPrefix",
    "EncodedPrompt",
    "Example",
    "FilterConfig",
    "InstructTask",
    "InstructionPool",
    "LoRALinear",
    "Logistic",
    "LowRank",
    "MaskView",
    "NF4Linear",
    "Pool",
    "Prefix",
    "PrefixedDecoder",
    "PromptConfig",
    "PromptSource",
    "PromptTemplate",
    "Prompted",
    "RankAllocator",
    "RankSchedule",
    "Row",
    "SVDLinear",
    "SelfInstructConfig",
    "SelfInstructRun",
    "SoftPrompt",
    "StopCurve",
    "Stretched",
    "Task",
    "TokenRows",
    "ToyGenerator",
    "TurnCosts",
    "TurnNoise",
    "activate",
    "adapter_file",
    "adapter_names",
    "adapter_parameters",
    "add_adalora",
    "add_adapters",
    "add_ia3",
    "add_prefix",
    "add_prompt",
    "agreement",
    "answer_faults",
    "answer_loss",
    "answer_losses",
    "answer_weights",
    "apply_lora",
    "apply_qlora",
    "best_k_center",
    "budget_table",
    "by_row",
    "changes_by_retraining",
    "chat_loss",
    "chat_rows",
    "check_messages",
    "correlation",
    "corrupt_answers",
    "count_samples",
    "count_trainable",
    "count_trained",
    "coverage",
    "dequantise_nf4",
    "describe",
    "doctest_tasks",
    "drop_adapters",
    "effective_rank",
    "embed",
    "embedding_noise",
    "encode_talk",
    "example_gradients",
    "find_targets",
    "fine_tune",
    "fold_adapters",
    "gradient_scores",
    "inflation",
    "influence_of_removal",
    "k_center_greedy",
    "kmeans",
    "learn_rows",
    "load_adapter",
    "lora_layers",
    "losses_by_answer",
    "materialise",
    "mean_by_distance",
    "mean_pool",
    "merge_adapters",
    "merge_ia3",
    "n_covered",
    "neftune",
    "nf4_bits",
    "normal_float_levels",
    "only_biases",
    "orthogonality",
    "overlap",
    "parse_chat",
    "pick_central",
    "pick_evenly",
    "prompt_ids",
    "prompted",
    "quantise_model",
    "quantise_nf4",
    "rank_for_share",
    "ranks",
    "read_rows",
    "remove_adapter",
    "render_chat",
    "reply_text",
    "save_adapter",
    "seed_tasks",
    "select",
    "shift",
    "size_for",
    "stop_curve",
    "stop_probability",
    "story_examples",
    "story_tasks",
    "target_weights",
    "task_coreset",
    "token_weights",
    "tokenize_chat",
    "train_last_blocks",
    "train_only",
    "training_bytes",
    "truncated",
    "turn_noise",
    "turn_samples",
    "unit_length",
    "unmerge_adapters",
    "updates",
    "using",
    "view_mask",
    "weighted_loss",
    "why_dropped",
    "write_rows",
]

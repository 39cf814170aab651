"""The align room: from a model that answers to one that answers as people prefer.

Over 300 lines, because it hands on the names of some forty files, one a line. The ladder: pairs and
rewards (`preferences` to `length_bias`, lesson 33), policy gradients and PPO (`enumeration` to
`ppo`, lesson 34), what goes beyond (`best_of_n` to `over_optimisation`, lesson 35);
`answer_logprobs` is read by all.
"""

from minillm.align.annotators import (
    Annotator,
    Labels,
    annotate,
    choice_probability,
    gumbel_choice,
)
from minillm.align.answer_logprobs import (
    EncodedPair,
    encode_pair,
    lay_pairs,
    pair_sums,
    response_logprobs,
    response_logprobs_and_entropy,
    target_logprobs,
)
from minillm.align.bandit import (
    Bandit,
    BanditConfig,
    BanditRun,
    play_bandit,
    random_bandit,
)
from minillm.align.best_of_n import (
    best_of_n_distribution,
    best_of_n_kl,
    best_of_n_kl_bound,
    estimate_best_of_n,
    expected_max_normal,
    pick_best,
)
from minillm.align.bradley_terry import (
    count_wins,
    fit_utilities,
    kendall_tau,
)
from minillm.align.calibration import (
    accuracy_by_rating,
    best_accuracy,
    calibration_error,
    expected_by_chance,
    fit_scale,
    gaps_of,
    preference_accuracy,
    reliability,
)
from minillm.align.direct import (
    ipo_loss,
    kto_loss,
    kto_reference_point,
    log_odds,
    orpo_loss,
    simpo_loss,
)
from minillm.align.direct_training import (
    DirectConfig,
    direct_loss,
    pair_stats,
    prefer,
    reference_of,
)
from minillm.align.dpo import (
    DPOStats,
    dpo_gradient,
    dpo_loss,
    dpo_stats,
    implicit_reward,
    preference_logits,
)
from minillm.align.drift import (
    DriftError,
    check_drift,
)
from minillm.align.enumeration import (
    answer_probabilities,
    every_answer,
    exact_objective,
    flat_gradient,
    lay_answers,
)
from minillm.align.experience import (
    Experience,
    RewardError,
    RewardFunction,
    gather_experience,
)
from minillm.align.gae import (
    gae,
    gae_of_row,
    gae_weights,
    td_errors,
)
from minillm.align.grpo import (
    clipped_share,
    group_advantages,
    grpo_loss,
    task_rewards,
)
from minillm.align.grpo_training import (
    GRPOConfig,
    GRPOLossConfig,
    train_grpo,
)
from minillm.align.kl import (
    AdaptiveKL,
    exact_kl,
    k1,
    k2,
    k3,
    kl_rewards,
)
from minillm.align.length_bias import (
    balance,
    length_correlation,
    length_effect,
    longer_wins,
    regress_out,
)
from minillm.align.linear_reward import (
    fit_linear_reward,
    linear_loss,
)
from minillm.align.optimum import (
    expected_dpo_loss,
    kl_objective,
    log_partition,
    optimal_policy,
    preference_matrix,
)
from minillm.align.over_optimisation import (
    CurvePoint,
    Fall,
    GoldFit,
    best_of_n_curve,
    fall,
    fit_gold,
)
from minillm.align.pair_batches import (
    PairBatches,
    mismatched,
)
from minillm.align.pair_files import (
    PairFile,
    read_pair_folder,
    read_pairs,
    write_pairs,
)
from minillm.align.pair_forms import (
    from_hh,
    from_trl,
)
from minillm.align.policy_gradient import (
    best_baseline,
    leave_one_out,
    reinforce_loss,
    rewards_to_go,
    sample_gradients,
)
from minillm.align.ppo import (
    ppo,
    resume_ppo,
)
from minillm.align.ppo_loss import (
    LossConfig,
    policy_loss,
    ppo_loss,
    value_loss,
)
from minillm.align.ppo_settings import (
    PPOConfig,
    RewardConfig,
    SamplingConfig,
)
from minillm.align.preferences import (
    Pair,
)
from minillm.align.ranking import (
    MARGINS,
    margins_of,
    preference_probability,
    ranked_loss,
    reward_loss,
    reward_loss_gradient,
)
from minillm.align.rejection import (
    Kept,
    RejectionReport,
    Sample,
    keep_best,
    kept_talk,
    sample_answers,
    scores_of,
)
from minillm.align.rejection_rounds import (
    RejectionConfig,
    rejection_run,
)
from minillm.align.reward import (
    RewardModel,
    check_rewards,
    lengths_of,
    load_reward,
    save_reward,
    score_rows,
    score_texts,
)
from minillm.align.reward_training import (
    RewardBatches,
    encode_pairs,
    pair_rewards,
    reward_objective,
    train_reward,
)
from minillm.align.rollouts import (
    Rollouts,
    rollout,
)
from minillm.align.story_answers import (
    HELPFUL,
    SAFE,
    Traits,
    Weights,
    judge,
    make_secret,
    write_variant,
)
from minillm.align.story_pairs import (
    StoryPair,
    features_of,
    make_story_pairs,
    preferences_of,
    utilities_of,
)
from minillm.align.two_rewards import (
    combine_rewards,
    conflict_ceiling,
)
from minillm.align.value import (
    ActorCritic,
)
from minillm.align.whiten import (
    masked_mean,
    whiten,
)

__all__ = [
    "HELPFUL",
    "MARGINS",
    "SAFE",
    "ActorCritic",
    "AdaptiveKL",
    "Annotator",
    "Bandit",
    "BanditConfig",
    "BanditRun",
    "CurvePoint",
    "DPOStats",
    "DirectConfig",
    "DriftError",
    "EncodedPair",
    "Experience",
    "Fall",
    "GRPOConfig",
    "GRPOLossConfig",
    "GoldFit",
    "Kept",
    "Labels",
    "LossConfig",
    "PPOConfig",
    "Pair",
    "PairBatches",
    "PairFile",
    "RejectionConfig",
    "RejectionReport",
    "RewardBatches",
    "RewardConfig",
    "RewardError",
    "RewardFunction",
    "RewardModel",
    "Rollouts",
    "Sample",
    "SamplingConfig",
    "StoryPair",
    "Traits",
    "Weights",
    "accuracy_by_rating",
    "annotate",
    "answer_probabilities",
    "balance",
    "best_accuracy",
    "best_baseline",
    "best_of_n_curve",
    "best_of_n_distribution",
    "best_of_n_kl",
    "best_of_n_kl_bound",
    "calibration_error",
    "check_drift",
    "check_rewards",
    "choice_probability",
    "clipped_share",
    "combine_rewards",
    "conflict_ceiling",
    "count_wins",
    "direct_loss",
    "dpo_gradient",
    "dpo_loss",
    "dpo_stats",
    "encode_pair",
    "encode_pairs",
    "estimate_best_of_n",
    "every_answer",
    "exact_kl",
    "exact_objective",
    "expected_by_chance",
    "expected_dpo_loss",
    "expected_max_normal",
    "fall",
    "features_of",
    "fit_gold",
    "fit_linear_reward",
    "fit_scale",
    "fit_utilities",
    "flat_gradient",
    "from_hh",
    "from_trl",
    "gae",
    "gae_of_row",
    "gae_weights",
    "gaps_of",
    "gather_experience",
    "group_advantages",
    "grpo_loss",
    "gumbel_choice",
    "implicit_reward",
    "ipo_loss",
    "judge",
    "k1",
    "k2",
    "k3",
    "keep_best",
    "kendall_tau",
    "kept_talk",
    "kl_objective",
    "kl_rewards",
    "kto_loss",
    "kto_reference_point",
    "lay_answers",
    "lay_pairs",
    "leave_one_out",
    "length_correlation",
    "length_effect",
    "lengths_of",
    "linear_loss",
    "load_reward",
    "log_odds",
    "log_partition",
    "longer_wins",
    "make_secret",
    "make_story_pairs",
    "margins_of",
    "masked_mean",
    "mismatched",
    "optimal_policy",
    "orpo_loss",
    "pair_rewards",
    "pair_stats",
    "pair_sums",
    "pick_best",
    "play_bandit",
    "policy_loss",
    "ppo",
    "ppo_loss",
    "prefer",
    "preference_accuracy",
    "preference_logits",
    "preference_matrix",
    "preference_probability",
    "preferences_of",
    "random_bandit",
    "ranked_loss",
    "read_pair_folder",
    "read_pairs",
    "reference_of",
    "regress_out",
    "reinforce_loss",
    "rejection_run",
    "reliability",
    "response_logprobs",
    "response_logprobs_and_entropy",
    "resume_ppo",
    "reward_loss",
    "reward_loss_gradient",
    "reward_objective",
    "rewards_to_go",
    "rollout",
    "sample_answers",
    "sample_gradients",
    "save_reward",
    "score_rows",
    "score_texts",
    "scores_of",
    "simpo_loss",
    "target_logprobs",
    "task_rewards",
    "td_errors",
    "train_grpo",
    "train_reward",
    "utilities_of",
    "value_loss",
    "whiten",
    "write_pairs",
    "write_variant",
]

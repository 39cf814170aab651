"""The scaling room: what loss a model will reach before it is trained, and how to spend a budget.

Names are looked up when they are first used: `import minillm.scaling` loads no numpy.
"""

from importlib import import_module

_FILE_OF = {
    "fit_power_law": "powerlaw",
    "fit_saturating": "powerlaw",
    "PowerLawFit": "powerlaw",
    "SaturatingFit": "powerlaw",
    "PF_DAY": "kaplan",
    "PowerLaw": "kaplan",
    "KAPLAN_N": "kaplan",
    "KAPLAN_D": "kaplan",
    "KAPLAN_C": "kaplan",
    "KAPLAN_C_MIN": "kaplan",
    "KAPLAN_ND": "kaplan",
    "KAPLAN_NS": "kaplan",
    "KAPLAN_BATCH": "kaplan",
    "KAPLAN_ALLOCATION": "kaplan",
    "KaplanJoint": "kaplan",
    "KaplanSteps": "kaplan",
    "CriticalBatch": "kaplan",
    "Allocation": "kaplan",
    "allocation_exponents": "kaplan",
    "kaplan_optimum": "kaplan",
    "minimum_steps": "kaplan",
    "minimum_compute": "kaplan",
    "DecoderShape": "flops",
    "kaplan_parameters": "flops",
    "non_embedding": "flops",
    "embedding": "flops",
    "total_parameters": "flops",
    "kaplan_flops_per_token": "flops",
    "exact_flops_per_token": "flops",
    "six_nd": "flops",
    "Optimum": "chinchilla",
    "ChinchillaLaw": "chinchilla",
    "HOFFMANN": "chinchilla",
    "HOFFMANN_TEX": "chinchilla",
    "BESIROGLU": "chinchilla",
    "MUENNIGHOFF": "chinchilla",
    "LAWS": "chinchilla",
    "APPROACHES": "chinchilla",
    "fit_parametric": "parametric",
    "bootstrap_parametric": "parametric",
    "hoffmann_starts": "parametric",
    "ParametricFit": "parametric",
    "FrontierFit": "frontier",
    "Parabola": "frontier",
    "fit_parabola": "frontier",
    "fit_isoflop": "frontier",
    "Curve": "frontier",
    "envelope": "frontier",
    "fit_envelope": "frontier",
    "Bootstrap": "resample",
    "bootstrap": "resample",
    "effective_amount": "repetition",
    "RepetitionLaw": "repetition",
    "RepetitionFit": "repetition",
    "fit_repetition": "repetition",
    "without_repetition": "repetition",
    "MUENNIGHOFF_REPEATED": "repetition",
    "ARTICLE_ROWS": "budget",
    "check_rows": "budget",
    "grow": "budget",
    "plan_budget": "budget",
    "cheapest_training": "budget",
    "serving_plan": "budget",
    "ServingPlan": "budget",
    "break_even": "budget",
    "minimise": "lbfgs",
    "huber": "robust",
}

__all__ = list(_FILE_OF)


def __getattr__(name: str) -> object:
    if name not in _FILE_OF:
        raise AttributeError(f"module 'minillm.scaling' has no attribute {name!r}")
    return getattr(import_module(f"minillm.scaling.{_FILE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)

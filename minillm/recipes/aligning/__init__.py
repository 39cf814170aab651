"""`python -m minillm align`: a reward model from preferences, and models that answer as preferred.

The ladder: `config` (what a run is), `named` (reward, ppo, dpo, rejection), `material` (pairs and
prompts), `opening` (what it starts from, and what came of it), `scorers` (who says how good an
answer is), `pair_runs` (reward, dpo), `draw_runs` (ppo, rejection), `execution` (one process),
`dealt_pairs`, `sharded_draws` and `sharded` (many).
"""

from minillm.recipes.aligning.config import AlignRun, MaterialConfig, PPOSettings
from minillm.recipes.aligning.execution import execute_align
from minillm.recipes.aligning.named import ALIGNS, find_align
from minillm.recipes.aligning.opening import open_aligned, open_reward

__all__ = [
    "ALIGNS",
    "AlignRun",
    "MaterialConfig",
    "PPOSettings",
    "execute_align",
    "find_align",
    "open_aligned",
    "open_reward",
]

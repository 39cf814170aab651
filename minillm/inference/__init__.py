"""The inference room: from logits to text.

The ladder, simplest first: `sampling` (the distribution and the draw), `truncation`, `penalties`,
`rules` (how penalties and grammars are called), `prompts`, `readers` (with and without a cache),
`continuation` (generate, stream), `rows`, `beam`, `contrastive`, `drafts`, `speculative`,
`grammar_notation`, `grammar`, `grammar_rule`.
"""

from minillm.inference.beam import Hypothesis, beam_search
from minillm.inference.continuation import generate, stream
from minillm.inference.contrastive import contrastive_scores, contrastive_search
from minillm.inference.drafts import Draft, ModelDraft, NgramDraft
from minillm.inference.grammar import JSON, Grammar
from minillm.inference.grammar_notation import one_of
from minillm.inference.grammar_rule import GrammarRule
from minillm.inference.penalties import (
    no_repeat_ngram,
    presence_frequency_penalty,
    repetition_penalty,
)
from minillm.inference.prompts import check_prompt, one_prompt
from minillm.inference.rules import Rule, apply_rules
from minillm.inference.sampling import filtered_probabilities, sample_next
from minillm.inference.speculative import (
    Speculation,
    acceptance,
    expected_tokens,
    residual,
    speculative_generate,
    verify,
)
from minillm.inference.truncation import min_p, typical

__all__ = [
    "JSON",
    "Draft",
    "Grammar",
    "GrammarRule",
    "Hypothesis",
    "ModelDraft",
    "NgramDraft",
    "Rule",
    "Speculation",
    "acceptance",
    "apply_rules",
    "beam_search",
    "check_prompt",
    "contrastive_scores",
    "contrastive_search",
    "expected_tokens",
    "filtered_probabilities",
    "generate",
    "min_p",
    "no_repeat_ngram",
    "one_of",
    "one_prompt",
    "presence_frequency_penalty",
    "repetition_penalty",
    "residual",
    "sample_next",
    "speculative_generate",
    "stream",
    "typical",
    "verify",
]

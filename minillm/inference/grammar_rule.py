"""A grammar as a rule for generate: after each token, only what the grammar allows.

The vocabulary is laid out as a tree of bytes, and walked together with the grammar: a branch that
the grammar does not follow is left with all its tokens.

Shape letters: B batch, T ids so far, V vocabulary.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from minillm.inference.grammar import Grammar, State
from minillm.tokenizer import Tokenizer


@dataclass
class _Branch:
    """The tokens that end here, and where each further byte leads."""

    ids: list[int] = field(default_factory=list)
    next: dict[int, "_Branch"] = field(default_factory=dict)


class GrammarRule:
    """Forbid every token after which the text could no longer become one of the grammar.

    Args:
        grammar: a Grammar, or its text. What follows the prompt must be one of its texts.
        vocabulary: a Tokenizer, or the bytes of each ordinary token by its id. Special tokens
            spell nothing, so they are never admitted.
        prompt_length: T of the prompt; the grammar knows nothing of it.
        stop_ids: admitted where the text may end, and only there; at least one. Pass them to
            generate, too.

    Raises:
        ValueError: if stop_ids are empty or spell something, or no token can begin a text of the
            grammar; as Grammar.

    Cost: for each new state of the grammar a walk over the part of the vocabulary that it follows
        (a mask of V is kept for each state); else a look-up.
    Source: Willard and Louf 2023, arXiv:2307.09702, masks for each state of an automaton.
    Lesson: notebooks/19_decoding.ipynb
    """

    def __init__(
        self,
        grammar: Grammar | str,
        vocabulary: Tokenizer | Mapping[int, bytes],
        *,
        prompt_length: int,
        stop_ids: Collection[int],
    ) -> None:
        self.grammar = Grammar(grammar) if isinstance(grammar, str) else grammar
        if isinstance(vocabulary, Tokenizer):
            vocabulary = {i: data for data, i in vocabulary.ordinary.items()}
        self.vocabulary, self.stops = dict(vocabulary), sorted(stop_ids)
        self.prompt_length = prompt_length
        if not self.stops:
            raise ValueError("stop_ids are needed: without one the text could never end")
        if spelled := [i for i in self.stops if i in self.vocabulary]:
            raise ValueError(f"the stop ids {spelled} are ordinary tokens; take special ones")
        self._tree = _tree(self.vocabulary)
        self._allowed: dict[State, list[int]] = {}
        self._states: dict[tuple[int, ...], State] = {}  # of the texts of the last call
        self.allowed(self.grammar.start)

    def __call__(self, text: Tensor, logits: Tensor) -> Tensor:
        """Put minus infinity on what may not follow: see Rule.

        Raises:
            ValueError: if a text is not the beginning of one of the grammar, or the vocabulary
                cannot spell what must come now.
        """
        rows = [tuple(row) for row in text[:, self.prompt_length :].tolist()]
        states = {row: self._state(row) for row in rows}
        self._states = states
        changed = torch.full_like(logits, -math.inf)
        for n, row in enumerate(rows):
            ids = self.allowed(states[row])
            changed[n, ids] = logits[n, ids]
        return changed

    def allowed(self, state: State) -> list[int]:
        """The ids that may come in a state of the grammar, stop ids included.

        Raises:
            ValueError: if there is none.
        """
        if state not in self._allowed:
            ids = self._walk(state) + (self.stops if self.grammar.may_end(state) else [])
            if not ids:
                raise ValueError(
                    "no token of the vocabulary spells what the grammar asks for; give the "
                    "vocabulary the missing bytes, or change the grammar"
                )
            self._allowed[state] = sorted(ids)
        return self._allowed[state]

    def _walk(self, state: State) -> list[int]:
        """All tokens whose bytes the grammar follows from a state."""
        ids: list[int] = []
        ahead = [(self._tree, state)]
        while ahead:
            branch, state = ahead.pop()
            ids += branch.ids
            for byte, further in branch.next.items():
                if after := self.grammar.advance(state, bytes((byte,))):
                    ahead.append((further, after))
        return ids

    def _state(self, ids: tuple[int, ...]) -> State:
        """The state after these tokens, continued from that of the call before where it can be."""
        start = len(ids) - 1 if ids[:-1] in self._states else 0
        state = self._states[ids[:-1]] if start > 0 else self.grammar.start
        for token in ids[start:]:
            state = self.grammar.advance(state, self.vocabulary.get(token, b"\xff"))
            if not state:
                raise ValueError(
                    f"the tokens {list(ids)} behind the prompt of {self.prompt_length} do not "
                    "begin a text of the grammar"
                )
        return state


def _tree(vocabulary: Mapping[int, bytes]) -> _Branch:
    """The vocabulary by its bytes; empty tokens are left out."""
    root = _Branch()
    for token, data in vocabulary.items():
        branch = root
        for byte in data:
            branch = branch.next.setdefault(byte, _Branch())
        if data:
            branch.ids.append(token)
    return root

"""Planted bugs of alignment on many ranks: (file, exact old text, new text, wrong, tests)."""

ROOM = "minillm"
TESTS = "tests"

PPO = "align/test_ppo_ranks.py"
RUNS = "recipes/test_aligning_ranks.py"

BUGS = [
    (
        "align/ppo_ranks.py",
        "gradient=self.ranks.size * share)",
        "gradient=1.0)",
        "the gradients of the ranks are averaged, not weighed",
        PPO,
    ),
    (
        "align/ppo_ranks.py",
        "share = n_counted(mask[rows], average) / n_counted(mask, average)",
        "share = n_counted(mask[rows]) / n_counted(mask)",
        "every loss is weighed by tokens, whatever it is averaged over",
        PPO,
    ),
    (
        "align/ppo_ranks.py",
        '"first_row": mine.start}',
        '"first_row": 0}',
        "each rank draws with the random numbers of the first rows",
        PPO,
    ),
    (
        "align/ppo_ranks.py",
        "            gather_rows(found.mask),",
        "            gather_rows(found.mask.flip(0)),",
        "masks of other answers",
        PPO,
    ),
    (
        "align/ppo_ranks.py",
        "x = F.pad(x, (0, T - x.shape[1]), value=fill)",
        "x = F.pad(x, (T - x.shape[1], 0), value=fill)",
        "shorter rows are filled up on the left",
        PPO,
    ),
    (
        "align/ppo_ranks.py",
        "return torch.cat(found).to(x.dtype)",
        "return torch.cat(found[::-1]).to(x.dtype)",
        "the rows of the last rank come first",
        PPO,
    ),
    (
        "align/ppo_ranks.py",
        "sum(column) for name, column",
        "sum(column) / len(column) for name, column",
        "shares of statistics are averaged where they must be added",
        PPO,
    ),
    (
        "align/ppo_ranks.py",
        'self.shell.to("meta")  # let',
        "pass  # let",
        "every rank keeps a whole copy of the policy",
        PPO,
    ),
    (
        "align/ppo_ranks.py",
        "judge = partial(_reference_logprobs, temperature=temperature)",
        "judge = partial(_reference_logprobs, temperature=1.0)",
        "the reference is read at another temperature",
        PPO,
    ),
    (
        "align/experience.py",
        "        advantages=whiten(advantages, mask),",
        "        advantages=torch.cat([\n"
        "            whiten(advantages[(p := crew.part(mask, 'rows')).rows], mask[p.rows])\n"
        "        ] * (2 if p.loss < 1 else 1)),",
        "advantages are whitened rank by rank",
        PPO,
    ),
    (
        "align/rejection_ranks.py",
        '"first_task": first}',
        '"first_task": 0}',
        "each rank draws with the random numbers of the first prompts",
        RUNS + "::test_two_ranks_train_as_one",
    ),
    (
        "align/rejection_ranks.py",
        "                    param.copy_(weights[name])",
        "                    pass",
        "the next round draws from what the ranks have not learned",
        RUNS + "::test_one_rank_gives_the_numbers_of_one_process",
    ),
    (
        "recipes/aligning/sharded.py",
        "sum(mean for (mean,) in means) / len(means)",
        "means[torch.distributed.get_rank()][0]",
        "each rank has a reference point of its own",
        RUNS + "::test_the_reference_point_of_kto_is_that_of_all_ranks",
    ),
    (
        "recipes/aligning/sharded.py",
        "mix = partial(mismatched, pad=pad) if is_kto(run) else None",
        "mix = None",
        "kto mixes the answers of its own rows only",
        RUNS + "::test_two_ranks_train_as_one",
    ),
    (
        "recipes/aligning/dealt_pairs.py",
        "return rows, y.repeat_interleave(2, dim=0)",
        "return rows, torch.cat([y, y])",
        "pairs get the lengths and margins of others",
        RUNS + "::test_pairs_are_dealt_out_whole",
    ),
    (
        "recipes/aligning/sharded_draws.py",
        'say(f"going on from {place}")',
        "state = TrainState()",
        "a run that goes on begins to count anew",
        RUNS + "::test_the_same_command_goes_on_by_itself",
    ),
]

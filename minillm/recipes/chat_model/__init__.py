"""The model `chat`: how it is made, what it is worth, and how it is opened.

    small talk, worlds -> talks -> SFT -> own answers -> pairs -> reward model
                                    |-> dpo, rejection, grpo, ppo: the best one is shipped

The ladder: `worlds` (stories in three parts), `wording` (what is said besides stories), `talks`
(what SFT learns), `exam` (tasks that measure), `gold` (what an answer is worth), `settings` (every
number of the recipe), `answers` and `own_reward` (what the model says itself), `stages` and
`making` (the runs, each of which can be killed), `measuring`, `card`, `shipping`, `publishing`,
`terminal`.
"""

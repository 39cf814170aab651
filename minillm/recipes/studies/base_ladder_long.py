"""Two longer rungs of `base_ladder`, for sizes that a million tokens leave without enough steps.

At a million tokens the loss of the ladder does not fall with the size of the model: the larger one
is still learning what the smaller one has learned already. Four million tokens are a matter of
minutes for the middle shape and of half an hour for that of `small`, so they are a study apart.
"""

from minillm.recipes.records import Job
from minillm.recipes.studies.base_ladder import run

JOB = Job(
    name="base_ladder_long",
    title="The pretraining recipe at two sizes for four million tokens: which loss, nats a token?",
    lesson="27",
    arms={f"{shape}_4.0M": {"shape": shape, "million_tokens": 4.0} for shape in ("d128", "d192")},
    run=run,
    seeds=(1,),
)

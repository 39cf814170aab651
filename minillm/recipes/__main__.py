"""Make again what the course ships: `python -m minillm.recipes`, and what of it."""

import sys

USAGE = """usage: python -m minillm.recipes WHAT, where WHAT is
  base-tiny                   train draft and tiny again
  base [--name small|medium]  train a base model of lesson 27, or go on with it, and publish it
  chat                        make chat from the better base, or go on with it, and publish it
  predict NAME                write the loss that is expected of it, before the run
  measure NAME                stories and bits per byte of a shipped model, into data/results/base
  bands                       make the bands of the lessons' curves
  records [STUDY ... | all]   make what is missing of the studies"""


def records(names: list[str]) -> None:
    """Make what is missing of some studies; without names say of each how it stands."""
    from minillm.recipes.records import find_job, jobs, missing, record

    chosen = jobs() if names in ([], ["all"]) else {name: find_job(name) for name in names}
    for name, job in chosen.items():
        n_runs, n_missing = len(job.arms) * len(job.seeds), len(missing(job))
        print(f"{name}: {n_runs - n_missing} of {n_runs} runs recorded; {job.title}", flush=True)
        if names:
            record(job)


def _name(arguments: list[str]) -> str:
    """The name behind --name; small where nothing is said."""
    if not arguments:
        return "small"
    if len(arguments) == 2 and arguments[0] == "--name":
        return arguments[1]
    raise ValueError(f"did not understand {' '.join(arguments)!r}; write base --name small")


def main(arguments: list[str]) -> None:
    """Do the one thing that is asked for."""
    if arguments == ["base-tiny"]:
        from minillm.recipes.publish import make_base_tiny

        make_base_tiny()
    elif arguments == ["bands"]:
        from minillm.recipes.bands import make_adamw_band, make_tour_band

        print(make_tour_band())
        print(make_adamw_band())
    elif arguments[:1] == ["base"]:
        from minillm.recipes.base_models import make_base

        print(make_base(_name(arguments[1:])))
    elif arguments == ["chat"]:
        from minillm.recipes.chat_model.publishing import make_chat

        print(make_chat())
    elif arguments[:1] == ["predict"] and len(arguments) == 2:
        from minillm.recipes.base_prediction import write_prediction

        print(write_prediction(arguments[1]))
    elif arguments[:1] == ["measure"] and len(arguments) == 2:
        from minillm.recipes.base_models import measure_base

        print(measure_base(arguments[1]))
    elif arguments[:1] == ["records"]:
        records(arguments[1:])
    else:
        sys.exit(USAGE)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"minillm: {error}")
    except KeyboardInterrupt:
        sys.exit("minillm: stopped; the same command goes on from here")

"""Make again what the course ships: `python -m minillm.recipes base-tiny`, `bands` or `records`."""

import sys

USAGE = "usage: python -m minillm.recipes base-tiny | bands | records [STUDY ... | all]"


def records(names: list[str]) -> None:
    """Make what is missing of some studies; without names say of each how it stands."""
    from minillm.recipes.records import find_job, jobs, missing, record

    chosen = jobs() if names in ([], ["all"]) else {name: find_job(name) for name in names}
    for name, job in chosen.items():
        n_runs, n_missing = len(job.arms) * len(job.seeds), len(missing(job))
        print(f"{name}: {n_runs - n_missing} of {n_runs} runs recorded; {job.title}", flush=True)
        if names:
            record(job)


def main(arguments: list[str]) -> None:
    """Do the one thing that is asked for."""
    if arguments == ["base-tiny"]:
        from minillm.recipes.publish import make_base_tiny

        make_base_tiny()
    elif arguments == ["bands"]:
        from minillm.recipes.bands import make_tour_band

        print(make_tour_band())
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

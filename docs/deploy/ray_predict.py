"""Answers for many films, on all machines of a Ray cluster: python ray_predict.py RUN FILMS OUT.

FILMS is a folder or an address such as s3://bucket/films; OUT gets CSV files with the columns of predict --csv.
RUN must lie where every machine finds it under this name.
"""

import sys

import ray

from pneumocli import FilmScorer

run, films, out = sys.argv[1:]
scorer = FilmScorer(run, threads=1)


def answers(batch: dict[str, list]) -> dict[str, list]:
    rows = scorer(batch["bytes"], batch["path"])
    return {name: [row[name] for row in rows] for name in scorer.columns}


contents = ray.data.read_binary_files(films, include_paths=True)
contents.map_batches(answers, batch_size=64).write_csv(out)

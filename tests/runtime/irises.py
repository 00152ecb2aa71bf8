"""A file that trains on the irises of scikit-learn in a moment, for tests of what is done with a run.

In: the train section.  Out: the text of the file.

    Path("iris.dln").write_text(iris_file("optimizer adam(rate = 0.02)", "epochs 12"))
"""

from __future__ import annotations


def iris_file(
    *train: str, hidden: int | str = 8, split: str = "60% train, 20% validation, 20% test", param: str = ""
) -> str:
    """`train`: the lines of the train section.  `hidden`: how many units, a number or the `param`."""
    lines = [
        "network iris",
        f"param  {param}" if param else "",
        "input  x[4]",
        "input  label: class[3]",
        f"layer  hidden[{hidden}] = tanh(dense(x))",
        "layer  score[3]  = dense(hidden)",
        "loss   cross_entropy(score, label)",
        "metric accuracy(score, label)",
        "data {",
        "  from  sklearn.iris",
        "  x     = data / 8",
        "  label = target",
        f"  split {split}",
        "}",
        "train {",
        *(f"  {line}" for line in train),
        "}",
    ]
    return "\n".join([*filter(None, lines), ""])

"""Several trainings of one file: folds, ensembles, searches.

In: a .dln file and how its settings vary.  Out: a run folder for every training, and a table over all of them.

Read in this order:
    jobs                   one training in a process of its own; many of them, on all cores
    folds                  cross-validation: `dln train FILE --folds 5`
    averaging              predictions of several networks, averaged, and the figures that follow from them
    ensemble               `dln ensemble FILE`: members from other seeds, or from resampled data
    ranges, methods        the search section, and which values to try next
    search, trials         `dln search FILE`: trials in a folder that several processes share; their table and picture
"""

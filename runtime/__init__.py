"""Running and training compiled networks, and the command line.

In: what the compiler makes of a .dln file.  Out: arrays, trained weights, run folders.

Read in this order:
    program, loading                      `Network`: what `dln.load` returns; everything below serves it
    arrays, errors, codes                 what comes from Python, checked
    memory, initialize, given_weights     one block of memory, live views, first values
    execution, gathered_execution         native calls over samples; minibatches that are computed part by part
    executions                            further compilations, for other minibatches
    step_execution, generation            recurrent networks carried on from step to step; text, token by token
    batch_coupling                        which figures may be put together from several minibatches
    data/                                 the data section
    training/                             the train section and the loop over epochs
    studies/                              several trainings: folds, ensembles, search
    diagnosis/                            what went on inside: activations and gradients, replayed; where a NaN arose
    checkpoint, run_folder                what a training leaves on the disk
    source_edits, resolved_source, run    the source with what was changed in it; all of one run
    progress, live_view, report/          what a person sees of it
    file_check                            a file without running it
    random_samples, gradient_check        samples where no data are needed; derived against numeric gradients
    step_timing                           how long a step takes, call by call
    command_options, command_line, commands/          the command `dln`, one module a subcommand; options that they share
"""

"""Running and training compiled networks, and the command line.

In: what the compiler makes of a .dln file.  Out: arrays, trained weights, run folders.

Read in this order:
    program                               `Network`: what `dln.load` returns; everything below serves it
    arrays, errors                        what comes from Python, checked
    memory, initialize, given_weights     one block of memory, live views, first values
    execution, executions                 native calls over samples; further compilations for other minibatches
    batch_coupling                        which figures may be put together from several minibatches
    settings, training, interrupt         the train section, the loop over epochs, Ctrl-C
    averaging, plateau, retraining        averages of iterates; a rate that falls when nothing improves; training again
    outer_optimizers                      line search, L-BFGS, and optimizers of Python
    history, checkpoint, run_folder       what a training leaves, in memory and on the disk
    progress, report                      what a person sees of it
    data                                  the data section: sources (idx_source, csv_source), columns, splits,
                                          column_expression; codes of its messages
    file_check, gradient_check            a file without running it; derived against numeric gradients
    resolved_source                       the source of a run with its overrides written in
    command_line, command_…               the command `dln`, one module a subcommand
"""

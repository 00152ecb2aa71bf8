"""The train section, and the loop over epochs.

settings                            the section, read into plain values
loop                                epochs of minibatches, validation, early stopping, interruption, divergence
finite_watch                        whether the weights are still finite
averaging, plateau, retraining      averages of iterates; a rate that falls when nothing improves; training again
newton, wolfe_search, lbfgs         Newton's method, and what is near to it
outer_optimizers                    line search, and optimizers of Python; how all of these take part
trainings                           all of it, for one call of `Network.train`
history, snapshots, interrupt       what is kept of it; Ctrl-C
"""

"""The train section, and the loop over epochs.

settings                            the section, read into plain values
loop                                epochs of minibatches, validation, early stopping, interruption, divergence
finite_watch                        whether the weights are still finite
averaging, plateau, retraining      averages of iterates; a rate that falls when nothing improves; training again
newton, outer_optimizers            Newton's method; line search, L-BFGS, and optimizers of Python
trainings                           all of it, for one call of `Network.train`
history, snapshots, interrupt       what is kept of it; Ctrl-C
"""

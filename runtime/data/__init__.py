"""The data section: from a declared source to the arrays of every part.

sources     csv_source, idx_source, arrow_source, text_source (text_columns, vocabulary): files as named columns
columns     columns, column_functions, column_expression: expressions over columns
fitted      fitted_functions, fitted_calls: statistics of the training part, applied to every part
parts       data_section, splits, reading; augmentation: images moved a little, in every epoch
"""

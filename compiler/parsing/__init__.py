"""The parts of parse.py: statements, tree building, and the wording of syntax errors.

In: text, and what the grammar makes of a statement.  Out: trees of syntax.py, and messages. In this order:

    statements  syntax_errors → layout
    trees       failure, expression_builder → statement_builder
    wording     expression_expectations → expectations
"""

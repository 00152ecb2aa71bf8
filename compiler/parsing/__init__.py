"""The parts of parse.py: statements (layout), tree building, and the wording of syntax errors."""

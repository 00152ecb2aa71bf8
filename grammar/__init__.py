"""The language as data: `dln.lark` (the grammar) and `prelude/*.dln` (the layers, in the language itself)."""

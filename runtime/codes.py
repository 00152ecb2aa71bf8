"""Every code that a message about data or training can bear, with what it means in one line.

In: nothing.  Out: `CODES`, read by `fail` in columns.py (an unlisted code is a bug) and by the language reference.
"""

from __future__ import annotations

CODES: dict[str, str] = {
    "E701": "a data source that is not known, or not complete",
    "E702": "a data file that cannot be found, or lies outside of the folders for data",
    "E703": "a data file that cannot be read, or a value in it that cannot be used",
    "E704": "a name in the data section that nothing declares, or an input that nothing feeds",
    "E705": "a column whose values do not fit its input, or cannot be computed",
    "E706": "a wrong value of a setting of the data or train section",
    "E707": "saved weights that do not fit the weight which starts from them, or the data section",
    "E801": "a number that became NaN or infinite while training",
    "W711": "entries of a column that have the same value in every row of the training part",
}

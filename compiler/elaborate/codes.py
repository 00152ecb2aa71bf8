"""Every code that a message of the elaborator can bear, with what it means in one line.

In: nothing.  Out: `CODES`, read by `report.py` (an unlisted code is a bug) and by the language reference.

    CODES["E203"]   →   "two sizes that must be equal are not"
"""

CODES: dict[str, str] = {
    # names and types
    "E201": "a name that nothing declares",
    "E202": "a wrong number of subscripts or axes",
    "E203": "two sizes that must be equal are not",
    "E204": "a name that is declared twice",
    "E205": "wrong arguments: too many, too few, unknown, or given twice",
    "E206": "a name of the wrong kind: an array that is called, a function that is not",
    "E207": "a value of the wrong type: a whole number, a number or a condition is needed",
    "E208": "an index that is bound twice",
    "E209": "'..' where it stands for nothing",
    "E210": "a block, a function or a map that uses itself",
    "E211": "a cycle without a delay",
    "E212": "an input that nothing uses",
    "E213": "a loss or a metric that is not one number",
    "E214": "an unknown key, or a wrong value, in a data or train section",
    "E215": "an unknown name in a setting from the command line",
    "E216": "a word of training, of an optimizer or of an initializer where it has no meaning",
    "E217": "a declaration that cannot stand here",
    "E218": "a file that expands beyond the limits",
    "E219": "a wrong initializer",
    "E220": "a block whose result, or a state whose declaration, is missing",
    "E221": "axes that must be written out, since only a recurrence would tell them",
    "E222": "a random draw in a place where nothing can be drawn",
    # sizes and ranges
    "E301": "a size that cannot be inferred",
    "E302": "a size that is not a whole number, or is less than one",
    "E303": "a subscript that can leave its range",
    "E304": "an index with two different sizes",
    "E305": "an array beyond the memory limit",
    "E306": "a sharing map that is outside its weight everywhere",
    "E307": "a condition that never holds",
    "E308": "a value that must be known when compiled and is not",
    # files and tables
    "E401": "a file that does not exist or cannot be read",
    "E402": "a path that leaves the folder of its file",
    "E403": "a table whose rows differ in length",
    "E404": "an entry of a table that is not what it must be",
    "E405": "a file beyond the size limit",
    "E406": "files that import each other in a circle",
    # warnings
    "W501": "a weight that no connection uses",
    "W502": "a weight of which some entries are used by no connection",
}

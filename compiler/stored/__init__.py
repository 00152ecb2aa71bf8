"""Networks and programs on disk, so that a file which was compiled before is ready at once.

In: what the front end and the schedule made.  Out: the same in a later process, decoded as far as it is asked for.

    objects     plain
    in parts    graphs
    entries     networks

plain.py writes objects as plain data and reads them, graphs.py decodes equations when somebody reads them, networks.py has
elaborated files, found by their texts, and compiled programs, found by network and options.

Only plain data is written (numbers, texts, tuples, the bytes of arrays), by `marshal`, as Python writes its own compiled files:
what is read makes objects of the classes named in plain.py and nothing else. The entries are as safe as the folder that they lie
in, which cache.py sees to: beside them lies the machine code.
"""

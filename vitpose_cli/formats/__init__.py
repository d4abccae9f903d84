"""Labels in the files of other programs: written for them, and read back when corrected.

Records stay the only truth: nothing here is kept but what a record can hold, and what a person did
elsewhere becomes a record like any other.
"""

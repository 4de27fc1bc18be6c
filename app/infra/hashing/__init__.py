"""What hashing a password is: the schemes, the question and its answer, and a process of its own to compute it in.

Nothing here knows of people, places in a queue or metrics, so that such a process is small.
"""

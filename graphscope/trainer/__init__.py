"""Settings -> a trained network: an ordinary PyTorch program that knows nothing of the rest of GraphScope.

``settings`` (no torch) says what to train, ``loop`` trains it, ``data`` and ``models`` hold what the names stand for.
That nothing here knows of watching is the point: what GraphScope shows of this program it shows of any other.
"""

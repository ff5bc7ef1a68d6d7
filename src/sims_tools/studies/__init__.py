"""Studies of classifiers: which cells train and which are tested, one run of one method, its scores, many runs."""

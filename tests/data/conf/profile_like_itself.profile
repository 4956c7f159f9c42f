about: x
like: own

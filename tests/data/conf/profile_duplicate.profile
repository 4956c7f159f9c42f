about: x
about: y
fall: *x

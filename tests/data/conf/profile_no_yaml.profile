about: x
checks: {

about: x
checks: [ live ]

about: x
checks:
  live: { kind: fake, rise: many }

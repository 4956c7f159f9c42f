about: x
like: vlm
checks:
  live: { interval: 5 }

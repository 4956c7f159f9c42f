about: two kinds
body: from the profile
checks:
  live: { kind: fake }
  ready: { kind: bare }
  more: { kind: bare }

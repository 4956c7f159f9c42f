type: fake
interval: 5
intervall: 5s
nonsense: 1
checks:
  live:
    kind: fake
    rise: 0
    bodi: x
    expect: { status: many, latncy: 1s }
  no-kind:
    interval: 5s
  "bad name": { kind: fake }
  unknown-kind: { kind: fkae }
  scalar: 7
  of-bare: { kind: bare, body: x }

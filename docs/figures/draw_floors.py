"""The rooms by floor: who may import whom."""

from _sketch import arrow, box, canvas, note, save

UPPER = [
    ("tl", "tl", "train, annotate"),
    ("pl", "pl", "figures"),
    ("get", "get", "tables"),
    ("pl", "pp, cli", "look; command"),
]
MIDDLE = [
    ("stores", "stores", "larger than\nmemory"),
    ("studies", "studies", "folds, runs,\nother methods"),
    ("data", "data", "stored data\nto minibatches"),
    ("models", "models", "one file per\narchitecture"),
    ("confidence", "confidence", "what can\nbe trusted"),
]
GROUND = [("nn", "nn", "networks, torch and kernels only")]

axes = canvas(9.4, 3.75)
note(axes, 0.75, 3.05, "what users\ncall", size=8.5)
note(axes, 0.75, 1.75, "what it is\nmade of", size=8.5)
note(axes, 0.75, 0.5, "the\nmathematics", size=8.5)
for y, rooms in ((3.05, UPPER), (1.75, MIDDLE), (0.5, GROUND)):
    width = 7.6 / len(rooms) - 0.25 if len(rooms) > 1 else 3.2
    for i, (room, title, text) in enumerate(rooms):
        x = 1.6 + 7.6 * (i + 0.5) / len(rooms)
        box(axes, x, y, width, 0.72, room, title, text)
arrow(axes, (5.4, 2.69), (5.4, 2.11))
arrow(axes, (5.4, 1.39), (5.4, 0.86))
note(axes, 5.55, 2.4, "imports", ha="left")
note(axes, 5.55, 1.12, "imports", ha="left")
save(axes, __file__)

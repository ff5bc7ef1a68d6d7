"""The rooms by floor: who may import whom."""

from _sketch import arrow, box, canvas, note, save

UPPER = [
    ("tl", "tl", "train, annotate"),
    ("pl", "pl", "figures"),
    ("get", "get", "tables"),
    ("pl", "pp, cli", "look; command"),
]
MIDDLE = [
    ("studies", "studies", "folds, runs,\nother methods"),
    ("data", "data", "stored data\nto minibatches"),
    ("models", "models", "one file per\narchitecture"),
    ("confidence", "confidence", "what can\nbe trusted"),
]
GROUND = [("nn", "nn", "networks, torch and kernels only")]

axes = canvas(8.2, 3.75)
note(axes, 0.75, 3.05, "what users\ncall", size=8.5)
note(axes, 0.75, 1.75, "what it is\nmade of", size=8.5)
note(axes, 0.75, 0.5, "the\nmathematics", size=8.5)
for y, rooms in ((3.05, UPPER), (1.75, MIDDLE), (0.5, GROUND)):
    width = 6.4 / len(rooms) - 0.25 if len(rooms) > 1 else 3.2
    for i, (room, title, text) in enumerate(rooms):
        x = 1.6 + 6.4 * (i + 0.5) / len(rooms)
        box(axes, x, y, width, 0.72, room, title, text)
arrow(axes, (4.8, 2.69), (4.8, 2.11))
arrow(axes, (4.8, 1.39), (4.8, 0.86))
note(axes, 4.95, 2.4, "imports", ha="left")
note(axes, 4.95, 1.12, "imports", ha="left")
save(axes, __file__)

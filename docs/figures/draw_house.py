"""The way of the data through the house: training on the left, annotation on the right, the saved model between."""

from _sketch import arrow, box, canvas, note, save

WIDTH, HEIGHT, STEP = 2.75, 0.66, 0.92
LEFT, RIGHT = 1.75, 7.75
TRAIN = [
    ("yours", "reference", "raw counts, a column of labels"),
    ("data", "data/_reference", "a shadow: shares your counts, has\nclean labels; your object is let be"),
    ("data", "data/_split, _moments", "training and validation cells;\ngenes that vary most"),
    ("models", "models/_inputs", "minibatch of counts to log1p(CP10K)"),
    ("nn", "nn", "network: logits, masks, penalty"),
    ("models", "models/_plan", "loss, metrics, early stopping,\nbest or averaged weights"),
    ("models", "models/_persist", "written whole or not at all,\nwith digests"),
]
ANNOTATE = [
    ("yours", "query", "array, sparse, view, backed, dask"),
    ("data", "data/_blocks", "rows in blocks, wherever they are"),
    ("data", "data/_align", "genes of the query to genes of\nthe model, by name, with a report"),
    ("models", "models/_inputs, nn", "the same transform, the same\nnetwork: logits and masks"),
    ("confidence", "confidence", "logits to probabilities and labels,\nuncertain cells Unknown"),
    ("tl", "tl/_write", "the only code that writes\ninto your object"),
    ("yours", "query, annotated", ".obs   .obsm   .uns"),
]

axes = canvas(9.5, 8.15)
rows = [6.95 - STEP * i for i in range(len(TRAIN))]
note(axes, LEFT, 7.65, "tl.sims_train", size=12, bold=True, color="#22303c", family="monospace", va="baseline")
note(axes, RIGHT, 7.65, "tl.annotate", size=12, bold=True, color="#22303c", family="monospace", va="baseline")
for x, chain in ((LEFT, TRAIN), (RIGHT, ANNOTATE)):
    for y, (room, title, text) in zip(rows, chain, strict=True):
        box(axes, x, y, WIDTH, HEIGHT, room, title, text)
    for above, below in zip(rows, rows[1:], strict=False):
        arrow(axes, (x, above - HEIGHT / 2), (x, below + HEIGHT / 2))

# Training goes round until it no longer helps.
edge = LEFT + WIDTH / 2
arrow(axes, (edge, rows[5]), (edge + 0.2, rows[5]), (edge + 0.2, rows[3]), (edge, rows[3]))
note(axes, edge + 0.35, rows[4], "next minibatch", rotation="vertical")

middle = (LEFT + RIGHT) / 2
box(axes, middle, rows[6], 2.1, 0.86, "disk", "folder on disk", "weights.safetensors\nmodel.json")
arrow(axes, (edge, rows[6]), (middle - 1.05, rows[6]))
arrow(axes, (middle, rows[6] + 0.43), (middle, rows[3]), (RIGHT - WIDTH / 2, rows[3]))
note(axes, middle + 0.12, (rows[3] + rows[6]) / 2 + 0.35, "load: checked,\nnever unpickled", ha="left")

box(axes, RIGHT - 0.8, 0.42, 1.15, 0.5, "pl", "pl", "figures")
box(axes, RIGHT + 0.8, 0.42, 1.15, 0.5, "get", "get", "tables")
for x in (RIGHT - 0.8, RIGHT + 0.8):
    arrow(axes, (x, rows[6] - HEIGHT / 2), (x, 0.67))
note(axes, LEFT - WIDTH / 2, 0.42, "Orange: rooms you call. Cream: your object. Grey: files.", ha="left")
save(axes, __file__)

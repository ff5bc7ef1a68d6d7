"""One cell on its way through the network, step by step."""

from _sketch import INK, arrow, box, canvas, note, save

axes = canvas(9.6, 5.1)
STEPS = ((3.25, "1"), (6.95, "s"))
TOP, ATTEND, MASK, LOOK, OUT = 4.8, 4.15, 3.28, 2.41, 1.54

box(axes, 1.0, MASK, 1.5, 0.62, "yours", "cell $x$", "all genes")
box(axes, 1.0, ATTEND, 1.5, 0.62, "nn", "first look", "feature transformer 0")
arrow(axes, (1.0, MASK + 0.31), (1.0, ATTEND - 0.31))
for x, name in STEPS:
    before = "0" if name == "1" else "s-1"
    scoring = f"scores genes from $a_{{{before}}}$,\ntimes prior $P_{{{name}}}$"
    box(axes, x, ATTEND, 1.9, 0.62, "nn", f"attention {name}", scoring)
    box(axes, x, MASK, 1.9, 0.62, "data", f"mask $M_{{{name}}}$", "weights of genes, sum 1")
    box(axes, x, LOOK, 1.9, 0.62, "nn", f"feature transformer {name}", f"sees $M_{{{name}}} \\cdot x$ and no more")
    box(axes, x, OUT, 1.9, 0.62, "models", f"contribution $d_{{{name}}}$", f"of size $\\eta_{{{name}}}$")
    for above, below in ((ATTEND, MASK), (MASK, LOOK), (LOOK, OUT)):
        arrow(axes, (x, above - 0.31), (x, below + 0.31))
    note(axes, x, TOP, f"step {name}", size=10, bold=True, color=INK)
arrow(axes, (1.75, ATTEND), (2.3, ATTEND))
note(axes, 2.02, ATTEND + 0.17, "$a_0$", size=9)
arrow(axes, (4.2, LOOK), (5.1, LOOK), (5.1, ATTEND - 0.14), (6.0, ATTEND - 0.14))
note(axes, 5.28, MASK, "$a_1$", size=9)
arrow(axes, (4.2, ATTEND + 0.14), (6.0, ATTEND + 0.14))
note(axes, 5.1, ATTEND + 0.36, "prior: what has been used")
note(axes, 5.1, TOP, ". . .", size=10, bold=True, color=INK)

box(axes, 5.1, 0.5, 2.5, 0.62, "models", "sum of contributions", "linear layer: one logit per class")
arrow(axes, (3.25, OUT - 0.31), (3.25, 0.5), (3.85, 0.5))
arrow(axes, (6.95, OUT - 0.31), (6.95, 0.5), (6.35, 0.5))

box(axes, 8.85, LOOK, 1.3, 0.95, "data", "cell's mask", "average over all\nsteps, weighted\nby $\\eta$")
arrow(axes, (7.9, MASK), (8.85, MASK), (8.85, LOOK + 0.475))
arrow(axes, (7.9, OUT), (8.85, OUT), (8.85, LOOK - 0.475))
save(axes, __file__)

"""SimplePollock's last hidden layer: training and validation cells of 700 blood cells that scanpy brings along."""

from pathlib import Path

import matplotlib.pyplot as plt
import scanpy as sc

import sims_tools as sims

cells = sc.datasets.pbmc68k_reduced().raw.to_adata()
cells.obs = cells.obs[["bulk_labels"]]
model = sims.tl.train(cells, "bulk_labels", model="pollock", validation_size=0.2, accelerator="cpu", progress_bar=False)
sims.tl.embed(cells, model, progress_bar=False)
sc.pp.neighbors(cells, use_rep="X_pollock")
sc.tl.umap(cells)

figure, panels = plt.subplots(1, 2, figsize=(8.6, 3.3), facecolor="white")
figure.subplots_adjust(left=0.03, right=0.72, wspace=0.12, top=0.9, bottom=0.05)
for panel, part, title in zip(panels, ("train", "validation"), ("training", "validation"), strict=True):
    chosen = cells[cells.obs["pollock_split"] == part].copy()
    sims.pl.embedding(chosen, color="bulk_labels", ax=panel, show=False)
    panel.set_title(f"{title} cells ({chosen.n_obs})", fontsize=11)
    panel.set_xlim(*(cells.obsm["X_umap"][:, 0].min() - 1, cells.obsm["X_umap"][:, 0].max() + 1))
    panel.set_ylim(*(cells.obsm["X_umap"][:, 1].min() - 1, cells.obsm["X_umap"][:, 1].max() + 1))
legend = panels[0].get_legend()
if legend is not None:
    legend.remove()
figure.savefig(Path(__file__).with_name("pollock_umap.png"), dpi=120)
print({name: round(value, 3) for name, value in model.metrics.items() if "accuracy" in name or "macro_f1" in name})

"""Docstring fragments that public functions share."""

from __future__ import annotations

import docrep

_FRAGMENTS = {
    "layer": """\
layer
    Layer that holds the counts; None reads `.X`.""",
    "protein_places": """\
modalities
    Of a MuData, the modality of "rna" and of "protein": ``{"rna": "rna", "protein": "prot"}``. None goes by what they
    are usually called.
protein_layer
    Of a MuData, the layer that holds the protein counts; None reads `.X`.
protein_obsm_key
    Of an AnnData, the entry of `.obsm` with protein counts: array, sparse matrix or DataFrame.""",
    "input_kind": """\
input_kind
    What the values are. "auto" tells raw counts, linearly normalised and log1p-normalised values apart and brings
    each to log1p CP10K inside the model; "counts" or "log1p" overrule it.""",
    "or_store": """\
Or the path of a store (`.h5ad`, `.zarr`): it is read where it lies, and what is written is appended to it.""",
    "key": """\
key
    The `key_added` that was given to :func:`~sims_tools.tl.annotate`.""",
    "show": """\
show
    Show the figure; by default as :attr:`scanpy.settings.autoshow` says.
return_fig
    Return the figure and do not show it.""",
    "random_state": """\
random_state
    Seed: the same seed gives the same bits on CPU. None draws a seed from
    torch's random stream.""",
    "progress_bar": """\
progress_bar
    Show a progress bar.""",
    "study_cells": """\
adata
    Labelled cells (n_obs, n_vars) with raw counts, stored any way: AnnData, or MuData. Only `.uns[key_added]` is
    written. All are brought into memory. Or the path of a store (`.h5ad`, `.zarr`), to which that is appended.
labels_key
    Column of `.obs` with the labels. Cells whose label is NaN or `unlabeled_category`, and cells without counts, take
    no part.""",
    "study_reading": """\
unlabeled_category
    Label that means "no label".""",
    "study_running": """\
n_jobs
    Runs at a time, each in a process of its own that shares the counts; -1 takes as many as there are cores. They
    share the threads that torch has in this process. The results are the same for any number, but for seconds.
checkpoint
    Folder in which finished runs are kept, each in a JSON file. After an interruption the same call goes on from
    there. A folder of other cells, labels, folds, parameters or another version of the package is refused.
progress_bar
    Show a progress bar.""",
    "training": """\
max_epochs
    Passes over the training cells, at most; None takes the preset's.
accelerator
    Hardware, as :class:`lightning.pytorch.Trainer` takes it; "auto" uses a GPU where there is one.
devices
    Which or how many of them on each machine, as Lightning takes it.
num_nodes
    Machines that share the work.
strategy
    How several devices share the work, as Lightning takes it: "ddp", in a script that every process runs. They share
    each minibatch, so that `batch_size` and learning rate mean the same for any number of them.
precision
    "bf16-mixed" or "16-mixed" computes in half precision on a GPU, the mask selector always in float32.
logger
    Lightning logger or loggers (W&B, TensorBoard, CSV) to feed beside the history.
callbacks
    Lightning callbacks to run beside ours.
progress_bar
    Show a progress bar.
checkpoint
    Folder in which the state of the training is kept between epochs, in one file that is there whole or not at all.
    After training was killed or interrupted, the same call goes on from the last finished epoch and, on a CPU, ends
    with the same bits; after it was finished, the same call gives the same model and trains no more. A folder that
    holds another training (cells, parameters, versions) is refused.
checkpoint_every
    Write after so many epochs.""",
    "labelled_cells": """\
adata
    Labelled cells (n_obs, n_vars): AnnData, array or sparse, in memory, backed, a view or dask; or MuData, whose
    modalities may have cells in another order, or lack some. Only the keys under Returns are written.
    Or several references: a list, or a mapping by name, of AnnData and of paths as
    :func:`~sims_tools.data.read_cells` takes them. Of `.h5ad` and `.zarr` files the matrix is read block by block.
labels_key
    Column of `.obs` with the labels, of any type. Cells whose label is NaN or `unlabeled_category` are left out.
    Of a MuData it may also be that of a modality ("rna:cell_type"). With several references, one column for all or a
    list or mapping of columns; classes of the same name are one class.""",
    "datamodule": """\
datamodule
    What brings labelled cells instead of `adata` and `labels_key`, in minibatches: a Lightning data module of Lamin,
    TileDB-SOMA, annbatch or your own (see the page on training from stores). Its `registry` names genes and labels; it
    decides on validation cells, order and size of minibatches. Where genes are chosen, there is one pass over its
    training cells for that. Nothing is written. Arguments that speak of objects and files cannot be given with it.""",
    "join": """\
join
    Genes of several references: "inner" takes those that all have, "outer" those that any has. A gene that a reference
    lacks is missing from its cells: it counts in no statistic of theirs, and while training, cells of all references
    are shown without it, too, so that its lack does not give a reference away.""",
    "protein_handling": """\
protein_transform
    What the model does with proteins, of which raw counts are expected: "clr", the centred log-ratio within the
    cell, ``log1p(x / exp(mean of log1p(x)))`` :cite:p:`stoeckius2017cite`; "log1p"; or "none", for values that are
    normalised already, as those of queries must then be.
exclude_proteins
    Proteins to leave out, isotype controls say: names or patterns such as ``"*IgG*"``, in any case.""",
    "unlabeled_category": """\
unlabeled_category
    Label that means "no label".""",
    "gene_choice": """\
n_top_genes
    Train on so many genes, those that `gene_choice` ranks first. None takes all genes, "preset" what the preset
    says.
gene_choice
    How genes are chosen, on training cells alone, as :class:`~sims_tools.models.Preset` lists:
    "variance_and_class" (half those that vary most, half those highest in each class beside all others, classes
    taking turns), "highly_variable", "expression_percentiles", "detected" or "all"; "preset" what the preset
    says.""",
    "held_out": """\
validation_size
    Share of each class held out to judge epochs by; 0 trains on all cells.
split_by
    Column of `.obs` (donor, batch) whose groups are held out whole, until they make up `validation_size`. With several
    references, "reference" holds out whole references.""",
    "init_from": """\
init_from
    A trained model, or the folder of one, to start from in place of random weights: the result of
    :func:`~sims_tools.tl.pretrain`, or a classifier of the same architecture. Weights are taken over by the names of
    genes and classes. Genes of the model are kept where `adata` has them, and count among `n_top_genes`; new genes and
    classes begin afresh; those that `adata` lacks are left out. Parameters of the network and `scale_genes`, of a
    classifier `n_members` as well, are those of the model unless given in `params`; ``preset="default"`` then stands
    for the model's preset.""",
    "stream": """\
stream
    Whether cells are read from where they are stored at every epoch, in blocks of rows in shuffled order, instead of
    once into a matrix of the chosen genes. "auto" does it where that matrix would take more than half of the free
    memory, of paths, lists of references and backed objects; True always, also of an object in memory; False never.
    Then `model.split_` numbers the cells, whose names are not read.""",
    "training_writes": """\
The trained model. If training is interrupted (Ctrl-C) after an epoch or more, the model so far is returned and
`adata` stays as it was. Otherwise these are written:

`adata.obs[f"{key_added}_split"]` : :class:`pandas.Series` (dtype `category`)
    "train", "validation" or "unlabeled".
`adata.uns[key_added]` : :class:`dict`
    `classes`, `features` (the genes the model uses), `protein_features` (its proteins, if any), `params`,
    `versions`, `metrics` (of the epoch whose weights were kept) and `history` (one float array per tracked
    quantity, one value per epoch).

Of several references each AnnData is written to, with `references` beside (arrays with an entry for each) and
`reference`, its own name; files are not. The model remembers both: `model.references_`, which is saved with it, and
`model.split_`, which is not (:class:`pandas.DataFrame` (n_obs, 2), the reference and the split of every cell).""",
    "training_raises": """\
KeyError
    A column, layer, modality or entry of `.obsm` does not exist.
ValueError
    Fewer than two classes; no cells or genes; an empty modality; repeated names of genes, proteins or cells; NaN,
    infinite, negative or scaled values; proteins that are not counts; a parameter out of range.
FileNotFoundError
    A path leads nowhere.
TypeError
    A name in `params` is unknown, or `adata` is neither an AnnData nor a MuData nor several references.
FloatingPointError
    Training diverged.""",
}

docs = docrep.DocstringProcessor()
for _name, _text in _FRAGMENTS.items():
    docs.params[_name] = _text

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
    "training": """\
max_epochs
    Passes over the training cells, at most; None takes the preset's.
accelerator
    Hardware, as :class:`lightning.pytorch.Trainer` takes it; "auto" uses a GPU where there is one.
devices
    Which or how many of them, as Lightning takes it.
strategy
    How several devices share the work ("ddp"), as Lightning takes it.
precision
    "bf16-mixed" or "16-mixed" computes in half precision on a GPU, the mask selector always in float32.
logger
    Lightning logger or loggers (W&B, TensorBoard, CSV) to feed beside the history.
callbacks
    Lightning callbacks to run beside ours.
progress_bar
    Show a progress bar.""",
}

docs = docrep.DocstringProcessor()
for _name, _text in _FRAGMENTS.items():
    docs.params[_name] = _text

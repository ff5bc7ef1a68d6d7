"""A second root group of an HDF5 file: with all that the first one has, and no byte of the first one changed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Group:
    """What a group has but for its members.

    Attributes
    ----------
    orders
        Whether the order of creation is kept, of members and of attributes, as flags of HDF5.
    attributes
        Values with their types, by name.
    """

    orders: tuple[int, int]
    attributes: dict[str, tuple[Any, Any]]


def describe(root: Any, paths: Collection[str]) -> dict[str, Group]:
    """Describe groups of a file that nothing is written to yet.

    Who reads texts of a file that is written to may make HDF5 put new texts where these are.

    Parameters
    ----------
    root
        Root group.
    paths
        Groups. Those that are not there are left out.
    """
    return {path: _described(root[path]) for path in paths if path in root}


def _described(group: Any) -> Group:
    attributes = {name: (value, group.attrs.get_id(name).dtype) for name, value in group.attrs.items()}
    settings = group.id.get_create_plist()
    return Group((settings.get_link_creation_order(), settings.get_attr_creation_order()), attributes)


def copy_group(root: Any, path: str, at: str, about: Group, *, without: Collection[str]) -> Any:
    """Make a group with attributes and members of another; the members are the same objects.

    Parameters
    ----------
    root
        Root group of the file.
    path
        The group.
    at
        Path of the new one.
    about
        What :func:`describe` said of it.
    without
        Members to leave out.

    Returns
    -------
    The new group.
    """
    import h5py

    old = root[path]
    settings = h5py.h5p.create(h5py.h5p.GROUP_CREATE)  # those that HDF5 gives of a group are not fit to make another
    settings.set_link_creation_order(about.orders[0])
    settings.set_attr_creation_order(about.orders[1])
    new = h5py.Group(h5py.h5g.create(root.id, at.encode(), None, settings))
    for name in old:
        if name not in without:
            link = old.get(name, getlink=True)
            new[name] = old[name] if isinstance(link, h5py.HardLink) else link
    for name, (value, dtype) in about.attributes.items():
        if isinstance(value, h5py.Empty):
            new.attrs[name] = value
        else:
            new.attrs.create(name, value, dtype=dtype)
    return new


def address(group: Any) -> int:
    """Where an object is in its file."""
    import h5py

    return int(h5py.h5o.get_info(group.id).addr)

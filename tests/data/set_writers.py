"""Data sets in foreign layouts, made for the tests."""

import io
import json
import tarfile

import lmdb
import pyarrow
import pyarrow.parquet

from tests.data.samples import encoded, noise


def write_lmdb(folder, values, map_size=2**24):
    """`values`: bytes by key."""
    with (
        lmdb.open(str(folder), map_size=map_size) as database,
        database.begin(write=True) as writing,
    ):
        for key, value in values.items():
            writing.put(key, value)
    (folder / "lock.mdb").unlink()
    return folder


def rosinality(images, sizes=(8, 16), file_format="PNG"):
    """Keys and values as that project's preparation writes them; PNG, so that tests are exact."""
    values = {b"length": str(len(images)).encode()}
    for index, image in enumerate(images):
        for size in sizes:
            step = len(image) // size
            values[b"%d-%05d" % (size, index)] = encoded(image[::step, ::step], file_format)
    return values


def tar_member(name, data=b"", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.type = kind
    info.linkname = link
    return info, data


def write_tar(path, members, tar_format=tarfile.PAX_FORMAT):
    with tarfile.open(path, "w", format=tar_format) as file:
        for info, data in members:
            file.addfile(info, io.BytesIO(data))
    return path


def shard(first, count, size=8, label=".cls"):
    """Members of WebDataset samples: an image, a label, and a caption that is passed over."""
    for index in range(first, first + count):
        yield tar_member(f"{index:06d}.png", encoded(noise(size, size, index)))
        yield tar_member(
            f"{index:06d}{label}",
            (
                str(index % 3)
                if label == ".cls"
                else json.dumps({"label": index % 3, "caption": "x"})
            ).encode(),
        )
        yield tar_member(f"{index:06d}.txt", b"a caption")


def write_parquet(path, images, labels=None, features=None, rows=2, **columns):
    """Images as the hub's packages write them; `features`: what its schema says."""
    values = [{"bytes": image, "path": f"{number}.png"} for number, image in enumerate(images)]
    columns = {"image": values} | ({} if labels is None else {"label": labels}) | columns
    table = pyarrow.table(columns)
    if features is not None:
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    pyarrow.parquet.write_table(table, path, row_group_size=rows)
    return path


def celeba_list(names, attributes=40):
    """The text of ``list_attr_celeba.txt``; attribute k of image n is 1 where bit k of n is set."""
    lines = [str(len(names)), " ".join(f"Attribute_{k}" for k in range(attributes))]
    for number, name in enumerate(names):
        values = " ".join(f"{1 if number >> k & 1 else -1:2d}" for k in range(attributes))
        lines.append(f"{name} {values}")
    return "\n".join(lines) + "\n"

"""Pickles that must be refused: gadgets, bombs, lies about sizes, damage, and broken networks."""

import functools
import importlib
import operator
import os
import pickle
import runpy
import struct
import subprocess

import numpy as np

from tests.formats import official_pickles as pickles
from tests.train import golden

ZEROS = np.zeros(3, np.float32)


class Calls:
    """Pickles as a call of a function."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def _text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _network(**state):
    """Bytes of one network whose state is the usual one changed; None leaves an entry out."""
    made = pickles.network("Gs", "G_style", {"resolution": 8}, [("lod", ZEROS)])
    made.__dict__.update(state)
    for key in [key for key, value in state.items() if value is None]:
        del made.__dict__[key]
    return pickles.dumps(made)


def gadgets(folder):
    """Name -> bytes that Python's own unpickler would obey by making a file NAME in `folder`."""

    def mark(name):
        return folder / name

    def touch(name):
        return f"touch {mark(name)}"

    def code(name):
        return f"open({str(mark(name))!r}, 'w')"

    found = {}
    for protocol in range(6):
        name = f"system-{protocol}"
        found[name] = pickle.dumps(Calls(os.system, touch(name)), protocol)
    calls = {
        "popen": lambda n: Calls(subprocess.Popen, ["touch", str(mark(n))]),
        "check-output": lambda n: Calls(subprocess.check_output, ["touch", str(mark(n))]),
        "eval": lambda n: Calls(eval, code(n)),
        "exec": lambda n: Calls(exec, code(n)),
        "open": lambda n: Calls(open, str(mark(n)), "w"),
        "getattr": lambda n: Calls(
            operator.call, Calls(getattr, Calls(importlib.import_module, "os"), "system"), touch(n)
        ),
        "partial": lambda n: Calls(operator.call, functools.partial(os.system, touch(n))),
        "attrgetter": lambda n: Calls(
            operator.call,
            Calls(
                operator.call, operator.attrgetter("system"), Calls(importlib.import_module, "os")
            ),
            touch(n),
        ),
        "map": lambda n: Calls(list, Calls(map, os.system, [touch(n)])),
        "compile": lambda n: Calls(exec, Calls(compile, code(n), "x", "exec")),
        "hidden-in-options": lambda n: pickles.network(
            "Gs", "G_style", {"resolution": Calls(os.system, touch(n))}, [("lod", ZEROS)]
        ),
        "hidden-in-variables": lambda n: pickles.network(
            "Gs", "G_style", {}, [("lod", ZEROS)], components={"a": Calls(os.system, touch(n))}
        ),
    }
    for name, make in calls.items():
        found[name] = pickles.dumps(make(name))
    script = mark("script.py")
    script.write_text(code("runpy"))
    found["runpy"] = pickle.dumps(Calls(runpy.run_path, str(script)))
    found["inst"] = b"(S'" + touch("inst").encode() + b"'\nios\nsystem\n."
    found["obj"] = b"(cos\nsystem\nS'" + touch("obj").encode() + b"'\no."
    found["stack-global"] = (
        b"\x80\x04"
        + _text("os")
        + _text("system")
        + b"\x93"
        + _text(touch("stack-global"))
        + b"\x85R."
    )
    found["dotted-name"] = (
        b"\x80\x04" + _text("subprocess") + _text("os.system") + b"\x93"
        + _text(touch("dotted-name")) + b"\x85R."
    )  # fmt: skip
    return found


NETWORK = b"cdnnlib.tflib.network\nNetwork\n"


def _declared(shape, data=b"\0" * 12):
    """An array of float32 whose data are not those of its shape."""
    state = pickle.dumps((1, shape, np.dtype("f4"), False, data), 4)
    made = b"\x80\x04cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\1btR"
    return made + state[2:-1] + b"b."


def _doubled():
    """Opcodes that leave a tuple of 2^90 leaves in the memo as number 90."""
    return b")q\0" + b"".join(b"h%ch%c\x86q%c" % (k, k, k + 1) for k in range(90))


def bombs():
    """Name -> bytes that would take time or memory out of all proportion."""
    laughs = b"\x80\x02" + _doubled()
    lists = b"]q\0" + b"".join(b"]q%c(" % (k + 1) + (b"h%c" % k) * 10 + b"e" for k in range(90))
    wide = "z" * (2**24 - 4100) + "\N{BUG}"
    return {
        "tuples-doubled": laughs + b".",
        "tuples-doubled-as-key": laughs + b"}h\x5aNs.",
        "tuples-doubled-as-state": laughs + NETWORK + b")\x81h\x5ab.",
        "tuples-doubled-as-version": laughs + NETWORK + b")\x81}" + _text("version") + b"h\x5asb.",
        "tuples-doubled-as-shape": laughs
        + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tC\1btR(K\1h\x5a"
        + b"cnumpy\ndtype\n(" + _text("f4") + b"\x89\x88tR\x89C\4\0\0\0\0tb.",
        "tuples-doubled-as-option": laughs
        + NETWORK + b")\x81}(" + _text("version") + b"K\3" + _text("name") + _text("G")
        + _text("build_func_name") + _text("G_style")
        + _text("static_kwargs") + b"}" + _text("resolution") + b"h\x5asub.",
        "tuples-doubled-as-codec": laughs + b"c_codecs\nencode\n" + _text("x") + b"h\x5a\x86R.",
        "lists-times-ten": b"\x80\x02" + lists + b".",
        "deep-lists": b"\x80\x02" + b"]" * 60_000 + b"a" * 59_999 + b".",
        "deep-tuples": b"\x80\x02)" + b"\x85" * 150_000 + b".",
        "deep-marks": b"\x80\x02" + b"(" * 90_000 + b"t" * 90_000 + b".",
        "many-opcodes": b"\x80\x02" + b"N0" * 2_000_000 + b"N.",
        "many-lists": b"\x80\x02" + b"]" * 150_000 + b".",
        "list-in-itself": b"\x80\x02]q\0h\0a.",
        "text-of-wide-characters": b"\x80\x04" + _text(wide) + b".",
        "bytes-of-exabytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
        "bytearray-of-exabytes": b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b"x.",
        "bytes-of-gigabytes": b"\x80\x03B" + struct.pack("<I", 2**32 - 1) + b"x.",
        "text-of-terabytes": b"\x80\x04\x8d" + struct.pack("<Q", 2**40) + b"x.",
        "number-of-gigabytes": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"\1.",
        "number-of-a-million-digits": b"L" + b"9" * 1_000_000 + b"L\n.",
        "line-without-end": b"V" + b"z" * 2**21 + b"\n.",
        "frame-of-exabytes": b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"N.",
        "memo-of-gigabytes": b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b".",
        "array-of-exabytes": _declared((2**31, 2**31)),
        "array-of-2-to-the-200": _declared((2**50, 2**50, 2**50, 2**50)),
        "array-of-nothing-times-much": _declared((0, 2**62, 2**62), b""),
        "array-of-too-little": _declared((4,)),
        "array-of-negative-size": _declared((-3,)),
        "array-of-many-axes": _declared((1,) * 40, b"\0" * 4),
        "one-buffer-for-many-arrays": _shared(400),
        "one-array-under-many-names": _network(
            variables=[(f"v{k}", BIG) for k in range(3000)]
        ),
    }  # fmt: skip


BIG = np.zeros(2**16, np.float32)


def _shared(count):
    """`count` arrays that view the same 4 MB."""
    data = b"B" + struct.pack("<I", 2**22) + bytes(2**22)
    dtype = b"cnumpy\ndtype\n(" + _text("f4") + b"\x89\x88tR"
    many = b"".join(
        b"cnumpy.core.numeric\n_frombuffer\n(h\0h\1J" + struct.pack("<i", 2**20) + b"\x85"
        + _text("C") + b"tRa"
        for _ in range(count)
    )  # fmt: skip
    return b"\x80\x03" + data + b"q\0" + dtype + b"q\1]" + many + b"."


def forbidden():
    """Name -> bytes with opcodes or objects that no network needs."""
    objects = np.empty(2, object)
    objects[:] = [Calls(os.getpid), None]
    return {
        "extension-1": b"\x80\x02\x82\1.",
        "extension-2": b"\x80\x02\x83\1\0.",
        "extension-4": b"\x80\x02\x84\1\0\0\0.",
        "persistent-id": b"Pid\n.",
        "persistent-id-binary": b"\x80\x02NQ.",
        "buffer-out-of-band": b"\x80\x05\x97.",
        "buffer-readonly": b"\x80\x05\x97\x98.",
        "set": pickle.dumps({1, 2}, 4),
        "frozenset": pickle.dumps(frozenset((1, 2)), 4),
        "complex": pickle.dumps(1j, 4),
        "object-array": pickles.dumps(objects),
        "object-array-network": _network(variables=[("lod", objects)]),
        "text-array": pickles.dumps(np.array(["a", "b"])),
        "record-array": pickles.dumps(np.zeros(2, [("a", "f4"), ("b", "O")])),
        "half-array": _network(variables=[("lod", np.zeros(3, np.float16))]),
        "big-endian-array": _network(variables=[("lod", np.zeros(3, ">f4"))]),
        "numpy-load": pickles.dumps(Calls(np.load, "x.npy")),
        "numpy-tofile": b"\x80\x04" + _text("numpy") + _text("ndarray.tofile") + b"\x93.",
        "reconstruct-globals": b"\x80\x04" + _text("numpy.core.multiarray")
        + _text("_reconstruct.__globals__") + b"\x93.",
        "network-init": b"\x80\x04" + _text("dnnlib.tflib.network") + _text("Network.__init__")
        + b"\x93)R.",
        "network-with-arguments": b"\x80\x02" + NETWORK + _text("x") + b"\x85R.",
        "ndarray-called": b"\x80\x02cnumpy\nndarray\nK\3\x85R.",
        "reconstructor-of-int": b"ccopyreg\n_reconstructor\n(cbuiltins\nint\ncbuiltins\n"
        b"int\nI3\ntR.",
        "other-codec": b"\x80\x02c_codecs\nencode\n" + _text("x") + _text("rot13") + b"\x86R.",
        "state-twice": _network()[:-1] + b"}b.",
        "state-of-a-list": b"\x80\x02]}b.",
        "slots-as-state": b"\x80\x02cdnnlib.tflib.network\nNetwork\n)\x81N}\x86b.",
        "torch-tensor": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
        "newer-code-base": b"\x80\x02ctorch_utils.persistence\n"
        b"_reconstruct_persistent_obj\n}\x85R.",
        "odd-escape": b"S'\\z'\n.",
        "theano-network": b"\x80\x02cnetwork\nNetwork\n)\x81}b.",
        "newobj-ex": b"\x80\x04csubprocess\nPopen\n)}\x92.",
        "newobj-ex-of-a-network": b"\x80\x04" + NETWORK + b")}\x92.",
        "protocol-9": b"\x80\x09N.",
        "name-with-control-characters": b"\x80\x04" + _text("o\ns\x1b[31m" * 1000)
        + _text("x") + b"\x93.",
    }  # fmt: skip


def damaged():
    """Name -> bytes of no pickle, or of half of one."""
    whole = pickles.dumps(pickles.stylegan_generator("F"))
    found = {f"cut-at-{k}-of-24": whole[: len(whole) * k // 24] for k in range(1, 24)}
    return found | {
        "empty": b"",
        "only-stop": b".",
        "only-protocol": b"\x80\x04",
        "page-instead-of-file": b"<!DOCTYPE html><html>Quota exceeded</html>" * 20,
        "no-such-opcode": b"\x80\x04\xff.",
        "text-that-is-none": b"\x80\x02X\2\0\0\0\xff\xfe.",
        "recall-of-nothing": b"\x80\x02h\7.",
        "mark-of-nothing": b"\x80\x02t.",
        "number-that-is-none": b"Iabc\n.",
        "zeros": bytes(5000),
        "last-byte-lost": whole[:-1],
    }


def wrong_networks():
    """Name -> bytes of networks that are not whole, or not those of their options."""
    weights = golden.variables("F", "G")
    name = "G_synthesis/8x8/Conv1/weight"
    good, nan = weights[name], weights[name].copy()
    nan[0, 0, 0, 0] = np.nan
    lacking = pickles.stylegan_generator("F")
    del lacking.components["synthesis"].variables[20]
    looped = pickles.stylegan_generator("F")
    looped.components["mapping"] = looped
    twice = pickles.stylegan_generator("F")
    twice.variables += twice.variables

    def changed(**values):
        return pickles.dumps(pickles.stylegan_generator("F", values=values))

    return {
        "nan": changed(**{name: nan}),
        "infinity": changed(**{name: np.full_like(nan, np.inf)}),
        "too-large-for-float32": changed(**{name: np.full(nan.shape, 1e300)}),
        "layer-missing": pickles.dumps(lacking),
        "layer-foreign": changed(more=ZEROS),
        "layer-of-other-shape": changed(**{name: good[:1]}),
        "layer-of-other-axes": changed(**{name: good[0]}),
        "lod-out-of-range": changed(**{"G_synthesis/lod": np.array(9, np.float32)}),
        "lod-of-many": changed(**{"G_synthesis/lod": ZEROS}),
        "component-is-itself": pickles.dumps(looped),
        "variable-twice": pickles.dumps(twice),
        "component-foreign": _network(components={"evil": pickles.network("a", "b", {}, [])}),
        "component-no-network": _network(components={"mapping": {"lod": 1}}),
        "version-5": _network(version=5),
        "version-true": _network(version=True),
        "version-huge": _network(version=2**4000),
        "no-name": _network(name=None),
        "name-of-many-lines": _network(name="G\nerror: fine"),
        "no-options": _network(static_kwargs=None),
        "options-nested": _network(static_kwargs={"resolution": [[[]]]}),
        "no-variables": _network(variables=None),
        "variables-of-another-kind": _network(variables=[("lod", "text")]),
        "variable-without-name": _network(variables=[(3, ZEROS)]),
        "variables-of-three": _network(variables=[("lod", ZEROS, ZEROS)]),
        "function-unknown": _network(build_func_name="G_main"),
        "resolution-of-pixels": _network(static_kwargs={"resolution": 2**30}),
        "resolution-odd": _network(static_kwargs={"resolution": 17}),
        "widths-huge": _network(
            static_kwargs={"resolution": 2**16, "fmap_max": 2**16, "fmap_base": 2**16}
        ),
        "layers-huge": _network(static_kwargs={"mapping_layers": 2**16}),
        "four-networks": pickles.dumps((lacking,) * 4),
        "a-number": pickle.dumps(3),
        "a-dictionary": pickle.dumps({"G": 3}),
        "nothing": pickle.dumps(()),
    }  # fmt: skip

"""Writes TFRecords as the official tool does; byte by byte, and told where to lie."""

import struct

import numpy as np

POLYNOMIAL = 0x82F63B78


def crc32c_bit_by_bit(data):
    """CRC-32C as RFC 3720 defines it, without a table."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c_bit_by_bit(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def record(data):
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<L", masked(length)) + data + struct.pack("<L", masked(data))


def varint(value):
    value &= 2**64 - 1
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def entry(name, feature):
    return field(1, field(1, name.encode()) + field(2, feature))


def integers(values, packed=True):
    if packed:
        return field(3, field(1, b"".join(varint(value) for value in values)))
    return field(3, b"".join(varint(1 << 3) + varint(value) for value in values))


def strings(*values):
    return field(1, b"".join(field(1, value) for value in values))


def example(shape, data, packed=True):
    return field(1, entry("data", strings(data)) + entry("shape", integers(shape, packed)))


def image_record(image):
    """`image` uint8 [C, H, W]."""
    return record(example(image.shape, image.tobytes()))


def write_tfrecords(folder, images, name="set", labels=None):
    """A file for each resolution, down to 4x4 by 2x2 means, and labels."""
    folder.mkdir(parents=True, exist_ok=True)
    level = np.stack(images).astype(np.float32)  # [N, C, H, W]
    while level.shape[2] >= 4:
        pixels = np.rint(level).clip(0, 255).astype(np.uint8)
        log2 = level.shape[2].bit_length() - 1
        file = folder / f"{name}-r{log2:02d}.tfrecords"
        file.write_bytes(b"".join(image_record(image) for image in pixels))
        level = level.reshape(*level.shape[:2], level.shape[2] // 2, 2, -1, 2).mean((3, 5))
    if labels is not None:
        with (folder / f"{name}-rxx.labels").open("wb") as stream:
            np.save(stream, labels)
    return folder

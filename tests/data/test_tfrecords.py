import contextlib
import struct

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.summary.writer.record_writer import RecordWriter

from stylegan.datasets.prepare import prepare
from stylegan_eval.errors import UserError
from stylegan_eval.images.containers.tfrecords import ExampleError, open_tfrecords, parse_example
from stylegan_eval.images.files import open_images
from tests.data import tfrecord_writer as writer
from tests.data.samples import noise


def images(count, size=8, channels=3):
    return [noise(size, size, n).transpose(2, 0, 1)[:channels] for n in range(count)]


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_writer_of_these_tests_has_the_checksums_of_rfc_3720(data, crc):
    assert writer.crc32c_bit_by_bit(data) == crc


def example_class():
    """tf.train.Example as the protobuf library makes it of its description."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name, *fields, into=file.message_type):
        made = into.add(name=name)
        for number, (field, kind, repeated) in enumerate(fields, start=1):
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            added = made.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".t.{kind}"
            else:
                added.type = kind
        return made

    message("BytesList", ("value", kinds.TYPE_BYTES, True))
    message("FloatList", ("value", kinds.TYPE_FLOAT, True))
    message("Int64List", ("value", kinds.TYPE_INT64, True))
    lists = [("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")]
    message("Feature", *((name, kind, False) for name, kind in lists))
    features = message("Features", ("feature", "Features.FeatureEntry", True))
    pair = [("key", kinds.TYPE_STRING, False), ("value", "Feature", False)]
    message("FeatureEntry", *pair, into=features.nested_type).options.map_entry = True
    message("Example", ("features", "Features", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


def test_files_written_by_tensorboard_and_protobuf_are_read(tmp_path):
    made = images(5, 32)
    kind = example_class()
    file = tmp_path / "peer-r05.tfrecords"
    with file.open("wb") as stream:
        records = RecordWriter(stream)
        for image in made:
            example = kind()
            # What is not of an image is passed over.
            example.features.feature["weight"].float_list.value.extend([0.5, 2])
            example.features.feature["shape"].int64_list.value.extend(image.shape)
            example.features.feature["data"].bytes_list.value.append(image.tobytes())
            example.features.feature["negative"].int64_list.value.append(-1)
            records.write(example.SerializeToString())
    found = open_tfrecords(tmp_path)
    np.testing.assert_array_equal([found.read(n) for n in range(5)], made)
    found.close()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_largest_resolution_is_read_whole(tmp_path, channels):
    made = images(3, 16, channels)
    found = open_tfrecords(writer.write_tfrecords(tmp_path, made))
    assert [found.header(n)[:2] for n in range(3)] == [(16, 16)] * 3
    for index, image in enumerate(made):
        np.testing.assert_array_equal(found.read(index), np.broadcast_to(image, (3, 16, 16)))
    found.close()


def test_a_shape_may_be_packed_or_not_and_unknown_fields_are_passed_over(tmp_path):
    (image,) = images(1)
    plain = writer.example(image.shape, image.tobytes(), packed=False)
    more = writer.varint(9 << 3) + writer.varint(2**63) + writer.field(7, b"new")
    more += bytes([5 << 3 | 1]) + bytes(8) + bytes([6 << 3 | 5]) + bytes(4)
    file = tmp_path / "one.tfrecords"
    file.write_bytes(writer.record(more + plain))
    found = open_tfrecords(file)
    np.testing.assert_array_equal(found.read(0), image)
    found.close()


def test_prepared_tfrecords_are_the_images_and_labels_that_were_written(tmp_path):
    made = images(4, 16)
    labels = np.eye(3, dtype=np.float32)[[2, 0, 1, 2]]
    source = writer.write_tfrecords(tmp_path / "src", made, labels=labels)
    done = prepare(source, tmp_path / "out.zip", progress=False)
    assert (done.kind, done.resolution, done.filter) == ("TFRecords", 16, None)
    with open_images(tmp_path / "out.zip") as files:
        assert files.labels.tolist() == [2, 0, 1, 2]
        np.testing.assert_array_equal([files.read(n) for n in range(4)], made)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([[0.5, 1], [0, 0.25]]), np.array([[0.5, 1], [0, 0.25]], np.float32)),
        # The third class never occurs: as whole numbers there would be two.
        (np.eye(3)[[1, 0]], np.eye(3, dtype=np.float32)[[1, 0]]),
        (np.array([[1.0], [1.0]]), np.array([[1], [1]], np.float32)),
        (np.array([4, 0], np.int32), np.array([4, 0])),
    ],
)
def test_labels_are_kept_exactly(tmp_path, labels, expected):
    found = open_tfrecords(writer.write_tfrecords(tmp_path, images(2), labels=labels))
    assert found.labels.dtype == expected.dtype
    np.testing.assert_array_equal(found.labels, expected)
    found.close()


def test_a_record_of_another_shape_is_named(tmp_path):
    pixels = images(1, 8)[0]
    other = pixels.reshape(3, 4, 16)
    file = tmp_path / "x.tfrecords"
    file.write_bytes(writer.image_record(pixels) + writer.image_record(other))
    found = open_tfrecords(file)
    with pytest.raises(UserError, match=r"record 1: is \(3, 4, 16\), others are \(3, 8, 8\)"):
        found.read(1)
    found.close()


def complaint_of(action):
    """The line of a `UserError`, or None; any other exception passes."""
    try:
        action()
    except UserError as error:
        return str(error)
    return None


def read_all(path):
    found = open_tfrecords(path)
    try:
        for index in range(len(found)):
            found.header(index)
            found.read(index)
    finally:
        found.close()


RECORDS = b"".join(writer.image_record(image) for image in images(2, 4))


@settings(max_examples=300)
@given(st.data())
def test_changed_bytes_give_one_error_or_the_images(tmp_path_factory, data):
    mutated = bytearray(RECORDS)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(mutated) - 1))
        mutated[place] = data.draw(st.integers(0, 255))
    del mutated[data.draw(st.integers(1, len(mutated))) :]
    file = tmp_path_factory.getbasetemp() / "mutated.tfrecords"
    file.write_bytes(bytes(mutated))
    error = complaint_of(lambda: read_all(file))
    assert error is None or (str(file) in error and "\n" not in error)
    assert error is not None or RECORDS.startswith(bytes(mutated))


@settings(max_examples=300)
@given(st.data())
def test_a_changed_example_with_a_right_checksum_gives_one_error_or_images(tmp_path_factory, data):
    """What a stranger writes on purpose has right checksums."""
    (image,) = images(1, 4)
    mutated = bytearray(writer.example(image.shape, image.tobytes()))
    for _ in range(data.draw(st.integers(1, 3))):
        # The pixels in the middle say nothing to the parser.
        place = data.draw(st.integers(0, 15) | st.integers(len(mutated) - 25, len(mutated) - 1))
        mutated[place] = data.draw(st.integers(0, 255))
    file = tmp_path_factory.getbasetemp() / "crafted.tfrecords"
    file.write_bytes(writer.record(bytes(mutated)))
    error = complaint_of(lambda: read_all(file))
    assert error is None or error.startswith(f"{file}: record 0")


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_example_or_an_example_error(data):
    found = {}
    with contextlib.suppress(ExampleError):
        found = parse_example(data)
    # What is found takes room in the message.
    assert sum(len(name) for name in found) <= 3 * len(data)
    assert sum(
        len(feature.integers) + sum(map(len, feature.strings)) for feature in found.values()
    ) <= len(data)


def test_fields_without_end_are_counted():
    with pytest.raises(ExampleError, match="more than 4096 fields"):
        parse_example(struct.pack("<BB", 7 << 3 | 2, 0) * 5000)

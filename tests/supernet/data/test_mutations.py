"""300 seeded mutations of JSON and JPEG files: an error naming file and record, or a listed skip."""

import copy
import json

import numpy as np
import pytest

from supernet.data import load_crowdpose
from supernet.errors import InputError

COUNT = 100
JUNK = (None, "x", "", [], {}, -1, 3, 10**30, 1e300, float("nan"), float("inf"), True, [1], {"id": 1})


def paths(value, prefix=()):
    """Every place in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*prefix, key)
        yield from paths(inner, (*prefix, key))


def mutate_value(rng, doc):
    """One value replaced by junk, or one key or list element of a record removed, or one record doubled."""
    doc = copy.deepcopy(doc)
    places = list(paths(doc))
    *above, last = places[rng.integers(len(places))]
    holder = doc
    for key in above:
        holder = holder[key]
    kind = rng.integers(4)
    whole_record = len(above) == 1
    if kind == 0 and not whole_record:
        del holder[last]
    elif kind == 1 and whole_record:
        holder.append(copy.deepcopy(holder[last]))
    else:
        holder[last] = JUNK[rng.integers(len(JUNK))]
    return doc, (*above, last)


def mutate_bytes(rng, data):
    """Flipped, zeroed, removed or inserted bytes, or a cut, or something else altogether."""
    data = bytearray(data)
    at = int(rng.integers(len(data)))
    kind = rng.integers(7)
    if kind == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif kind == 1:
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    elif kind == 2:
        del data[at : at + int(rng.integers(1, 40))]
    elif kind == 3:
        data[at:at] = rng.bytes(int(rng.integers(1, 40)))
    elif kind == 4:
        del data[at:]
    elif kind == 5:
        data[: min(40, at)] = rng.bytes(min(40, at))
    else:
        data = bytearray(rng.bytes(len(data)))
    return bytes(data)


def read_all(root, policy):
    """The data set with every image read; images that cannot be are returned as messages."""
    dataset = load_crowdpose(root, "train", on_error=policy)
    messages = []
    for index, record in enumerate(dataset.records):
        try:
            assert dataset.read_image(index).shape == (record.height, record.width, 3)
        except InputError as error:
            messages.append(str(error))
    return dataset, messages


def check_message(text, *names):
    assert "\n" not in text
    assert len(text) < 500
    assert any(name in text for name in names), text


@pytest.mark.parametrize("seed", range(COUNT))
def test_mutated_json_values(crowdpose_root, seed):
    rng = np.random.default_rng([1, seed])
    path = crowdpose_root / "json/crowdpose_train.json"
    original = json.loads(path.read_text())
    mutated, place = mutate_value(rng, original)
    path.write_text(json.dumps(mutated))
    try:
        dataset, messages = read_all(crowdpose_root, "raise")
    except InputError as error:
        check_message(str(error), "crowdpose_train.json", "crowdpose-train")
        try:
            skipping, _ = read_all(crowdpose_root, "skip")
        except InputError as whole:  # nothing in the file could be used
            check_message(str(whole), "crowdpose_train.json", "crowdpose-train")
            return
        assert skipping.skipped
        listed = " ".join(map(str, skipping.skipped))
        gone = {i["id"] for i in original["images"]} - {r.image_id for r in skipping.records}
        assert len(gone) <= 2
        # A mutated image id can only be named by its position.
        named = [f"image {key}" in listed for key in gone if place[2:] != ("id",)]
        assert all(named) or "image at position" in listed
        return
    # No error: then nothing may be lost, and only the mutated value may differ.
    assert not messages
    assert len(dataset) == len(original["images"])
    assert dataset.num_people == len(original["annotations"])
    truth = {a["id"]: a for a in dataset.ground_truth()["annotations"]}
    before = {a["id"]: a for a in original["annotations"]}
    assert sum(truth.get(key) != before[key] for key in before) <= 1


@pytest.mark.parametrize("seed", range(COUNT))
def test_mutated_json_bytes(crowdpose_root, seed):
    path = crowdpose_root / "json/crowdpose_train.json"
    original = json.loads(path.read_text())
    path.write_bytes(mutate_bytes(np.random.default_rng([2, seed]), path.read_bytes()))
    for policy in ("raise", "skip"):
        try:
            dataset, messages = read_all(crowdpose_root, policy)
        except InputError as error:
            check_message(str(error), "crowdpose_train.json", "crowdpose-train")
            continue
        assert not messages
        gone = {i["id"] for i in original["images"]} - {r.image_id for r in dataset.records}
        assert len(gone) <= len(dataset.skipped)
        if not dataset.skipped:
            assert dataset.num_people == len(original["annotations"])


@pytest.mark.parametrize("seed", range(COUNT))
def test_mutated_images(crowdpose_root, seed):
    rng = np.random.default_rng([3, seed])
    whole, _ = read_all(crowdpose_root, "raise")
    victim = int(rng.integers(len(whole)))
    path = crowdpose_root / "images" / whole.records[victim].file_name
    if seed % 20 == 0:
        path.unlink()
        if seed % 40 == 0:
            path.mkdir()
    else:
        path.write_bytes(mutate_bytes(rng, path.read_bytes()))
    skipping, messages = read_all(crowdpose_root, "skip")
    # Left out on opening (its header tells) or refused on reading, once; or it reads with the right size.
    assert len(skipping.skipped) + len(messages) <= 1
    assert len(skipping) + len(skipping.skipped) == len(whole)
    for text in [*map(str, skipping.skipped), *messages]:
        check_message(text, path.name)
    if skipping.skipped:
        with pytest.raises(InputError, match=path.name):
            load_crowdpose(crowdpose_root, "train")

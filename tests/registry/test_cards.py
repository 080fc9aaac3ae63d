from __future__ import annotations

import dataclasses
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from worldsim.errors import CardError, IntegrityError, PluginError, StorageError
from worldsim.models.cat import Cat
from worldsim.registry import from_pretrained, save_pretrained
from worldsim.registry.artefact import MAX_MODEL_BYTES, card_tensors, model_bytes, open_model, sha256_of
from worldsim.registry.cards import card_from_json, card_to_json
from worldsim.types import ModelCard, ParameterPrior, Shape


def broken(card: ModelCard, path: str, value: object) -> str:
    """The card's JSON with one field replaced."""
    document = json.loads(card_to_json(card))
    *parents, last = [int(p) if p.isdecimal() else p for p in path.split(".")]
    place = document
    for step in parents:
        place = place[step]
    place[last] = value
    return json.dumps(document)


def test_a_card_survives_json(cat_card):
    assert card_from_json(card_to_json(cat_card)) == cat_card


def test_the_same_card_gives_the_same_bytes(cat_card):
    assert card_to_json(cat_card) == card_to_json(dataclasses.replace(cat_card))
    assert model_bytes(cat_card) == model_bytes(dataclasses.replace(cat_card))


def test_numpy_numbers_are_taken_for_what_they_are(cat_card):
    priors = tuple(dataclasses.replace(p, mean=np.float64(p.mean), std=np.float32(0.25)) for p in cat_card.parameters)
    assert card_from_json(card_to_json(cat_card.replace(parameters=priors))).parameters[0].std == 0.25


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("model_id", "cat/../../x", "field model_id"),
        ("model_id", "Cat/Tom", "field model_id"),
        ("model_id", "cat", "field model_id"),
        ("model_id", "a/" + "b" * 10**4, "field model_id"),
        ("version", -1, "field version"),
        ("version", 1.5, "field version"),
        ("version", True, "field version"),
        ("kind", "a cat", "field kind"),
        ("family", "os.system", None),
        ("family", "__import__('os')", "field family"),
        ("parameters.0.mean", -1.0, "transform 'log', expected > 0"),
        ("parameters.0.mean", "1.8", "field parameters.0.mean"),
        ("parameters.0.std", -0.1, "field parameters.0.std"),
        ("parameters.1.name", "burst_speed_m_s", "name one twice"),
        ("parameters.0.transform", "exp", "field parameters.0.transform"),
        ("parameters.0.mean", 1e300, "field parameters.0.mean"),
        ("shape.kind", "torus", "field shape.kind"),
        ("shape.extent_m", [1.0, 1.0], "field shape.extent_m"),
        ("shape.extent_m.0", 0.0, "field shape.extent_m.0"),
        ("descriptor.appearance", [0.0] * 11, "field descriptor.appearance"),
        ("tags", ["x"] * 33, "field tags"),
        ("provenance", "x" * 5000, "field provenance"),
        ("provenance", "bell \x07", "field provenance"),
        ("parents", ["cat/a"], "field parents.0"),
        ("sha256", "xyz", "field sha256"),
        ("entry_point", "os:system", "field entry_point: Extra inputs"),
    ],
)
def test_a_broken_card_is_refused_by_the_field(cat_card, path, value, said):
    text = broken(cat_card, path, value)
    if said is None:
        assert card_from_json(text).family == value  # a well-formed name; the plug-in table decides
    else:
        with pytest.raises(CardError, match=said):
            card_from_json(text)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", '{"format": 1e999}', "[" * 100_000, '"' + "x" * 10**6 + '"', b"\xff"]
)
def test_what_is_no_card_is_refused(text):
    with pytest.raises(CardError):
        card_from_json(text)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 10**400])
def test_a_number_that_is_not_finite_is_refused(cat_card, bad):
    prior = dataclasses.replace(cat_card.parameters[0], std=bad)
    with pytest.raises(CardError):
        card_to_json(cat_card.replace(parameters=(prior, *cat_card.parameters[1:])))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=10), inner, max_size=5),
    max_leaves=10,
)
FIELDS = ("model_id", "version", "kind", "family", "parameters", "shape", "descriptor", "licence", "provenance", "tags",
          "evidence", "parents", "sha256")  # fmt: skip
CARD = ModelCard(
    "a/b", 1, "k", "static", (ParameterPrior("p", 1.0, 0.1),), Shape("box", (1.0, 1.0, 1.0), (0.1, 0.1, 0.1))
)


@settings(max_examples=300, deadline=None)
@given(field=st.sampled_from(FIELDS), value=json_values)
def test_any_value_in_any_field_is_taken_or_is_a_card_error(field, value):
    document = json.loads(card_to_json(CARD))
    document[field] = value
    try:
        card = card_from_json(json.dumps(document))
    except CardError:
        return
    assert card_from_json(card_to_json(card)) == card


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_card_error(data):
    with pytest.raises(CardError):
        card_from_json(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_as_a_model_file_are_a_card_error(data):
    with pytest.raises(CardError):
        open_model(CARD.replace(sha256=sha256_of(data)), data)


def opened(card: ModelCard, tensors: dict[str, np.ndarray]) -> None:
    data = save(tensors, metadata={"format": "np"})
    open_model(card.replace(sha256=sha256_of(data)), data)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("prior_mean", np.zeros(3), "float64 .3., expected float64 .5."),
        ("prior_mean", np.zeros(5), "do not belong together"),
        ("prior_mean", np.full(5, np.nan), "do not belong together"),
        ("prior_mean", np.zeros(5, dtype=np.int64), "int64"),
        ("extent_m", np.zeros((3, 1)), "expected float64 .3."),
        ("weights", np.zeros(5), "its card asks for"),
        ("test_stream.time_s", np.zeros(5, dtype=np.float32), "its test stream holds"),
    ],
)
def test_tensors_that_are_not_the_cards_are_refused(cat_card, name, value, said):
    with pytest.raises(CardError, match=said):
        opened(cat_card, {**card_tensors(cat_card), name: value})


def test_a_header_that_claims_gigabytes_is_refused_unread(cat_card):
    data = struct.pack("<Q", 2**40) + b"{}"
    with pytest.raises(CardError, match="header claims"):
        open_model(cat_card.replace(sha256=sha256_of(data)), data)


def test_a_pickle_in_disguise_is_refused_unread(cat_card):
    data = b"\x80\x04cos\nsystem\n(S'echo pwned'\ntR."
    with pytest.raises(CardError, match="a pickle never is"):
        open_model(cat_card.replace(sha256=sha256_of(data)), data)


def test_a_model_file_that_is_too_long_is_refused(cat_card):
    data = bytes(MAX_MODEL_BYTES + 1)
    with pytest.raises(CardError, match="expected at most"):
        open_model(cat_card.replace(sha256=sha256_of(data)), data)


def test_a_folder_holds_a_model_whole(tmp_path, cat_card):
    folder = save_pretrained(Cat(cat_card), tmp_path / "cat")
    assert sorted(f.name for f in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert from_pretrained(folder).card.replace(sha256="") == cat_card
    assert (folder / "README.md").read_text().startswith("---\nlibrary_name: worldsim\nlicense: ")


def test_a_truncated_model_file_is_an_integrity_error(tmp_path, cat_card):
    folder = save_pretrained(Cat(cat_card), tmp_path)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(IntegrityError, match="truncated or was changed"):
        from_pretrained(folder)


def test_a_folder_without_a_model_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match=r"expected config.json and"):
        from_pretrained(tmp_path)


def test_a_card_cannot_name_a_class_outside_the_plugin_table(tmp_path, cat_card):
    folder = save_pretrained(Cat(cat_card), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    config["family"] = "os.system"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PluginError, match=r"unknown family of object models 'os.system'.*Known: cat"):
        from_pretrained(folder)

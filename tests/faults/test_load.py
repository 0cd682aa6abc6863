"""Predictions by four threads of one process are those of one alone, and memory comes back; `make faults` asks more."""

import pytest
from faults.load import NOT_INSTALLED, images, predictors, put_under_load


def test_answers_of_threads_are_those_of_one_alone(tmp_path):
    tried = []
    for name, predict in predictors(tmp_path, 0):
        load = put_under_load(predict, 300, images(0))
        assert load.same == load.predictions == 300, name
        assert load.growth < 5, name
        tried.append(name)
    assert tried[:2] == ["early exit", "subnetwork"]
    if NOT_INSTALLED:
        pytest.skip(f"no ONNX file was asked; not installed: {', '.join(NOT_INSTALLED)} (the extra [export])")
    assert tried[2:] == ["ONNX file"]


def test_the_images_leave_at_several_places(tmp_path):
    """Else the threads would all do the same."""
    predict = dict(predictors(tmp_path, 0))["early exit"]
    assert len({int(predict(x)[1]) for x in images(0)}) == 3

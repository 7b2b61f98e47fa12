"""Frame numbers and the place of bulk data, as they stand in a path."""

from __future__ import annotations

import pytest

from proxy.model import Reason

from .building import INSTANCE_PATH, accepted, refused


@pytest.mark.parametrize(
    ("text", "frames"), [("1", (1,)), ("3,1,2", (3, 1, 2)), ("99999999", (99999999,)), ("10,1", (10, 1))]
)
def test_frames_keep_their_order(text, frames):
    assert accepted(f"{INSTANCE_PATH}/frames/{text}").frames == frames


@pytest.mark.parametrize(
    "text", ["0", "01", "-1", "1,", ",1", "1,,2", "1,1", "1,2,1", "100000000", "1.0", "a", "1-3", "~", "1e1"]
)
def test_frames_that_are_no_list_of_numbers_are_refused(text):
    assert refused(f"{INSTANCE_PATH}/frames/{text}") is Reason.INVALID_PATH
    assert refused(f"{INSTANCE_PATH}/frames/{text}", method="OPTIONS") is Reason.INVALID_PATH


def test_the_number_of_frames_is_bounded():
    assert len(accepted(f"{INSTANCE_PATH}/frames/" + ",".join(map(str, range(1, 1001)))).frames) == 1000
    assert refused(f"{INSTANCE_PATH}/frames/" + ",".join(map(str, range(1, 1002)))) is Reason.INVALID_PATH


@pytest.mark.parametrize("resource", ["rendered", "thumbnail"])
def test_an_image_is_made_of_one_frame(resource):
    assert accepted(f"{INSTANCE_PATH}/frames/2/{resource}").frames == (2,)
    for text in ("1,2", "0", "01", "1,", "x"):
        assert refused(f"{INSTANCE_PATH}/frames/{text}/{resource}") is Reason.INVALID_PATH


@pytest.mark.parametrize(
    ("text", "bulk"),
    [
        ("7fe00010", ("7fe00010",)),
        ("7FE00010", ("7fe00010",)),
        ("54000100/1/54001010", ("54000100", "1", "54001010")),
        ("0009100A/12/0009100b/3/00091001", ("0009100a", "12", "0009100b", "3", "00091001")),
        ("00080001" + "/1/00081140" * 16, ("00080001", *("1", "00081140") * 16)),
    ],
)
def test_bulk_data_is_found_by_tags_in_lower_case_and_items(text, bulk):
    assert accepted(f"{INSTANCE_PATH}/bulk/{text}").bulk == bulk


@pytest.mark.parametrize(
    "text",
    [
        "7fe0010",
        "7fe000100",
        "7fe0001g",
        "PixelData",
        "7fe0,0010",
        "00000002",
        "00020010",
        "00041220",
        "00071001",
        "fffee000",
        "FFFFFFFF",
        "54000100/1",
        "54000100/0/54001010",
        "54000100/01/54001010",
        "54000100/x/54001010",
        "54000100/100000000/54001010",
        "54000100/54001010",
        "54000100/1/00020010",
        "1/54000100",
        "54000100/1/54001010/1",
        "00080001" + "/1/00081140" * 17,
    ],
)
def test_another_place_of_bulk_data_is_refused(text):
    assert refused(f"{INSTANCE_PATH}/bulk/{text}") is Reason.INVALID_PATH


@pytest.mark.parametrize("text", ["7fe00010/..", "..", "7fe00010/", "7fe00010//1", "7fe00010%2f1", "7fe00010\\1"])
def test_bulk_data_has_no_second_way_up(text):
    assert refused(f"{INSTANCE_PATH}/bulk/{text}") is Reason.INVALID_PATH

# SPDX-License-Identifier: GPL-3.0-or-later
"""The matrix of faults is whole: no cell is lost without a reason, and each that is run knows its way out."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fault_cells as matrix
import pytest
from fault_cells import Cell


def test_every_cell_is_run_or_excluded_with_a_reason():
    every = list(matrix.every())
    assert len(every) == len(set(every)) == len(matrix.PHASES) * len(matrix.SIDES) * len(matrix.FAULTS)
    run = matrix.cells()
    assert len(run) >= 90
    for cell in set(every) - set(run):
        assert matrix.excluded(cell), cell


def test_no_phase_and_no_fault_is_excluded_whole_but_for_the_clock():
    run = matrix.cells()
    assert {cell.phase for cell in run} == set(matrix.PHASES)
    assert set(matrix.FAULTS) - {cell.fault for cell in run} == {matrix.CLOCK}


def test_each_side_is_struck_in_each_phase():
    run = {(cell.phase, cell.side) for cell in matrix.cells()}
    assert run == {(phase, side) for phase in matrix.PHASES for side in matrix.SIDES}


@pytest.mark.parametrize("cell", matrix.cells(), ids=lambda cell: cell.name)
def test_a_way_leads_out_of_each_cell(cell: Cell):
    expected = matrix.expected(cell)
    assert expected.ways
    assert len(expected.ways) == len(set(expected.ways))
    # The guest may have been booted twice only where a way starts it afresh.
    assert matrix.START in expected.ways or expected.boots == 1
    assert expected.ways[0] != matrix.START or expected.boots == 2
    if cell.phase in (matrix.IDLE, matrix.CHECKPOINT):
        assert matrix.AGAIN not in expected.ways, "nothing was being run"


@pytest.mark.parametrize(
    ("cell", "ways"),
    [
        (Cell(matrix.IDLE, matrix.PRIMARY, matrix.OFF), (matrix.FAIL_OVER,)),
        (Cell(matrix.IDLE, matrix.STANDBY, matrix.KILLED), (matrix.DEPLOY,)),
        (Cell(matrix.IDLE, matrix.PRIMARY, matrix.DIRECTORY), (matrix.FAIL_OVER_OTHER,)),
        (Cell(matrix.SYNC, matrix.PRIMARY, matrix.OFF), (matrix.START,)),
        (Cell(matrix.RESYNC, matrix.STANDBY, matrix.CUT), (matrix.AGAIN, matrix.FAIL_OVER)),
        (Cell(matrix.DRILL, matrix.PRIMARY, matrix.BOTH_OFF), (matrix.START,)),
        (Cell(matrix.FAILOVER, matrix.STANDBY, matrix.LIBVIRTD), (matrix.AGAIN,)),
    ],
    ids=lambda value: value.name if isinstance(value, Cell) else "",
)
def test_the_way_out_is_that_of_the_readme(cell: Cell, ways: tuple[str, ...]):
    assert matrix.expected(cell).ways == ways


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (Cell(matrix.IDLE, matrix.PRIMARY, matrix.CLOCK), "clock"),
        (Cell(matrix.IDLE, matrix.PRIMARY, matrix.OVERLAY), "standby alone"),
        (Cell(matrix.CHECKPOINT, matrix.PRIMARY, matrix.FULL), "longer"),
        (Cell(matrix.SYNC, matrix.PRIMARY, "compare reset"), "nothing until"),
        (Cell(matrix.IDLE, matrix.PRIMARY, matrix.RUN_KILLED), "nothing is being run"),
        (Cell(matrix.FAILOVER, matrix.PRIMARY, "nbd blocked"), "other host is off"),
    ],
    ids=lambda value: value.name if isinstance(value, Cell) else "",
)
def test_a_reason_says_why(cell: Cell, reason: str):
    assert reason in (matrix.excluded(cell) or "")


def test_the_sample_is_eight_cells_that_are_run():
    assert len(set(matrix.SAMPLE)) == 8
    assert set(matrix.SAMPLE) <= set(matrix.cells())


def test_a_run_that_is_cut_off_has_tried_each_fault_before_any_twice() -> None:
    order = matrix.spread(matrix.cells())
    assert sorted(cell.name for cell in order) == sorted(cell.name for cell in matrix.cells())
    faults = {cell.fault for cell in order}
    assert {cell.fault for cell in order[: len(faults)]} == faults
    assert len({cell.phase for cell in order[: len(matrix.PHASES)]}) >= len(matrix.PHASES) - 2

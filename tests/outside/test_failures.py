"""The table of test patients: sorted, narrowed, and the way into the viewer."""

import pytest


@pytest.fixture
def page(opened):
    return opened()


def shown(page, column: int) -> list[str]:
    """The texts of a column (from 0 on) of the rows that are to be seen."""
    cells = page.locator(f"#failures tbody tr:not([hidden]) > :nth-child({column + 1})")
    return [text.strip() for text in cells.all_inner_texts()]


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace("−", "-")) for text in texts]


def test_the_worst_dice_comes_first_until_it_is_turned_round(page):
    dice = numbers(shown(page, 2))
    assert len(set(dice)) > 1
    assert dice == sorted(dice)
    page.locator("#failures button", has_text="Dice").click()
    assert numbers(shown(page, 2)) == dice[::-1]


def test_other_columns_have_the_worst_first(page):
    page.locator("#failures button", has_text="HD95").click()
    distances = numbers(shown(page, 3))
    assert distances == sorted(distances, reverse=True)
    page.locator("#failures button", has_text="Volume error").click()
    errors = [abs(value) for value in numbers(shown(page, 4))]
    assert errors == sorted(errors, reverse=True)
    assert page.locator("#failures th[aria-sort]").count() == 1


def test_one_arm_at_a_time(page):
    rows = len(shown(page, 0))
    arms = page.locator("#failures-arm option").all_inner_texts()[1:]
    page.locator("#failures-arm").select_option(arms[0])
    assert set(shown(page, 1)) == {arms[0]}
    assert len(shown(page, 0)) == rows / len(arms)
    page.locator("#failures-arm").select_option("")
    assert len(shown(page, 0)) == rows


@pytest.mark.parametrize("number", [0, -1])
def test_a_row_leads_to_reference_and_prediction_side_by_side(page, number):
    row = page.locator("#failures tbody tr:not([hidden])").nth(number)
    name, arm, dice = (text.strip() for text in row.locator("th, td").all_inner_texts()[:3])
    row.locator("a").click()
    page.wait_for_function(
        "dice => document.querySelector('#right-facts').innerText.includes(dice)", arg=dice
    )
    for side, label in (("left", "reference"), ("right", f"prediction of {arm}")):
        assert page.locator(f"#{side}-patient option:checked").inner_text().startswith(name)
        assert page.locator(f"#{side}-label option:checked").inner_text() == label
        assert page.locator(f"#{side}").get_attribute("aria-label").startswith(name)
    assert page.locator("#viewer").bounding_box()["y"] < 900
    totals = page.evaluate(
        "['left', 'right'].map(s => sbldm.viewers[s].volumes[1].img.reduce((a, b) => a + b, 0))"
    )
    assert totals[0] > 0
    assert totals[0] != totals[1]
    places = page.evaluate(
        "['left', 'right'].map(s => Array.from(sbldm.viewers[s].scene.crosshairPos))"
    )
    assert places[0] == pytest.approx(places[1])

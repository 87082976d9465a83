import re

from keras_winit._show import table

HEADER = ["weight", "fan", "std", "why"]
ROWS = [
    ["dense/kernel", 128, 0.12345678, "relu follows"],
    ["bias", None, 1e-7, ""],
    ["n", 4, None, None],
]


def test_text_is_aligned_with_numbers_to_the_right():
    assert table.text(HEADER, ROWS, "Title") == "\n".join(
        [
            "Title",
            "weight        fan     std  why",
            "------------  ---  ------  ------------",
            "dense/kernel  128  0.1235  relu follows",
            "bias            -   1e-07",
            "n               4       -  -",
        ]
    )


def test_a_header_wider_than_its_column_decides_the_width():
    assert table.text(["a", "fan in"], [["long", 3]]) == "a     fan in\n----  ------\nlong       3"


def test_a_column_with_any_text_is_text():
    assert table.text(["a", "b"], [[1, "x"], ["y", 2]]) == "a  b\n-  -\n1  x\ny  2"


def test_a_table_without_rows_is_its_header():
    assert table.text(["a", "bc"], [], "None") == "None\na  bc\n-  --"
    assert without_style(table.to_html(["a"], [])) == (
        "<table><thead><tr><th>a</th></tr></thead><tbody></tbody></table>"
    )


def without_style(page):
    return re.sub(' style="[^"]*"', "", page)


def test_html_has_the_same_cells():
    page = table.to_html(["a", "b"], [["x", None], ["y", 0.5]], "Title")
    assert without_style(page) == (
        "<table><caption>Title</caption>"
        "<thead><tr><th>a</th><th>b</th></tr></thead>"
        "<tbody><tr><td>x</td><td>-</td></tr><tr><td>y</td><td>0.5</td></tr></tbody></table>"
    )


def test_html_has_words_left_and_numbers_right_and_short_cells_in_one_line():
    long = "many words that take up more than a line"
    page = table.to_html(["a", "b"], [[long, 0.5]])
    assert f'<td style="text-align: left">{long}</td>' in page
    assert '<td style="text-align: right; white-space: nowrap">0.5</td>' in page
    assert '<th style="text-align: left; white-space: nowrap">a</th>' in page


def test_html_is_escaped_everywhere():
    bad = "<b>&\"'"
    page = table.to_html([bad], [[bad]], bad)
    assert page.count("&lt;b&gt;&amp;&quot;&#x27;") == 3
    assert bad not in page


def test_control_characters_are_shown_and_not_sent_to_the_terminal():
    text = table.text(["a"], [["b\n\x9bc"], ["é \u202e\x7f"]], title="d\te\n\rf")
    assert text.splitlines() == [
        r"d\te",
        r"\rf",
        "a",
        "------------",
        r"b\n\x9bc",
        r"é \u202e\x7f",
    ]

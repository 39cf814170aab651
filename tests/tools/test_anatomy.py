"""The anatomy check: the sample passes, and each change is seen and named."""

import json

import nbformat
import pytest

from tools import anatomy


def wrong(course, **kwargs):
    return anatomy.problems(course, "98_sample", sizes=False, **kwargs)


@pytest.fixture
def edit(course):
    """Change the built notebook; the change is made on the text of its cells."""

    def change(old, new):
        path = course.notebook("98_sample")
        notebook = nbformat.read(path, as_version=4)
        old, new = old.replace("'the root of 16 is'", '"the root of 16 is"'), new
        found = [cell for cell in notebook.cells if old in cell.source]
        assert found, old
        for cell in found:
            cell.source = cell.source.replace(old, new)
        nbformat.write(notebook, path)
        return wrong(course)

    return change


def test_the_sample_is_in_order(built):
    assert wrong(built) == []


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("does the machinery work?", "it works.", "end as a question"),
        ("# 98 Sample", "# 97 Sample", "the title must be '# 98"),
        ("20 min · CPU · 3 s", "20 min · 3 s", "no line '75 min"),
        ("After this lesson you can", "You can", "'After this lesson you can' is missing"),
        ("3. tell a right", "tell a right", "a list of 3 to 5 verbs"),
        ("setup(seed=98)", "pass", "must be tagged 'setup'"),
        ("## 1 A root (5 min)", "## 1 A root", "section 1 'A root' has no minutes"),
        ("**Predict, then run.**", "Guess.", "nowhere '**Predict"),
        ("## 2 Exercise: the", "## 2 Now the", "no exercise"),
        ("★★☆", "hard", "needs minutes and stars"),
        ("<details><summary>Hint", "<p><b>Hint", "has no hint"),
        ("**What you should see.**", "Look:", "no 'What you should see'"),
        ("## At scale", "## Bigger", "'At scale' is missing"),
        ("## Recap", "## So", "'Recap' is missing"),
        ("## Questions", "## Asked", "'Questions' is missing"),
        ("## Sources", "## Books", "'Sources' is missing"),
        ("## Next", "## Then", "'Next' is missing"),
        ("## At scale", "#### At scale", "skips a level"),
        ("check(my_mask,", "check(reference,", "check(my_mask, ...)"),
        ("print('the root of 16 is'", "\n" * 30 + "print('the root of 16 is'", "31 lines of code"),
        ("print('the root of 16 is'", "print('" + "r" * 85 + "'", "a line over 88 columns"),
    ],
)  # fmt: skip
def test_each_missing_part_is_named(edit, old, new, words):
    assert any(words in line for line in edit(old, new))


def test_a_cell_just_within_the_limits_is_in_order(edit):
    assert (
        edit("print('the root of 16 is'", "\n" * 29 + "print('the root of 16 is'") == []
    )  # 30 lines


def test_a_line_just_within_the_limit_is_in_order(edit):
    assert edit("object()", "object()  #" + "-" * 77) == []  # 88 columns


def test_the_order_of_the_ending(edit):
    assert any("in this order" in line for line in edit("## Recap", "## Next\n\n## Recap"))


def test_a_changed_master_is_seen(course):
    master = course.master("98_sample")
    master.write_text(master.read_text() + "\n")
    assert wrong(course) == ["the master has changed since the build; build it again, or pull"]


def test_a_missing_notebook(course):
    course.notebook("98_sample").unlink()
    assert "is not built" in wrong(course)[0]


def test_a_figure_without_alt_text_and_a_label_used_twice(course):
    path = course.notebook("98_sample")
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if "label-root" in cell.metadata.get("tags", []):
            cell.metadata.tags = ["label-curve"]
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.metadata["image/png"]["alt"] = ""
                output.data["image/png"] = "A" * 90_000
    nbformat.write(notebook, path)
    found = "\n".join(wrong(course))
    assert "a figure without alt text" in found
    assert "a figure over 60 KB" in found
    assert "the label 'curve' stands twice" in found


def test_an_error_must_be_meant(course):
    path = course.notebook("98_sample")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[3].metadata.tags = ["raises-exception"]
    nbformat.write(notebook, path)
    assert any("'raises-exception' go together" in line for line in wrong(course))


def test_sizes_and_budgets(course):
    costs = json.loads(course.costs.read_text())
    costs["98_sample"] |= {"cpu_seconds": 6.0, "peak_memory_gb": 1.0}
    course.costs.write_text(json.dumps(costs))
    assert anatomy.problems(course, "98_sample") == ["14 cells; between 40 and 90"]
    costs["98_sample"] |= {"cpu_seconds": 6.1, "peak_memory_gb": 1.1}
    course.costs.write_text(json.dumps(costs))
    found = "\n".join(anatomy.problems(course, "98_sample"))
    assert "CPU time: 6.1 s measured, over twice the 3 stated" in found
    assert "memory: 1.1 GB measured, over twice the 0.5 stated" in found
    course.costs.unlink()
    assert any("not measured" in line for line in anatomy.problems(course, "98_sample"))


def test_words_and_bytes_have_a_limit(course):
    path = course.notebook("98_sample")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].source += " word" * 4001
    notebook.cells[4].source += "# " + "x" * 500_000
    nbformat.write(notebook, path)
    found = "\n".join(anatomy.problems(course, "98_sample"))
    assert "words; at most 4000" in found
    assert "KB; at most 500" in found


def test_formulas_are_no_words_and_chinese_counts_half():
    cell = nbformat.v4.new_markdown_cell("two words $x + y$ $$\\sqrt{a}$$ 字节对编码合并")
    assert anatomy.count_words(nbformat.v4.new_notebook(cells=[cell])) == 2 + 3


def test_advice_is_given(course):
    assert anatomy.advice(course, "98_sample") == []
    path = course.notebook("98_sample")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = notebook.cells[0].source.replace("20 min", "60 min")
    nbformat.write(notebook, path)
    assert anatomy.advice(course, "98_sample") == [
        "the sections sum to 15 minutes, the header says 60"
    ]

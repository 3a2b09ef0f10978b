"""What distributions announce: one whose metadata are broken is a row with the mend, and is nobody else's trouble."""

import importlib

import pytest

from ftstudio.announced import announced
from ftstudio.plugins import OWN, Described, Record, Registry, UnknownNameError, discover, registry
from ftstudio.remarks import told_apart

METADATA = b"Metadata-Version: 2.1\nName: dist-x\nVersion: 1.5\n"
POINTS = b"[console_scripts]\nx = x:main\n[ftstudio]\nplug = plug_mod\n"


@pytest.fixture
def distribution(tmp_path, monkeypatch, fresh_registry):
    """Install the metadata of a distribution; None for a file that is not there."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def put(points=POINTS, metadata=METADATA, name="dist_x-1.5.dist-info", place=site):
        (place / name).mkdir()
        for file, content in (("entry_points.txt", points), ("METADATA", metadata)):
            if content is not None:
                (place / name / file).write_bytes(content)
        importlib.invalidate_caches()
        return place / name

    return put


def strangers():
    return [entry for entry in announced() if entry.distribution != OWN]


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (None, "has no Name, or is not there."),
        (b"Metadata-Version: 2.1\nVersion: 1.5\n", "has no Name, or is not there."),
        (b"Metadata-Version: 2.1\nName: dist-x\n", "has no Version, or is not there."),
        (b"Metadata-Version: 2.1\nName: dist-\xff\xfe\nVersion: 1.5\n", "is no UTF-8."),
    ],
)
def test_metadata_that_are_broken_are_a_row_with_the_mend_and_the_others_work(distribution, metadata, says):
    folder = distribution(metadata=metadata)
    records = registry().records
    assert [r.status for r in records if r.distribution == OWN] == ["active"] * 6
    (broken,) = [r for r in records if r.distribution != OWN]
    assert (broken.title, broken.status) == ("plugin plug (dist_x 1.5)", "failed")
    assert broken.reason.startswith("What is known of its distribution is broken: its METADATA ")
    assert broken.reason.endswith(says)
    assert broken.mend == f"Delete '{folder}', then install it again."


@pytest.mark.parametrize(
    ("points", "name", "says"),
    [
        (b"[ftstudio]\nno equals sign\n", "dist-x", "Its entry point reads 'no equals sign'; expected name ="),
        (b"[ftstudio]\nplug =\n", "plug", "Its entry point reads 'plug ='; expected name = package.module"),
        (b"[ftstudio]\n= plug_mod\n", "dist-x", "Its entry point reads '= plug_mod'"),
        (b"[ftstudio]\nplug = plug_mod :\n", "plug", "Its entry point reads 'plug = plug_mod :'"),
        (b"[ftstudio]\nplug = \x1b[2J\n", "plug", "Its entry point reads 'plug = \\x1b[2J'"),
        (b"[ftstudio]\nplug = \xff\n", "dist_x", "its entry_points.txt is no UTF-8."),
    ],
)
def test_an_entry_point_that_cannot_be_read_is_a_row(distribution, points, name, says):
    distribution(points)
    (entry,) = strangers()
    assert entry.name == name
    assert says in entry.reason


@pytest.mark.parametrize(
    ("points", "metadata"),
    [
        (None, None),
        (b"[console_scripts]\nno equals sign\n", None),
        (b"[console_scripts]\nx = \xff\n", METADATA),
        (b"[ftstudio\nplug = plug_mod\n", METADATA),
    ],
)
def test_a_broken_distribution_that_announces_no_plugin_is_none(distribution, points, metadata):
    distribution(points, metadata)
    assert strangers() == []


@pytest.mark.parametrize(
    ("value", "read"),
    [("plug_mod", "plug_mod"), ("a.b : c.d", "a.b : c.d"), ("plug_mod [extra, more]", "plug_mod"), ("a:b[x]", "a:b")],
)
def test_extras_behind_an_entry_point_mean_nothing(distribution, value, read):
    distribution(f"# a comment\n[ftstudio]\n# another\n\nplug={value}\n".encode())
    assert [(e.name, e.value, e.version, e.reason) for e in strangers()] == [("plug", read, "1.5", "")]


def test_of_two_distributions_with_one_name_the_first_counts(distribution, tmp_path, monkeypatch):
    distribution()
    (tmp_path / "later").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "later"))
    distribution(metadata=METADATA.replace(b"dist-x", b"Dist_X").replace(b"1.5", b"2"), place=tmp_path / "later")
    assert [e.version for e in strangers()] == ["2"]


def test_what_is_broken_can_be_disabled(distribution):
    distribution(metadata=None)
    (record,) = discover(strangers(), frozenset({"plug"})).records
    assert (record.status, record.mend) == ("disabled", "Enable it: ftstudio plugins enable plug")


# ----------------------------------------------------------------------------------------- several with one name


def offering(name, distribution):
    """A plugin that offers the dataset rows."""
    return Record(
        name=name, value=name, distribution=distribution, version="1", status="active",
        components=(Described(kind="dataset", name="rows", summary=""),),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plugins", "use", "says"),
    [
        ("a/x b/y", "rows", "Two plugins offer the dataset 'rows'. Write use = 'a/rows' and 'b/rows': one of them."),
        ("a/x a/y", "rows", "Two plugins offer the dataset 'rows'. Several come with a: disable all of them but one, such as with 'ftstudio plugins disable x'."),
        ("a/x a/y", "a/rows", "Two plugins offer the dataset 'rows'. Several come with a: disable all of them but one,"),
        ("a/x a/y b/z", "rows", "3 plugins offer the dataset 'rows'. Write use = 'b/rows'. Several come with a: disable"),
    ],
)  # fmt: skip
def test_of_several_that_offer_one_name_it_is_said_how_one_is_meant(plugins, use, says):
    found = Registry(told_apart([offering(*reversed(plugin.split("/"))) for plugin in plugins.split()]))
    with pytest.raises(UnknownNameError) as error:
        found.find("dataset", use)
    assert str(error.value).startswith(says)


def test_two_of_one_distribution_are_marked_with_what_helps():
    found = Registry(told_apart([offering("x", "a"), offering("y", "a")]))
    assert found.remarks(found.records[1]) == [
        "The dataset 'rows' is offered by plugin x (a 1) too: no name means this plugin's alone. Disable one: "
        "ftstudio plugins disable y."
    ]

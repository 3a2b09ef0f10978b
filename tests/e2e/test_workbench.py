"""The workbench with the built-in parts: rows, tokens, and text of the starter model."""

from ftstudio.process.bench import Bench
from ftstudio.project import load


def test_the_starter_model_is_looked_at_and_sampled_and_kept_warm(ftstudio, tmp_path):
    assert ftstudio("new", "quick", "--from", "quickstart", "--root", tmp_path).code == 0
    bench, phases = Bench(), []

    def ask(job, overrides=()):
        phases.clear()
        asked = load(tmp_path / "quick", ["generator.max_length=16", *overrides])
        return bench.ask(asked, job, lambda e: phases.append(e.data.get("name")) if e.kind == "phase" else None)

    try:
        assert ask({"kind": "preview", "first": 1, "count": 1})["rows"] == [
            {"text": "Machine learning models require large datasets."}
        ]
        listed = ask({"kind": "listing", "order": "longest", "first": 0, "count": 3})
        assert listed["rows"] == 8
        assert listed["lines"][0]["tokens"] == listed["lengths"]["longest"]
        (view,) = ask({"kind": "rows", "first": 0, "count": 1})["view"]
        assert "".join(view["pieces"]).endswith("<|endoftext|>")
        assert set(view["marks"]) == {"="}

        job = {"kind": "sample", "base": True, "prompts": ["AI research is"]}
        first = ask(job)["texts"]
        assert "loading the model" in phases
        assert ask(job)["texts"] == first  # the same seed
        assert "loading the model" not in phases
        assert ask(job, ["generator.temperature=1.5", "seed=7"])["texts"] != first
        assert "loading the model" not in phases  # other options keep the model
    finally:
        bench.close()

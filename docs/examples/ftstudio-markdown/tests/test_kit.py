"""The conformance kit."""

from ftstudio.testing import DatasetSourceTests


class TestMarkdown(DatasetSourceTests):
    component = "markdown"

    def write_texts(self, texts, project):
        for number, text in enumerate(texts):
            (project / f"{number:02}.md").write_bytes(text.encode("utf-8", "surrogatepass"))
        return {"path": ["[0-9]*.md"]}

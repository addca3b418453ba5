"""/metrics as Prometheus reads it."""

import re
from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

from tests.support.harness import Api

ENDS = ("_bucket", "_sum", "_count")


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples: dict[str, dict[frozenset[tuple[str, str]], float]] = defaultdict(dict)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = frozenset(sample.labels.items())
                assert labels not in self._samples[sample.name], f"{sample.name} {sample.labels} is there twice"
                self._samples[sample.name][labels] = sample.value

    def announced(self) -> set[str]:
        """The names that samples may have of which there are none yet."""
        found = re.findall(r"^# TYPE (\w+) (\w+)$", self.text, re.MULTILINE)
        return {f"{name}{end}" for name, kind in found for end in (ENDS if kind == "histogram" else ("",))}

    def names(self) -> set[str]:
        return set(self._samples)

    def labels(self, name: str) -> list[dict[str, str]]:
        return [dict(labels) for labels in self._samples.get(name, ())]

    def total(self, name: str, **labels: str) -> float:
        """The sum over all samples with these labels; 0 if there are none."""
        return sum(value for its, value in self._samples.get(name, {}).items() if labels.items() <= dict(its).items())


def scrape(api: Api) -> Scrape:
    answer = api.get("/metrics", headers={"Accept-Encoding": "identity"})
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return Scrape(answer.json.decode())

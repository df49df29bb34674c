"""The sections of the page in their order: a section is a function, a partial template and an entry here."""

from __future__ import annotations

from ray_study.analyze.page.compare import datasets
from ray_study.analyze.page.content import Section
from ray_study.analyze.page.first import answer_section, dips, question, trajectories
from ray_study.analyze.page.flips import flips
from ray_study.analyze.page.lengths import form, length
from ray_study.analyze.page.origin import data, failures, provenance
from ray_study.analyze.page.paper import paper
from ray_study.analyze.page.safety import safety
from ray_study.analyze.page.scores import final
from ray_study.analyze.page.size import size
from ray_study.analyze.page.texts import procedures, samples
from ray_study.analyze.page.variance import variance

SECTIONS: tuple[Section, ...] = (
    Section(name="question", title="The question", make=question),
    Section(name="answer", title="The answer", make=answer_section, short="Answer"),
    Section(name="trajectories", title="Trajectories", make=trajectories),
    Section(name="shapes", title="Dips, and what they are made of", make=dips, short="Dips"),
    Section(name="length", title="Response length", make=length, short="Length"),
    Section(name="shares", title="Share boxed and share finished", make=form, short="Form"),
    Section(name="datasets", title="Data types side by side", make=datasets, short="Data types"),
    Section(name="size", title="Model size, examples, steps", make=size, short="Size"),
    Section(name="safety", title="Safety", make=safety),
    Section(name="procedures", title="Procedures in the texts", make=procedures, short="Procedures"),
    Section(name="variance", title="Where the spread comes from", make=variance, short="Variance"),
    Section(name="paper", title="Against the paper", make=paper, short="Paper"),
    Section(name="final", title="Every benchmark", make=final, short="Final table"),
    Section(name="data", title="Teachers and data sets", make=data, short="Data"),
    Section(name="samples", title="Responses, first and last step", make=samples, short="Responses"),
    Section(name="flips", title="Which items flipped", make=flips, short="Flips"),
    Section(name="failures", title="What failed, and what is owed", make=failures, short="Failures"),
    Section(name="provenance", title="How it was made", make=provenance, short="Provenance"),
)

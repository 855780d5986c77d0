"""What TensorBoard says in words."""

from __future__ import annotations

from trainings import WatchedRun

from pipeline.training.chart_texts import PROBE_CURVE, explanations


def test_every_chart_has_its_explanation_and_is_in_the_text(watched: WatchedRun) -> None:
    charts = explanations(watched.config)
    drawn = {*watched.events.Tags()["scalars"], *watched.events.Tags()["images"], PROBE_CURVE}
    assert drawn == set(charts)
    for tag in drawn:
        assert watched.events.SummaryMetadata(tag).summary_description == charts[tag]
    text = (
        watched.events.Tensors("about/this_run/text_summary")[0].tensor_proto.string_val[0].decode()
    )
    assert all(f"**{tag}**: {said}" in text for tag, said in charts.items())
    assert "2 training, 1 validation" in text
    assert "3 synthetic tumours, put into phantom_h" in text

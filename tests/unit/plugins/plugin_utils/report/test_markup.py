# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.lockstep.colo.plugins.plugin_utils.report.markup import Markup, join, tag


def test_text_and_attributes_are_escaped() -> None:
    assert tag("p", "<b>&\"'", title="\"><b>'&") == (
        '<p title="&quot;&gt;&lt;b&gt;&#x27;&amp;">&lt;b&gt;&amp;&quot;&#x27;</p>'
    )


def test_markup_is_not_escaped_again() -> None:
    assert tag("p", tag("b", "<")) == "<p><b>&lt;</b></p>"
    assert isinstance(join(tag("b"), "<"), Markup)


def test_only_what_html_knows_as_empty_is_closed_at_once() -> None:
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8"/>'
    assert tag("i", class_="bar") == '<i class="bar"></i>'


def test_attributes_have_names_of_xml_and_none_leaves_one_out() -> None:
    assert tag("line", stroke_width=1.50, x=2.0, y=None) == '<line stroke-width="1.5" x="2"></line>'


def test_lists_are_taken_apart() -> None:
    assert tag("ul", [tag("li", 1), None, [tag("li", 2.25)]]) == "<ul><li>1</li><li>2.25</li></ul>"

# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML of libvirt as a tree: read with care, written as libvirt would write it."""

from __future__ import annotations

import functools

from ..record.schema import etree

MAX_NUMBER = 2**63 - 1
QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
_SEVERAL = ("seclabel", "sysinfo")  # of what is beside the devices, all else once
_SHOWN = 80  # characters of what somebody else wrote


class DomainXmlError(ValueError):
    """Text that is not a domain's XML, or a domain that the wanted change does not fit."""


def parse(xml: str, *, own: bool = False) -> etree._Element:
    """The <domain> of a text; DomainXmlError for anything else. Neither entities nor the network are used.

    Without comments and processing instructions, and with nothing that libvirt would read otherwise than is done here.
    ``own``: a text of this host's libvirt, of which only a part is changed: all of it stays.
    """
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        strip_cdata=False,
        remove_comments=not own,
        remove_pis=not own,
        encoding="utf-8",
    )
    try:
        root = etree.fromstring(xml.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, UnicodeError) as error:
        raise DomainXmlError(f"not XML: {error}") from error
    if root.getroottree().docinfo.doctype:
        raise DomainXmlError("a document type: libvirt writes none, and its entities could read files")
    if root.tag != "domain":
        raise DomainXmlError(f"<{root.tag}> where <domain> belongs")
    if not own:
        _refuse_ambiguous(root)
    return root


def _refuse_ambiguous(root: etree._Element) -> None:
    """libvirt takes all the text that is anywhere in an element, the first of two elements, and elements and attributes
    by their names without the namespaces. ElementTree's calls, by which the domain is judged, do not.
    """
    _refuse_namespaces(root, root)
    _refuse_mixed(root)
    met: set[str] = set()
    for child in root:
        if child.tag in met and child.tag not in _SEVERAL:
            raise DomainXmlError(f"line {child.sourceline}: a second <{child.tag}>")
        met.add(child.tag)
        if child.tag == "metadata":  # of others, and none of it is libvirt's
            continue
        foreign = child.tag.startswith("{")  # of another namespace: what libvirt takes it for is looked at one by one
        for element in child.iter():
            if not foreign or QEMU_NAMESPACE in child.tag:
                _refuse_namespaces(element, child)
            _refuse_mixed(element)


def _refuse_namespaces(element: etree._Element, top: etree._Element) -> None:
    named = [element.tag] if etree.QName(element).namespace != etree.QName(top).namespace else []
    for name in (*named, *(key for key in element.attrib if key.startswith("{"))):
        raise DomainXmlError(f"line {element.sourceline}: {name[:_SHOWN]}, in a namespace that it does not belong to")


def _refuse_mixed(element: etree._Element) -> None:
    if len(element) and not all(map(_blank, (element.text, *(child.tail for child in element)))):
        raise DomainXmlError(f"line {element.sourceline}: <{element.tag[:_SHOWN]}> has text beside its elements")


@functools.lru_cache(maxsize=8)
def view(xml: str) -> etree._Element:
    """As ``parse``, for who only reads: one tree for all who ask of the same text. It must not be changed."""
    return parse(xml)


def text(root: etree._Element) -> str:
    """The document of this root, with a newline at its end."""
    return etree.tostring(root.getroottree(), encoding="unicode") + "\n"


def required_text(root: etree._Element, tag: str) -> str:
    """What the element says; DomainXmlError when it says nothing or is not there."""
    text = (root.findtext(tag) or "").strip()
    if not text:
        raise DomainXmlError(f"the domain has no <{tag}>")
    return text


def exact_text(root: etree._Element, tag: str) -> str:
    """The same, where libvirt would take blanks around it for a part of it."""
    text = required_text(root, tag)
    if text != root.findtext(tag):
        raise DomainXmlError(f"the domain's <{tag}> has blanks around it")
    return text


def number(text: str, what: str) -> int:
    """The whole number that ``what`` is; DomainXmlError for anything else, and for one that no program could mean."""
    if not text.isdecimal() or len(text) > len(str(MAX_NUMBER)) or int(text) > MAX_NUMBER:
        shown = text if len(text) < 25 else f"{text[:20]}... ({len(text)} characters)"
        raise DomainXmlError(f"{what} is {shown!r}, not a number up to {MAX_NUMBER}")
    return int(text)


def _blank(text: str | None) -> bool:
    return text is None or not text.strip()


def insert(parent: etree._Element, index: int, child: etree._Element) -> None:
    """Insert on a line of its own, as libvirt would write it. Text that is there stays where it is."""
    depth = sum(1 for _unused in parent.iterancestors()) + 1
    inner, outer = "\n" + "  " * depth, "\n" + "  " * (depth - 1)
    etree.indent(child, level=depth)
    parent.insert(index, child)
    before = child.getprevious()
    if before is None:
        if _blank(parent.text):
            parent.text = inner
    elif _blank(before.tail):
        before.tail = inner
    child.tail = outer if child.getnext() is None else inner


def append(parent: etree._Element, child: etree._Element) -> None:
    """Insert after the last child."""
    insert(parent, len(parent), child)


def remove(child: etree._Element) -> None:
    """Remove the element alone: text after it is not its own, though lxml takes it so."""
    parent, before, last = child.getparent(), child.getprevious(), child.getnext() is None
    tail = child.tail
    parent.remove(child)
    if before is None:
        if not _blank(tail):
            parent.text = (parent.text or "") + tail
        elif len(parent) == 0 and _blank(parent.text):
            parent.text = None
    elif not _blank(tail):
        before.tail = (before.tail or "") + tail
    elif last and _blank(before.tail):
        before.tail = tail


def empty(element: etree._Element) -> bool:
    """Whether an element has no attribute, no child and no text."""
    return len(element) == 0 and not element.attrib and _blank(element.text)


def alias(device: etree._Element) -> str | None:
    """The name of a device in QEMU, as libvirt's live XML has it; None in an inactive one."""
    element = device.find("alias")
    return None if element is None else element.get("name")


def first_attribute(element: etree._Element | None, names: tuple[str, ...]) -> str | None:
    """The value of the first of these attributes that the element has; None for none, or no element."""
    if element is None:
        return None
    return next((element.get(key) for key in names if element.get(key) is not None), None)

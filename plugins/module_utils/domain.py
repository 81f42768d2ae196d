# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's domain XML, text in and text out.

Two laws hold for what is added here: adding it twice is adding it once, and removing it gives back the XML from before,
except where the user has changed it since. What we did not write is not touched.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

from .observation import Disk
from .schema import NAMESPACE, VocabularyError, etree, validate
from .vocabulary import IOTHREAD, RUN_DIRECTORY, DiskRecord, NicRecord, Record

QEMU_NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"
# Every version of our namespace begins like this.
_NAMESPACE_FAMILY = NAMESPACE.rpartition(":")[0] + ":"

NO_VHOST = f"{RUN_DIRECTORY}/no-vhost"  # a vhost device that is not there

_COMMANDLINE = f"{{{QEMU_NAMESPACE}}}commandline"
_ARG = f"{{{QEMU_NAMESPACE}}}arg"

_UNITS = {"b": 1, "byte": 1, "bytes": 1, "": 1024}
for _power, _letter in enumerate("kmgtpe", start=1):
    _UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}

# The names that libvirt makes up when it creates an interface on the host.
_GENERATED_TAP = re.compile(r"(vnet|macvtap|macvlan)\d+")
_GENERATED_SOCKET = re.compile(r"(/var/lib|/var/run|/run)/libvirt/qemu/channel/")


_SOURCE_ATTRIBUTES = ("file", "dev", "dir", "name", "volume", "path")
_NIC_SOURCE_ATTRIBUTES = ("bridge", "network", "dev", "path")
_NIC_TYPES = ("bridge", "network", "ethernet")
_VIRTUAL_FUNCTIONS = {
    "direct": "a macvtap has no tap device whose packets could be compared",
    "vhostuser": "its packets do not pass through QEMU",
    "vdpa": "its packets do not pass through QEMU",
    "hostdev": "a device of the host cannot be in two hosts",
    "user": "its connections live in the QEMU process of one host",
}
# A device of these kinds has state outside of QEMU, or one that QEMU does not migrate.
_UNSUPPORTED_DEVICES = {
    "hostdev": "a device of the host cannot be in two hosts",
    "filesystem": "a directory of the host is not replicated",
    "tpm": "its state is not in QEMU's checkpoints",
    "shmem": "memory shared with other processes is not in QEMU's checkpoints",
    "vsock": "its connections end in the kernel of one host",
    "smartcard": "a card reader of the host cannot be in two hosts",
    "redirdev": "a redirected USB device is connected to one host",
    "crypto": "QEMU does not migrate it",
}
_SECRETS = ("passwd", "passwdValidTo")
_MEMORY_MODELS = ("nvdimm", "virtio-pmem", "sgx-epc")


class DomainXmlError(ValueError):
    """Text that is not a domain's XML, or a domain that the wanted change does not fit."""


@dataclass(frozen=True)
class NicElement:
    mac: str
    model: str
    type: str
    source: str | None
    tap: str | None
    alias: str | None
    driver: str | None
    driver_element: bool
    queues: int


# Reading


def canonical(xml: str) -> str:
    """The same text for the same XML: comments, indentation and the order of attributes do not count.

    It has one element a line, to be compared by people as well.
    """
    return _canonical(_parse(xml))


def _canonical(root: etree._Element) -> str:
    etree.strip_tags(root, etree.Comment)
    for element in root.iter(etree.Element):
        if element.text is not None and not element.text.strip():
            element.text = None
    etree.indent(root)
    # Exclusive: a declaration of a namespace that nothing uses says nothing.
    return etree.tostring(root, method="c14n", exclusive=True, with_comments=False).decode("utf-8")


def uuid(xml: str) -> str:
    return _required_text(_parse(xml), "uuid")


def name(xml: str) -> str:
    return _required_text(_parse(xml), "name")


def machine(xml: str) -> str:
    """The machine type, such as pc-i440fx-7.2."""
    element = _parse(xml).find("os/type")
    return "" if element is None else element.get("machine", "")


def virt_type(xml: str) -> str:
    """What runs the guest: kvm, or qemu for QEMU alone."""
    return _parse(xml).get("type", "")


def cpu_mode(xml: str) -> str:
    """How the guest's CPU is chosen: custom where nothing is said, as libvirt takes it."""
    element = _parse(xml).find("cpu")
    return "custom" if element is None else element.get("mode", "custom")


def nvram(xml: str) -> str | None:
    """The type of the UEFI variable store's source; None for a domain that has none."""
    element = _parse(xml).find("os/nvram")
    return None if element is None else element.get("type", "file")


def files(xml: str) -> list[str]:
    """The host's files that a start needs, QEMU itself among them, besides the disks that the guest writes to."""
    root = _parse(xml)
    tags = ("os/loader", "os/kernel", "os/initrd", "os/dtb", "devices/emulator")
    found = [(root.findtext(tag) or "").strip() for tag in tags]
    store = root.find("os/nvram")
    if store is not None:
        found.append(store.get("template", ""))
    for element in root.iterfind("devices/disk"):
        disk = _disk(element)
        if (disk.readonly or disk.device != "disk") and disk.type in ("file", "block"):
            found.append(disk.source or "")
    return sorted({path for path in found if path})


def memory_bytes(xml: str) -> int:
    """The guest's memory as it is booted, in bytes."""
    root = _parse(xml)
    return _bytes(_required_text(root, "memory"), root.find("memory").get("unit", ""))


def _bytes(amount: str, unit: str) -> int:
    if not amount.isdecimal() or unit.lower() not in _UNITS:
        raise DomainXmlError(f"memory of {amount!r} {unit.lower()!r}")
    return int(amount) * _UNITS[unit.lower()]


def huge_page(xml: str) -> int | None:
    """The size of the huge pages that all of the guest's memory is made of; 0 for the host's default size."""
    backing = _parse(xml).find("memoryBacking/hugepages")
    if backing is None:
        return None
    sizes = {_bytes(page.get("size", ""), page.get("unit", "")) for page in backing.iterfind("page")}
    return max(sizes, default=0)


def vcpus(xml: str) -> int:
    text = _parse(xml).findtext("vcpu", "1").strip()
    if not text.isdecimal():
        raise DomainXmlError(f"vcpu is {text!r}")
    return int(text)


def emulator(xml: str) -> str | None:
    text = _parse(xml).findtext("devices/emulator")
    return text.strip() if text else None


def disks(xml: str) -> list[Disk]:
    return [_disk(element) for element in _parse(xml).iterfind("devices/disk")]


def nics(xml: str) -> list[NicElement]:
    return [_nic(element) for element in _parse(xml).iterfind("devices/interface")]


def read_record(xml: str) -> Record | None:
    """The collection's record in the domain's metadata; VocabularyError when there is one that cannot be read."""
    return _read_record(_parse(xml))


def has_incoming(xml: str) -> bool:
    """Whether QEMU is told to wait for an incoming migration, as a standby is."""
    return bool(_incoming(_parse(xml)))


def redacted(xml: str) -> str:
    """The XML without the passwords that VIR_DOMAIN_XML_SECURE adds: fit for a terminal, a log and a diff."""
    root = _parse(xml)
    for element in root.iter(etree.Element):
        for attribute in _SECRETS:
            element.attrib.pop(attribute, None)
    return _text(root)


def has_passwords(xml: str) -> bool:
    """Whether redacted() would take something out."""
    return any(attribute in element.attrib for element in _parse(xml).iter(etree.Element) for attribute in _SECRETS)


def unsupported(xml: str) -> list[str]:
    """What this domain has that COLO cannot carry, each in plain words with the element that it is about."""
    root = _parse(xml)
    found = []
    for tag, reason in _UNSUPPORTED_DEVICES.items():
        found += [f"{_describe(element)}: {reason}" for element in root.iterfind(f"devices/{tag}")]
    for element in root.iterfind("devices/interface"):
        found += _unsupported_nic(element)
    for element in root.iterfind("devices/disk"):
        found += _unsupported_disk(element)
    found += _unsupported_others(root)
    return found


# Writing


def settle(xml: str, record: Record) -> Record:
    """The record as protect() writes it: with what only the XML knows of the time before.

    A value that is not ours in the XML is the user's, and so the original; where it is ours, the original is the one
    that was recorded first.
    """
    return _settle(_parse(xml), record)


def protect(xml: str, record: Record) -> str:
    """Write the record, and around it what libvirt must know: the NICs' driver, and a standby's -incoming."""
    root = _parse(xml)
    _protect(root, _settle(root, record))
    return _text(root)


def unprotect(xml: str) -> str:
    """Take out what protect() put in, and nothing that was changed since."""
    root = _parse(xml)
    record = _read_record(root)
    if record is None:
        return xml
    if record.incoming_added:
        _remove_incoming(root)
    _remove_empty_commandline(root, record)
    for nic in record.nics:
        _restore_driver(root, nic)
    _remove_record(root, record)
    return _text(root)


def without_vhost(xml: str) -> str:
    """The XML of a saved guest, with which QEMU itself carries the packets of its virtio NICs.

    In a saved guest libvirt refuses to have a NIC's driver changed, but not the device of its backend. Where that is
    not there, a NIC for which no driver is stated goes without vhost (our measurement, libvirt 11.3).
    """
    root = _parse(xml)
    for interface in root.iterfind("devices/interface"):
        driver = interface.find("driver")
        if not _is_virtio(interface) or (driver is not None and driver.get("name") == "qemu"):
            continue
        _after_model(interface, "backend").set("vhost", NO_VHOST)
    return _text(root)


def standby(primary_xml: str, record: Record) -> str:
    """The secondary's domain, from an XML of the primary and the secondary's own record.

    The primary's persistent XML makes the persistent one. The live XML, which has the addresses, the CPU and the
    machine version that the running guest has seen, makes the one that the standby is started with.
    """
    if record.role != "secondary":
        raise DomainXmlError(f"a standby's record is that of a secondary, not role {record.role}")
    root = _parse(primary_xml)
    before = _forget_primary(root)
    _forget_run(root)
    for disk in record.disks:
        _point_disk(root, disk)
    for nic in record.nics:
        _find_nic(root, nic.mac)
    _protect(root, dataclasses.replace(record, incoming_added=True, **before))
    return _text(root)


def with_metadata_element(record: Record) -> str:
    """The record as virDomainSetMetadata wants it, with our PREFIX and NAMESPACE as key and URI.

    libvirt puts every element without a namespace into ours, and refuses one that declares it already.
    """
    qualified = record.to_element()
    plain = etree.Element(etree.QName(qualified).localname, dict(qualified.attrib))
    _copy_plain(qualified, plain)
    etree.indent(plain)
    return etree.tostring(plain, encoding="unicode")


def _copy_plain(source: etree._Element, copy: etree._Element) -> None:
    copy.text = source.text
    for child in source:
        _copy_plain(child, etree.SubElement(copy, etree.QName(child).localname, dict(child.attrib)))


# Text and tree


def _parse(xml: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, strip_cdata=False, encoding="utf-8")
    try:
        root = etree.fromstring(xml.encode("utf-8"), parser)
    except (etree.XMLSyntaxError, UnicodeError) as error:
        raise DomainXmlError(f"not XML: {error}") from error
    if root.getroottree().docinfo.doctype:
        raise DomainXmlError("a document type: libvirt writes none, and its entities could read files")
    if root.tag != "domain":
        raise DomainXmlError(f"<{root.tag}> where <domain> belongs")
    return root


def _text(root: etree._Element) -> str:
    return etree.tostring(root.getroottree(), encoding="unicode") + "\n"


def _required_text(root: etree._Element, tag: str) -> str:
    text = (root.findtext(tag) or "").strip()
    if not text:
        raise DomainXmlError(f"the domain has no <{tag}>")
    return text


def _blank(text: str | None) -> bool:
    return text is None or not text.strip()


def _insert(parent: etree._Element, index: int, child: etree._Element) -> None:
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


def _append(parent: etree._Element, child: etree._Element) -> None:
    _insert(parent, len(parent), child)


def _remove(child: etree._Element) -> None:
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


def _empty(element: etree._Element) -> bool:
    return len(element) == 0 and not element.attrib and _blank(element.text)


# The record in the metadata


def _record_element(root: etree._Element) -> etree._Element | None:
    found = []
    for element in root.iterfind("metadata/*"):
        namespace = etree.QName(element).namespace or ""
        if namespace == NAMESPACE:
            found.append(element)
        elif namespace.startswith(_NAMESPACE_FAMILY):
            raise VocabularyError(f"line {element.sourceline}: a record of {namespace}, this version reads {NAMESPACE}")
    if len(found) > 1:
        raise VocabularyError(f"line {found[1].sourceline}: a second record")
    return found[0] if found else None


def _read_record(root: etree._Element) -> Record | None:
    element = _record_element(root)
    return None if element is None else Record.from_xml(element)


def _settle(root: etree._Element, record: Record) -> Record:
    existing = _read_record(root)
    return dataclasses.replace(
        record,
        nics=tuple(_settle_nic(root, existing, nic) for nic in record.nics),
        incoming_added=record.role == "secondary" and _incoming_is_ours(root, existing),
        metadata_before=existing.metadata_before if existing else root.find("metadata") is not None,
        commandline_before=existing.commandline_before if existing else root.find(_COMMANDLINE) is not None,
    )


def _settle_nic(root: etree._Element, existing: Record | None, nic: NicRecord) -> NicRecord:
    known = next((item for item in existing.nics if item.mac == nic.mac), None) if existing else None
    interface = _find_nic(root, nic.mac, required=known is None)
    if interface is None:
        # Taken out by the user while the pair is there: no reason to fail in the middle of a failover.
        return known or nic
    driver = interface.find("driver")
    if driver is None or driver.get("name") != "qemu":
        return NicRecord(nic.mac, None if driver is None else driver.get("name"), driver is not None)
    return known or nic


def _incoming_is_ours(root: etree._Element, existing: Record | None) -> bool:
    """Whether a standby's -incoming is or will be there because of us."""
    found = _incoming(root)
    if not found:
        return True
    values = sorted({value.get("value", "") for _flag, value in found if value is not None} or {""})
    if values != ["defer"]:
        raise DomainXmlError(f"qemu:commandline has -incoming {' '.join(values)}, a standby needs -incoming defer")
    return existing is not None and existing.incoming_added


def _protect(root: etree._Element, record: Record) -> None:
    existing = _read_record(root)
    if record.incoming_added:
        _add_incoming(root)
    elif existing is not None and existing.incoming_added:
        _remove_incoming(root)
        _remove_empty_commandline(root, record)
    for nic in record.nics:
        _set_driver(root, nic.mac)
    _write_record(root, record)


def _write_record(root: etree._Element, record: Record) -> None:
    element, old = record.to_element(), _record_element(root)
    validate(element)
    if old is not None:
        metadata, index = old.getparent(), old.getparent().index(old)
        _remove(old)
        _insert(metadata, index, element)
        return
    metadata = root.find("metadata")
    if metadata is None:
        metadata = etree.Element("metadata")
        heads = [child for child in root if child.tag in ("name", "uuid", "genid", "title", "description")]
        _insert(root, root.index(heads[-1]) + 1 if heads else 0, metadata)
    _append(metadata, element)


def _remove_record(root: etree._Element, record: Record) -> None:
    element = _record_element(root)
    if element is None:
        return
    metadata = element.getparent()
    _remove(element)
    if not record.metadata_before and _empty(metadata):
        _remove(metadata)


# -incoming


def _incoming(root: etree._Element) -> list[tuple[etree._Element, etree._Element | None]]:
    """Each `-incoming` argument with the argument that follows it."""
    args = root.findall(f"{_COMMANDLINE}/{_ARG}")
    return [
        (arg, args[number + 1] if number + 1 < len(args) else None)
        for number, arg in enumerate(args)
        if arg.get("value") == "-incoming"
    ]


def _add_incoming(root: etree._Element) -> None:
    if _incoming(root):
        return
    commandline = root.find(_COMMANDLINE)
    if commandline is None:
        commandline = etree.Element(_COMMANDLINE, nsmap={"qemu": QEMU_NAMESPACE})
        # Where libvirt writes it: at the end, before what else is in its namespace.
        others = [child for child in root.iterchildren(etree.Element) if etree.QName(child).namespace == QEMU_NAMESPACE]
        _insert(root, root.index(others[0]) if others else len(root), commandline)
    # libvirt writes all arguments before the environment.
    args = commandline.findall(_ARG)
    index = commandline.index(args[-1]) + 1 if args else 0
    for offset, value in enumerate(("-incoming", "defer")):
        _insert(commandline, index + offset, etree.Element(_ARG, {"value": value}, nsmap={"qemu": QEMU_NAMESPACE}))


def _remove_incoming(root: etree._Element) -> None:
    """Remove `-incoming defer`; another value is one that the user put there."""
    for flag, value in _incoming(root):
        if value is not None and value.get("value") == "defer":
            _remove(value)
            _remove(flag)


def _remove_empty_commandline(root: etree._Element, record: Record) -> None:
    commandline = root.find(_COMMANDLINE)
    if commandline is not None and not record.commandline_before and _empty(commandline):
        _remove(commandline)


# NICs


def _mac(interface: etree._Element) -> str:
    element = interface.find("mac")
    return "" if element is None else element.get("address", "").lower()


def _find_nic(root: etree._Element, mac: str, required: bool = True) -> etree._Element | None:
    for interface in root.iterfind("devices/interface"):
        if _mac(interface) == mac:
            return interface
    if required:
        raise DomainXmlError(f"the domain has no NIC with the MAC address {mac}")
    return None


def _model(interface: etree._Element) -> str:
    element = interface.find("model")
    return "" if element is None else element.get("type", "")


def _is_virtio(interface: etree._Element) -> bool:
    return _model(interface).startswith("virtio")


def _set_driver(root: etree._Element, mac: str) -> None:
    """Keep the packets of a virtio NIC inside QEMU, where the filters see them, instead of in the kernel's vhost."""
    interface = _find_nic(root, mac, required=False)
    if interface is None or not _is_virtio(interface):
        return
    _after_model(interface, "driver").set("name", "qemu")


def _after_model(interface: etree._Element, tag: str) -> etree._Element:
    """The interface's element of this name, made right after its model where there is none."""
    element = interface.find(tag)
    if element is None:
        element = etree.Element(tag)
        _insert(interface, interface.index(interface.find("model")) + 1, element)
    return element


def _restore_driver(root: etree._Element, nic: NicRecord) -> None:
    interface = _find_nic(root, nic.mac, required=False)
    driver = None if interface is None else interface.find("driver")
    if interface is None or driver is None or not _is_virtio(interface) or driver.get("name") != "qemu":
        return
    if nic.driver_before is not None:
        driver.set("name", nic.driver_before)
        return
    del driver.attrib["name"]
    if not nic.driver_element_before and _empty(driver):
        _remove(driver)


def _nic(interface: etree._Element) -> NicElement:
    driver, target = interface.find("driver"), interface.find("target")
    return NicElement(
        mac=_mac(interface),
        model=_model(interface),
        type=interface.get("type", ""),
        source=_first_attribute(interface.find("source"), _NIC_SOURCE_ATTRIBUTES),
        tap=None if target is None else target.get("dev"),
        alias=_alias(interface),
        driver=None if driver is None else driver.get("name"),
        driver_element=driver is not None,
        queues=_queues(driver),
    )


def _queues(driver: etree._Element | None) -> int:
    text = "1" if driver is None else driver.get("queues", "1")
    if not text.isdecimal():
        raise DomainXmlError(f"line {driver.sourceline}: queues is {text!r}")
    return int(text)


def _alias(device: etree._Element) -> str | None:
    element = device.find("alias")
    return None if element is None else element.get("name")


def _first_attribute(element: etree._Element | None, names: tuple[str, ...]) -> str | None:
    if element is None:
        return None
    return next((element.get(key) for key in names if element.get(key) is not None), None)


# Disks


def _disk(element: etree._Element) -> Disk:
    target, driver = element.find("target"), element.find("driver")
    if target is None:
        raise DomainXmlError(f"line {element.sourceline}: a disk without a target")
    return Disk(
        target=target.get("dev", ""),
        device=element.get("device", "disk"),
        type=element.get("type", "file"),
        source=_disk_source(element),
        format=None if driver is None else driver.get("type"),
        bus=target.get("bus", ""),
        alias=_alias(element),
        readonly=element.find("readonly") is not None,
        shareable=element.find("shareable") is not None,
    )


def _disk_source(element: etree._Element) -> str | None:
    source = element.find("source")
    if source is not None and element.get("type") == "volume":
        return f"{source.get('pool')}/{source.get('volume')}"
    return _first_attribute(source, _SOURCE_ATTRIBUTES)


def _point_disk(root: etree._Element, record: DiskRecord) -> None:
    """Make a disk of the standby's own image: whole, of a stated format, and of no chain.

    A running domain's XML always speaks of the chain; where a persistent one does not, it still does not afterwards.
    """
    element = _find_disk(root, record.target)
    chained = element.find("backingStore") is not None
    path_is_device = record.path.startswith("/dev/")
    element.set("type", "block" if path_is_device else "file")
    for tag in ("source", "backingStore", "mirror"):
        for child in element.findall(tag):
            _remove(child)
    driver = element.find("driver")
    if driver is None:
        driver = etree.Element("driver", name="qemu")
        _insert(element, 0, driver)
    driver.set("type", record.format)
    if record.format != "qcow2":
        _remove_qcow2_options(driver)
    index = element.index(driver) + 1
    _insert(element, index, etree.Element("source", {"dev" if path_is_device else "file": record.path}))
    if chained:
        _insert(element, index + 1, etree.Element("backingStore"))


def _find_disk(root: etree._Element, target: str) -> etree._Element:
    for element in root.iterfind("devices/disk"):
        dev = element.find("target")
        if dev is not None and dev.get("dev") == target:
            return element
    raise DomainXmlError(f"the domain has no disk {target}")


def _remove_qcow2_options(driver: etree._Element) -> None:
    """libvirt refuses them on an image of another format."""
    driver.attrib.pop("discard_no_unref", None)
    for child in driver.findall("metadata_cache"):
        _remove(child)


# What a standby does not inherit


def _forget_primary(root: etree._Element) -> dict[str, bool]:
    """Take out the primary's record and -incoming, and tell what of their surroundings is not ours.

    A survivor's live XML shows the -incoming that it was once started with until its next cold start.
    """
    element = _record_element(root)
    inherited = None if element is None else Record.from_xml(element)
    for flag, value in _incoming(root):
        for arg in (flag, value):
            if arg is not None:
                _remove(arg)
    if element is not None:
        _remove(element)
    before = {}
    for field, tag in (("metadata_before", "metadata"), ("commandline_before", _COMMANDLINE)):
        left = root.find(tag)
        before[field] = left is not None and (not _empty(left) or bool(inherited and getattr(inherited, field)))
        if left is not None and not before[field]:
            _remove(left)
    return before


def _forget_run(root: etree._Element) -> None:
    """Remove what libvirt made up for this run, on this host."""
    root.attrib.pop("id", None)
    for alias in root.findall("devices//alias"):
        if not alias.get("name", "").startswith("ua-"):
            _remove(alias)
    for element in [*root.iterfind("devices/disk//source"), *root.iterfind("devices/disk//backingStore")]:
        element.attrib.pop("index", None)
    for interface in root.iterfind("devices/interface"):
        _forget_nic_run(interface)
    for graphics in root.iterfind("devices/graphics"):
        _forget_graphics_run(graphics)
    for tag in ("serial", "parallel", "console", "channel"):
        for device in root.iterfind(f"devices/{tag}"):
            _forget_chardev_run(device)
    _forget_labels(root)
    _forget_iothread(root)
    partition = root.find("resource/partition")
    if partition is not None and partition.text == "/machine":
        _remove(partition)
        if _empty(root.find("resource")):
            _remove(root.find("resource"))


def _forget_nic_run(interface: etree._Element) -> None:
    target, source = interface.find("target"), interface.find("source")
    if target is not None and _GENERATED_TAP.fullmatch(target.get("dev", "")):
        del target.attrib["dev"]
        if _empty(target):
            _remove(target)
    if source is not None and source.get("network") is not None:
        # The live XML shows what the network came to on this host; on the other one it may be something else.
        interface.set("type", "network")
        for key in ("portid", "bridge", "dev", "mode"):
            source.attrib.pop(key, None)


def _forget_graphics_run(graphics: etree._Element) -> None:
    if graphics.get("autoport") == "yes":
        for key in ("port", "tlsPort"):
            if key in graphics.attrib:
                graphics.set(key, "-1")
    for listen in graphics.iterfind("listen"):
        if listen.get("type") == "network":
            listen.attrib.pop("address", None)
            graphics.attrib.pop("listen", None)


def _forget_chardev_run(device: etree._Element) -> None:
    device.attrib.pop("tty", None)
    for target in device.iterfind("target"):
        target.attrib.pop("state", None)
    source = device.find("source")
    if source is None:
        return
    generated = device.get("type") == "unix" and _GENERATED_SOCKET.match(source.get("path", ""))
    if device.get("type") == "pty" or generated:
        _remove(source)


def _forget_iothread(root: etree._Element) -> None:
    """The primary's live XML counts the thread that compares its packets; a standby has none."""
    threads, count = root.find("iothreadids"), root.find("iothreads")
    ours = root.find(f"iothreadids/iothread[@id='{IOTHREAD}']")
    if ours is None or threads is None or count is None:
        return
    _remove(ours)
    if len(threads):
        count.text = str(len(threads))
    else:
        _remove(threads)
        _remove(count)


def _forget_labels(root: etree._Element) -> None:
    """A label that libvirt made is made anew on every host; a base label, or an element without one, is a wish."""
    for label in root.findall("seclabel"):
        if label.get("type") != "dynamic":
            continue
        made = label.findall("label") + label.findall("imagelabel")
        for child in made:
            _remove(child)
        if made and label.find("baselabel") is None:
            _remove(label)


# What COLO cannot carry


def _describe(element: etree._Element) -> str:
    words = [element.tag]
    words += [f"{key}={element.get(key)}" for key in ("mode", "type", "model") if element.get(key)]
    name = _first_attribute(element.find("target"), ("dir",)) or element.get("name") or _host_address(element)
    return " ".join([*words, name] if name else words)


def _host_address(element: etree._Element) -> str | None:
    """The device of the host as lspci or lsusb would write it."""
    address, vendor, product = (element.find(f"source/{tag}") for tag in ("address", "vendor", "product"))
    if vendor is not None and product is not None:
        return ":".join(number.get("id", "").removeprefix("0x") for number in (vendor, product))
    if address is None or "slot" not in address.attrib:
        return None
    numbers = [address.get(key, "0").removeprefix("0x") for key in ("domain", "bus", "slot", "function")]
    return ":".join(numbers[:3]) + "." + numbers[3]


def _unsupported_nic(interface: etree._Element) -> list[str]:
    kind, found = interface.get("type", ""), []
    label = f"interface {_mac(interface)}"
    if kind not in _NIC_TYPES:
        reason = _VIRTUAL_FUNCTIONS.get(kind, f"only {', '.join(_NIC_TYPES)} have a tap device on the host")
        found.append(f"{label} of type {kind}: {reason}")
    if _queues(interface.find("driver")) > 1:
        found.append(f"{label} with multiqueue: QEMU's network filters take one queue")
    return found


def _unsupported_disk(element: etree._Element) -> list[str]:
    disk, found = _disk(element), []
    if disk.device == "floppy" and disk.source and not disk.readonly:
        found.append(f"disk {disk.target} is a floppy that the guest can write to: only disks are replicated")
    if disk.device == "lun":
        found.append(f"disk {disk.target} of device lun: SCSI commands pass by the replication")
    if disk.type in ("vhostuser", "vhostvdpa", "nvme"):
        found.append(f"disk {disk.target} of type {disk.type}: its data does not pass through QEMU's block layer")
    if disk.shareable and not disk.readonly:
        found.append(f"disk {disk.target} is shareable: writes of others would not be replicated")
    if element.find("transient") is not None:
        found.append(f"disk {disk.target} is transient: its overlay exists on one host")
    if element.find(".//encryption") is not None:
        found.append(f"disk {disk.target} is encrypted: the standby's image would be plain")
    if element.find("mirror") is not None:
        found.append(f"disk {disk.target} has a block job of its own: let it end first")
    return found


def _unsupported_others(root: etree._Element) -> list[str]:
    found = []
    for memory in root.iterfind("devices/memory"):
        if memory.get("model") in _MEMORY_MODELS:
            found.append(f"memory model={memory.get('model')}: its contents are not in QEMU's checkpoints")
    for video in root.iterfind("devices/video"):
        driver, acceleration = video.find("driver"), video.find(".//acceleration")
        if driver is not None and driver.get("name") == "vhostuser":
            found.append("video driver vhostuser: its state is in another process")
        elif acceleration is not None and acceleration.get("accel3d") == "yes":
            found.append("video with accel3d: its state is in the graphics card of one host")
    for entry in root.iterfind("devices/input"):
        if entry.get("type") == "passthrough":
            found.append("input type=passthrough: a device of the host cannot be in two hosts")
    if root.find("launchSecurity") is not None:
        found.append("launchSecurity: encrypted guest memory cannot be checkpointed")
    if root.find("features/hyperv[@mode='passthrough']") is not None:
        found.append("hyperv mode=passthrough: what the CPU of one host offers is not migrated")
    found += _unsupported_cpu(root)
    return found


def _unsupported_cpu(root: etree._Element) -> list[str]:
    """QEMU blocks migration with an invariant TSC, unless its frequency is given."""
    cpu = root.find("cpu")
    if cpu is not None and cpu.get("migratable") == "off":
        return ["cpu migratable=off: it has features of the host that cannot be migrated"]
    fixed = any(t.get("name") == "tsc" and t.get("frequency") for t in root.iterfind("clock/timer"))
    for feature in root.iterfind("cpu/feature"):
        if feature.get("name") == "invtsc" and feature.get("policy", "require") in ("require", "force") and not fixed:
            return ["cpu feature invtsc: blocks migration unless the tsc timer has a frequency"]
    return []

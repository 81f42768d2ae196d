# Copyright (c) 2026 the lockstep.colo contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The RelaxNG schema of the record in a domain's metadata.

It is a string because only Python files reach a managed host. This module is also the one place that imports lxml:
it is absent on control nodes, so the import may fail here and must be reported by whoever runs on a managed host.
"""

from __future__ import annotations

import functools

try:
    from lxml import etree

    LXML_IMPORT_ERROR: ImportError | None = None
except ImportError as error:
    etree = None  # type: ignore[assignment]
    LXML_IMPORT_ERROR = error

NAMESPACE = "urn:lockstep:colo:1"


class VocabularyError(ValueError):
    """A record that is not one, said with the line (where there is one) and the reason."""


# The order of children is fixed: one record has one text, and libxml2's messages are of use only without interleave.
SCHEMA = """\
<grammar xmlns="http://relaxng.org/ns/structure/1.0" ns="urn:lockstep:colo:1"
         datatypeLibrary="http://www.w3.org/2001/XMLSchema-datatypes">
  <start><ref name="pair"/></start>

  <define name="pair">
    <element name="pair">
      <attribute name="role">
        <choice><value>primary</value><value>secondary</value><value>alone</value></choice>
      </attribute>
      <attribute name="generation"><ref name="count"/></attribute>
      <optional><attribute name="complete"><ref name="count"/></attribute></optional>
      <optional><attribute name="handed-over"><value>yes</value></attribute></optional>
      <attribute name="checkpoint-delay"><ref name="count"/></attribute>
      <optional>
        <attribute name="uncompared"><choice><value>drop</value><value>allow</value></choice></attribute>
      </optional>
      <element name="local"><ref name="endpoint"/></element>
      <element name="peer"><ref name="endpoint"/></element>
      <ref name="channels"/>
      <zeroOrMore><choice><ref name="disk"/><ref name="hiddenDisk"/></choice></zeroOrMore>
      <ref name="original"/>
    </element>
  </define>

  <define name="endpoint">
    <attribute name="host"><ref name="text"/></attribute>
    <attribute name="machine-id"><ref name="text"/></attribute>
    <attribute name="address"><ref name="text"/></attribute>
  </define>

  <define name="channels">
    <element name="channels">
      <attribute name="first-port"><ref name="port"/></attribute>
      <optional><attribute name="credentials"><ref name="text"/></attribute></optional>
      <optional><attribute name="proxy"><value>clear</value></attribute></optional>
      <zeroOrMore>
        <element name="channel">
          <attribute name="kind">
            <choice><value>migration</value><value>nbd</value><value>mirror</value><value>compare</value></choice>
          </attribute>
          <attribute name="listener"><choice><value>primary</value><value>secondary</value></choice></attribute>
          <attribute name="address"><ref name="text"/></attribute>
          <attribute name="port"><ref name="port"/></attribute>
          <optional><attribute name="nic"><ref name="mac"/></attribute></optional>
        </element>
      </zeroOrMore>
    </element>
  </define>

  <define name="disk">
    <element name="disk">
      <choice>
        <ref name="quorumDisk"/>
        <ref name="plainDisk"/>
      </choice>
    </element>
  </define>

  <define name="quorumDisk">
    <attribute name="type"><value>quorum</value></attribute>
    <attribute name="vote-threshold"><choice><value>1</value><value>2</value></choice></attribute>
    <attribute name="read-pattern"><value>fifo</value></attribute>
    <oneOrMore>
      <element name="backingStore">
        <choice>
          <group><ref name="imageType"/><ref name="reference"/><ref name="image"/></group>
          <ref name="replicationPrimary"/>
          <ref name="replicationSecondary"/>
        </choice>
      </element>
    </oneOrMore>
    <ref name="target"/>
  </define>

  <define name="replicationPrimary">
    <attribute name="type"><value>replication</value></attribute>
    <attribute name="mode"><value>primary</value></attribute>
    <element name="backingStore">
      <attribute name="type"><value>network</value></attribute>
      <ref name="format"/>
      <element name="source">
        <attribute name="protocol"><value>nbd</value></attribute>
        <attribute name="name"><ref name="dev"/></attribute>
        <element name="host">
          <attribute name="name"><ref name="text"/></attribute>
          <attribute name="port"><ref name="port"/></attribute>
        </element>
      </element>
    </element>
  </define>

  <define name="replicationSecondary">
    <attribute name="type"><value>replication</value></attribute>
    <attribute name="mode"><value>secondary</value></attribute>
    <attribute name="top"><ref name="dev"/></attribute>
    <ref name="reference"/>
  </define>

  <define name="hiddenDisk">
    <element name="hiddenDisk">
      <ref name="imageType"/>
      <element name="name"><attribute name="dev"><ref name="hiddenDev"/></attribute></element>
      <ref name="image"/>
      <element name="backingStore">
        <optional><ref name="imageType"/></optional>
        <ref name="reference"/>
        <optional><ref name="image"/></optional>
      </element>
    </element>
  </define>

  <define name="plainDisk">
    <ref name="imageType"/>
    <ref name="reference"/>
    <ref name="image"/>
    <ref name="target"/>
  </define>

  <define name="imageType">
    <attribute name="type"><choice><value>file</value><value>block</value></choice></attribute>
  </define>

  <define name="image">
    <ref name="format"/>
    <element name="capacity">
      <attribute name="unit"><value>bytes</value></attribute>
      <ref name="count"/>
    </element>
    <element name="source">
      <choice>
        <attribute name="file"><ref name="path"/></attribute>
        <attribute name="dev"><ref name="path"/></attribute>
      </choice>
    </element>
  </define>

  <define name="format">
    <element name="format"><attribute name="type"><ref name="formatName"/></attribute></element>
  </define>

  <define name="reference">
    <element name="reference">
      <attribute name="dev"><choice><ref name="dev"/><ref name="hiddenDev"/></choice></attribute>
      <attribute name="index"><value>0</value></attribute>
    </element>
  </define>

  <define name="target">
    <element name="target"><attribute name="dev"><ref name="dev"/></attribute></element>
  </define>

  <define name="original">
    <element name="original">
      <attribute name="autostart"><ref name="yesNo"/></attribute>
      <zeroOrMore>
        <element name="interface">
          <optional><attribute name="uplink"><ref name="yesNo"/></attribute></optional>
          <element name="mac"><attribute name="address"><ref name="mac"/></attribute></element>
          <optional>
            <element name="driver"><optional><attribute name="name"><ref name="text"/></attribute></optional></element>
          </optional>
        </element>
      </zeroOrMore>
      <optional><element name="metadata"><empty/></element></optional>
      <optional><element name="commandline"><empty/></element></optional>
    </element>
    <optional><element name="incoming"><attribute name="uri"><value>defer</value></attribute></element></optional>
  </define>

  <define name="count">
    <data type="integer">
      <param name="minInclusive">0</param><param name="maxInclusive">9223372036854775807</param>
    </data>
  </define>
  <define name="port">
    <data type="integer"><param name="minInclusive">1</param><param name="maxInclusive">65535</param></data>
  </define>
  <define name="text"><data type="string"><param name="minLength">1</param></data></define>
  <define name="path"><data type="string"><param name="pattern">/.*</param></data></define>
  <define name="dev"><data type="string"><param name="pattern">[A-Za-z0-9_]+</param></data></define>
  <define name="hiddenDev">
    <data type="string"><param name="pattern">[A-Za-z0-9_]+-(active|hidden)</param></data>
  </define>
  <define name="formatName"><data type="string"><param name="pattern">[a-z0-9][a-z0-9-]*</param></data></define>
  <define name="mac"><data type="string"><param name="pattern">[0-9a-f]{2}(:[0-9a-f]{2}){5}</param></data></define>
  <define name="yesNo"><choice><value>yes</value><value>no</value></choice></define>
</grammar>
"""


@functools.cache
def _compiled() -> etree.RelaxNG:
    return etree.RelaxNG(etree.fromstring(SCHEMA))


def validate(element: etree._Element) -> None:
    """Raise VocabularyError unless `element` is a record as the schema has it."""
    schema = _compiled()
    if schema.validate(element):
        return
    # libxml2 reports the cause first and then every element around it.
    found = [entry for entry in schema.error_log if entry.message]
    if not found:
        raise VocabularyError(f"<{element.tag}> is not a record of {NAMESPACE}")
    messages = list(dict.fromkeys(entry.message for entry in found))
    line = found[0].line or element.sourceline  # libxml2 gives no line for attributes
    raise VocabularyError(f"line {line}: {'; '.join(messages)}" if line else "; ".join(messages))

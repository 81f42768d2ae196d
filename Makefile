# SPDX-License-Identifier: GPL-3.0-or-later
# Every target works from a fresh clone on Debian 12, as root. See CONTRIBUTING.md.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .cache/venv
STAGES := python3 tests/run/stages.py

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv:  ## the pinned tools in .cache/venv, made again only when they change
	@tests/run/venv

pin:  ## newest versions that requirements-dev.in allows, into requirements-dev.txt
	@tests/run/pin

demo: venv  ## lab, deploy, load, host loss, failover, a table of what the client saw
	@tests/demo/run

test: venv  ## every check that fits in 30 minutes
	@$(STAGES) test

test-lint: venv  ## ruff, ansible-lint, changelog fragments
	@$(STAGES) lint

test-unit: venv  ## unit tests, by ansible-test
	@$(STAGES) units

test-sanity: venv  ## ansible-test sanity
	@$(STAGES) sanity

test-galaxy: venv  ## the built tarball, by galaxy-importer
	@$(STAGES) galaxy

test-molecule: venv  ## the molecule scenario on the lab
	@$(STAGES) molecule

test-integration: venv  ## modules against real libvirt and QEMU, on the lab
	@$(STAGES) integration

test-kvm: venv  ## VM instances with a working KVM as hosts, Debian 12 and 13; resumes where it was cut off
	@$(STAGES) kvm

test-long: venv  ## what takes longer: cycles, matrices, kill points; resumes where it was cut off
	@$(STAGES) long

pytest: venv  ## unit tests directly, fast; ARGS='-k name -x' for pytest
	@PYTHONPATH=$(CURDIR)/.cache/collections $(VENV)/bin/python -m pytest tests/unit $(ARGS)

bench: venv  ## ratios against bare QMP, and of TLS against none, to JSON and tables
	@tests/bench/run
	@tests/bench/tls

lab-up: venv  ## two hosts and a client, to look around
	@tests/lab/lab up

lab-down:  ## removes the lab without a trace
	@tests/lab/lab down

clean:  ## everything that was made here, except downloaded and built caches of the lab
	rm -rf .cache/venv .cache/collections .cache/ansible-test .cache/home results .hypothesis .ruff_cache .pytest_cache

.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*/\1/p' $(MAKEFILE_LIST))

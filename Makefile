# `make lab` opens the course, `make test` proves it, `make help` lists the rest.
# The work is done by small Python programs in tools/, so that it also runs where there is no make:
#   python tools/environment.py          and then          .venv/bin/python -m tools.lab
# pip and npm honour their own configuration and environment variables.

ifndef PYTHON
PYTHON := $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
endif
ifeq ($(PYTHON),)
PYTHON := python3
endif
VENV ?= .venv
ifeq ($(OS),Windows_NT)
PY := $(VENV)/Scripts/python
else
PY := $(VENV)/bin/python
endif
export VENV PORT
ENV := $(PYTHON) tools/environment.py
STAGES := $(PYTHON) tools/stages.py

.DEFAULT_GOAL := help
.PHONY: help lab test check unit lint types dist notebooks nbval slides homework smoke bench \
	base-tiny base chat-model records gpu solutions reset clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

lab:  ## install, check this machine, and open the course in JupyterLab
	@$(ENV)
	@$(PY) -m tools.lab

test:  ## everything: lint, types, unit, two processes, notebooks, exercises, decks, smoke
	@$(STAGES) test

check:  ## lint, types and unit tests, in under five minutes
	@$(STAGES) check

unit:  ## unit tests
	@$(STAGES) unit

lint:  ## style and form of the code
	@$(STAGES) lint

types:  ## types (mypy)
	@$(STAGES) types

dist:  ## tests that start several processes
	@$(STAGES) dist

notebooks:  ## build every lesson again from its master (long; by hand)
	@$(ENV) --test
	@$(PY) -m tools.notebooks build

nbval:  ## execute every committed notebook and compare its outputs
	@$(STAGES) notebooks nbval

slides:  ## build the decks into slides/built/
	@$(STAGES) slides

homework:  ## exercises: solved ones pass, unsolved ones say so
	@$(STAGES) homework

smoke:  ## the command line, once through
	@$(STAGES) smoke

bench:  ## each benchmark against its named peer, one JSON line each
	@$(ENV) --test
	@$(PY) -m minillm bench all

base-tiny:  ## train the checkpoints draft and tiny again (about 20 minutes)
	@$(ENV)
	@$(PY) -m minillm.recipes base-tiny

base:  ## train the base model small, or go on with it; NAME=medium the larger one (hours)
	@$(ENV)
	@$(PY) -m minillm.recipes base --name $(or $(NAME),small)

chat-model:  ## make the model chat again, or go on with it (about an hour of one core)
	@$(ENV)
	@$(PY) -m minillm.recipes chat

records:  ## make what is missing of the recorded studies (hours; Ctrl-C loses one run at most)
	@$(ENV)
	@$(PY) -m minillm.recipes records all

gpu:  ## tests that need a GPU, by hand
	@$(ENV) --test
	@$(PY) -m pytest -m gpu tests

solutions:  ## write the solved lessons into work/solutions/
	@$(ENV)
	@$(PY) -m tools.notebooks solutions

reset:  ## L=06: a fresh copy of a lesson in work/, yours kept in work/backup/
	@$(ENV)
	@$(PY) -m tools.lab reset "$(L)"

clean:  ## remove what can be made again (.venv, caches, decks); never work/ or runs/
	rm -rf .venv node_modules slides/built .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -not -path './work/*' -prune -exec rm -rf {} +

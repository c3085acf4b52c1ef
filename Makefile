# make setup | demo | test | lint | bench | faults | fuzz | soak
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
VLA    := $(VENV)/bin/vla
ASK    := vla_humanoid_control/cli/prerequisites.py
# TESTS, REPEAT, STEPS and SECONDS narrow or widen what test, faults, fuzz and soak do.
TESTS   ?= test
REPEAT  ?= 5
STEPS   ?= 1000000
SECONDS ?= 600

export MUJOCO_GL ?= egl
export PYTHONUNBUFFERED = 1

.PHONY: setup demo test lint bench faults fuzz soak clean

setup: $(VENV)/.installed

# One stamp: everything is installed again when what it depends on has changed. Where ROS 2 is
# sourced, it is used, and the wheels are left out.
$(VENV)/.installed: setup.py setup.cfg pyproject.toml $(ASK)
	@$(PYTHON) $(ASK) system
	@test -x $(PY) || $(PYTHON) -m venv $$($(PYTHON) $(ASK) venv) $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=23' 'setuptools>=64' wheel
	$(PY) -m pip install --disable-pip-version-check --editable ".[$$($(PYTHON) $(ASK) extras)]"
	@$(PY) -m vla_humanoid_control.cli.prerequisites installed
	@touch $@

demo: setup
	$(VLA) demo --headless

test: setup
	$(PY) -m pytest $(TESTS)

lint: setup
	$(VENV)/bin/ruff check .
	$(PY) -m mypy

bench: setup
	$(VLA) bench

faults: setup
	$(PY) -m pytest test/faults --fault-table=out/faults.md --fault-repeats=$(REPEAT)

fuzz: setup
	$(PY) -m vla_humanoid_control.safety.fuzz --steps $(STEPS)

soak: setup
	$(PY) benchmarks/soak.py --seconds $(SECONDS)

clean:
	rm -rf build install log out .mypy_cache .pytest_cache .ruff_cache *.egg-info

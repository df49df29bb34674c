#!/usr/bin/env bash
# Makes .venv from the lock files and says what each step took; `make setup` calls it, and it may be called by hand.
#
#   PYTHON=/path/to/python3.11   which Python to build on (default: the first 3.11 or 3.12 found)
#   TORCH_INDEX=ADDRESS          a further package index to look for torch's CPU build in, such as PyTorch's own
#
# What pip says goes to .venv/setup.log. The stamp .venv/.complete is written last: without it, or older than a lock, set-up runs again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LOCKS=(requirements/cpu.txt requirements/cpu-dev.txt)
STAMP=.venv/.complete
LOG=.venv/setup.log
exec 3>&1  # what is said on the terminal from within a step
TORCH=$(sed -n 's/^torch==//p' requirements/cpu.txt)

fits='import sys, venv, ensurepip
if not (3, 11) <= sys.version_info[:2] < (3, 13): sys.exit(1)'

find_python() {
  local candidate candidates=(python3.11 python3.12 python3 python)
  if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c "$fits" >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
  echo "set-up needs Python 3.11 or 3.12 with its venv module; tried: ${candidates[*]}." >&2
  echo "Install one, or name it: make setup PYTHON=/path/to/python3.11" >&2
  exit 1
}

complete() {
  local lock
  for lock in "${LOCKS[@]}"; do
    [ "$STAMP" -nt "$lock" ] || return 1
  done
}

# step NAME COMMAND...: runs a command quietly and says its seconds; where it fails, says so with the end of its log, and ends set-up.
step() {
  local name=$1 began=$SECONDS
  shift
  printf '  %-52s' "$name"
  printf '\n== %s\n' "$name" >>"$LOG"
  if "$@" >>"$LOG" 2>&1; then
    printf '%4d s\n' $((SECONDS - began))
    return
  fi
  printf 'failed after %d s\n\nset-up failed at: %s. The last lines of %s:\n\n' $((SECONDS - began)) "$name" "$LOG" >&2
  tail -n 20 "$LOG" >&2
  printf '\nMend what it says (often: no connection to a package index, or a full disk), then run `make setup` again.\n' >&2
  exit 1
}

# Bytecode is written as modules are first imported: compiling all 33,000 files here takes two minutes more. The Makefile sees to it that
# it is written where the environment says that none shall be, and so does this.
export PYTHONDONTWRITEBYTECODE=
install() { .venv/bin/python -m pip --disable-pip-version-check --no-input install --progress-bar off --no-compile "$@"; }

# The CPU build is 200 MB. Where no index that pip knows holds it, PyPI's build runs on CPUs as well, but brings gigabytes of CUDA.
install_torch() {
  local mark
  mark=$(wc -l <"$LOG")
  install --no-deps ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "torch==$TORCH+cpu" && return
  tail -n "+$((mark + 1))" "$LOG" | grep -q 'No matching distribution found for torch' || return 1
  printf "\n    pip finds no CPU build; taking PyPI's with its gigabytes (TORCH_INDEX names another index)\n  %-52s" '' >&3
  install "torch==$TORCH"
}

main() {
  local began=$SECONDS python
  if [[ "$PWD" == *[[:space:]]* ]]; then
    echo "set-up: the path \"$PWD\" has a space, and Ray 2.60 cannot start a worker from such an environment: move the repository." >&2
    exit 1
  fi
  # Two makes at once take turns; the second then finds the work done.
  exec 9<"${LOCKS[0]}"
  if command -v flock >/dev/null && ! flock -n 9; then
    echo "set-up: another one is at work here; waiting for it"
    flock 9 || true
  fi
  if complete; then
    echo "set-up: .venv is complete"
    return
  fi
  python=$(find_python)
  echo "set-up: .venv on $("$python" --version), from ${LOCKS[*]}"
  mkdir -p .venv
  rm -f "$STAMP"
  : >"$LOG"
  if ! .venv/bin/python -c "$fits
import pip" >/dev/null 2>&1; then
    step 'make .venv' "$python" -m venv .venv
  fi
  step "torch $TORCH" install_torch
  step 'what runs the study' install --no-deps -r requirements/cpu.txt
  step 'what tests it' install --no-deps -r requirements/cpu-dev.txt
  step 'ray_study itself' install --no-deps --no-build-isolation -e .
  step 'a look: does it import' .venv/bin/python -c 'import deepspeed, mlflow, ray, torch, transformers, vllm, ray_study'
  touch "$STAMP"
  echo "set-up: done in $((SECONDS - began)) s, with torch $(.venv/bin/python -c 'from importlib.metadata import version; print(version("torch"))')"
}

main

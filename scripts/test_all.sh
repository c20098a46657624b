#!/usr/bin/env bash
# Runs the tests under every supported Python of this machine (PATH and ~/.pyenv/versions), each in an
# environment of its own under build/, and lists which ran. Fails if one failed or none was found.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
  local candidate
  for candidate in ~/.pyenv/versions/"$1".*/bin/python "$(command -v "python$1" || true)"; do
    # A pyenv shim exists for versions it will not run.
    if [ -x "$candidate" ] && "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

report=()
failed=0
ran=0
for version in 3.11 3.12 3.13 3.14; do
  python=$(find_python "$version")
  if [ -z "$python" ]; then
    report+=("$version  not found")
    continue
  fi
  echo "== Python $version: $python"
  venv=build/venv-$version
  ran=$((ran + 1))
  # Not editable: what is tested is what a user installs. build/lib would bring back removed modules.
  if rm -rf build/lib* && "$python" -m venv --clear "$venv" &&
    "$venv/bin/python" -m pip --disable-pip-version-check install -q ".[tasks,data,test]" &&
    "$venv/bin/python" -m pytest "$@"; then
    report+=("$version  passed  $("$python" --version)")
  else
    report+=("$version  FAILED  $("$python" --version)")
    failed=1
  fi
done

printf '\n'
printf '%s\n' "${report[@]}"
[ "$ran" -gt 0 ] || { echo "no supported Python found"; exit 1; }
exit "$failed"

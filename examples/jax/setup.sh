#!/bin/sh
# Installs JAX from PyPI into an environment of its own below the user's cache, and prints the directory
# of its python3. Does nothing but print if it is there already.
set -eu
environment=${XDG_CACHE_HOME:-$HOME/.cache}/jobset-examples/jax
if ! "$environment/bin/python3" -c 'import jax' 2>/dev/null; then
  python3 -m venv --clear "$environment" >&2
  "$environment/bin/python3" -m pip install --quiet --only-binary :all: jax >&2
fi
echo "$environment/bin"

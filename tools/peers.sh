#!/bin/sh
# Brings llama.cpp's llama-bench, built for this processor, and measures it and bootlm by turns (`make bench-peers`).
#
# llama.cpp comes in the source package of llama-cpp-python, through pip, and is built once into the folder DIR. The arguments
# are `bootlm`, DIR, and then those of `bootlm peers`; the variables are LLAMA_BENCH, a llama-bench that is there already, and PEERS, further
# programs: NAME=PROGRAM OPTIONS, with semicolons between; and RUN_C, llama2.c's run.c as somebody built it.
set -eu

version=0.3.36
bootlm=$1
dir=$2
shift 2

# Build llama-bench in DIR, with cmake and ninja from pip, and without what it does not need.
build() {
    "$(dirname "$0")/setup.sh" g++
    mkdir -p "$dir"
    (
        cd "$dir"
        pip="python3 -m pip --disable-pip-version-check -q"
        $pip install --target build-tools cmake ninja
        PYTHONPATH=$PWD/build-tools
        PATH=$PWD/build-tools/bin:$PATH
        export PYTHONPATH PATH
        $pip download --no-deps --no-binary llama-cpp-python "llama-cpp-python==$version"
        tar -xzf "llama_cpp_python-$version.tar.gz"
        cmake -S "llama_cpp_python-$version/vendor/llama.cpp" -B llama.cpp -G Ninja -DCMAKE_BUILD_TYPE=Release \
            -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=ON -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
            -DLLAMA_BUILD_SERVER=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF
        cmake --build llama.cpp --target llama-bench
    ) >&2
}

if [ -z "${LLAMA_BENCH:-}" ]; then
    LLAMA_BENCH=$dir/llama.cpp/bin/llama-bench
    [ -x "$LLAMA_BENCH" ] || build
fi
exec "$bootlm" peers --dir "$dir" --peer "llama.cpp=$LLAMA_BENCH${PEERS:+;$PEERS}" ${RUN_C:+--run-c "$RUN_C"} "$@"

# What tests/run and its stages share: the cache's place, installs keyed by lock file, counting, leftover processes.
# Sourced, with the repository's root as the working folder.

# Without this a failed command inside $(…) would not end the script.
shopt -s inherit_errexit

CACHE=${WINDLASS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/windlass}
mkdir -p "$CACHE"
export WINDLASS_CACHE=$CACHE

if [[ ${CI-} == true ]]; then
    export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
fi
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
export CARGO_INCREMENTAL=${CARGO_INCREMENTAL-$([[ ${CI-} == true ]] && echo 0 || echo 1)}
# The binary that the end-to-end and client tests start: the one the README's first command builds.
export WINDLASS_BIN=${WINDLASS_BIN:-$(realpath -m "${CARGO_TARGET_DIR:-target}")/release/windlass}
export CHROMIUM=${CHROMIUM:-/usr/bin/chromium}

readonly UNUSED_DAYS=30

# Prints the folder under the cache that belongs to a kind (`npm`, `venv`) and the files its content depends on.
keyed_folder() {
    local kind=$1
    shift
    echo "$CACHE/$kind/$(cat "$@" | sha256sum | cut -c1-16)"
}

# Fills a cache folder once: `fill_once FOLDER COMMAND…` runs COMMAND FOLDER unless an earlier run finished it.
# A lock keeps two runs on one machine from filling it together; entries that nobody has used for a month go.
fill_once() {
    local folder=$1 lock
    shift
    mkdir -p "$folder"
    exec {lock}>"$CACHE/lock"
    flock "$lock"
    if [[ ! -e $folder/.complete ]]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        "$@" "$folder"
    fi
    touch "$folder" "$folder/.complete"
    find "$(dirname "$folder")" -mindepth 1 -maxdepth 1 -mtime "+$UNUSED_DAYS" -exec rm -rf {} +
    exec {lock}>&-
}

# Installs a folder's locked npm packages into the cache; prints the folder that has them as its node_modules.
npm_packages() {
    local project=$1 folder
    folder=$(keyed_folder npm "$project/package.json" "$project/package-lock.json" <(node --version))
    fill_once "$folder" npm_install "$project" >&2
    echo "$folder"
}

npm_install() {
    local project=$1 folder=$2
    cp "$project/package.json" "$project/package-lock.json" "$folder/"
    npm ci --prefix "$folder" --cache "$CACHE/npm-cache" --ignore-scripts --no-audit --no-fund
}

# Node looks for packages beside the files that import them.
link_packages() {
    local project=$1 folder
    folder=$(npm_packages "$project")
    # A node_modules of a hand-made `npm ci` would shadow the link; it holds nothing that cannot be made again.
    [[ -L $project/node_modules ]] || rm -rf "$project/node_modules"
    ln -sfn "$folder/node_modules" "$project/node_modules"
}

# Installs a requirements file with hashes into a virtual environment in the cache; prints its interpreter.
python_packages() {
    local requirements=$1 folder
    folder=$(keyed_folder venv "$requirements" <(/usr/bin/python3 --version))
    fill_once "$folder" pip_install "$requirements" >&2
    echo "$folder/bin/python"
}

pip_install() {
    local requirements=$1 folder=$2
    /usr/bin/python3 -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --cache-dir "$CACHE/pip-cache" \
        --require-hashes --requirement "$requirements"
}

# Builds programs of a Go module into the cache, from its committed sums; prints the folder that has them.
# `go_tools MODULE NAME=PACKAGE…`, where a package may be `.`.
go_tools() {
    local module=$1 folder folders
    shift
    mapfile -t folders < <(go_folders "$module")
    folder=$(keyed_folder go <(contents "${folders[@]}") <(go version) <(echo "$@"))
    fill_once "$folder" go_build "$module" "$@" >&2
    echo "$folder"
}

# Prints a Go module's folder, and those of the checkout by which it replaces other modules: what its build depends on.
go_folders() {
    echo "$1"
    sed -nE "s|^replace .* => (\.\.?/.*)|$1/\1|p" "$1/go.mod"
}

# Prints what is in all files below some folders, always in the same order.
contents() {
    find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 cat
}

# Two packages at a time: a linker of these programs takes a gigabyte.
go_build() {
    local module=$1 folder=${*: -1} tool
    for tool in "${@:2:$#-2}"; do
        go build -C "$module" -p 2 -trimpath -buildvcs=false -o "$folder/${tool%%=*}" "${tool#*=}"
    done
}

# Fails if Go modules are not as gofmt and go vet want them.
check_go() {
    local module unformatted
    for module in "$@"; do
        unformatted=$(gofmt -l "$module")
        if [[ -n $unformatted ]]; then
            echo "not formatted by gofmt: $unformatted"
            return 1
        fi
        CGO_ENABLED=0 go vet -C "$module" ./...
    done
}

# The programs that tests start: a real tusd to come from, toxiproxy for bad networks, an S3 server, one of Google's storage.
test_tools() {
    go_tools tests/tools tusd=github.com/tus/tusd/v2/cmd/tusd toxiproxy=github.com/Shopify/toxiproxy/v2/cmd/server \
        versitygw=github.com/versity/versitygw/cmd/versitygw fake-gcs-server=github.com/fsouza/fake-gcs-server
}

# The Azure Blob Storage that tests start; prints the folder that has its package.
test_azurite() {
    echo "$(npm_packages tests/bucket)/node_modules/azurite"
}

# The command that brings clusters up, and the folders of what it starts, as its environment; see tests/cluster/README.md.
cluster_tools() {
    local folder kubernetes felix gateway envoy
    folder=$(CGO_ENABLED=0 go_tools tests/cluster cluster=.)
    kubernetes=$(cluster_kubernetes)
    felix=$(cluster_felix)
    gateway=$(cluster_gateway)
    envoy=$(cluster_envoy)
    export WINDLASS_CLUSTER=$folder/cluster WINDLASS_KUBERNETES=$kubernetes WINDLASS_FELIX=$felix WINDLASS_GATEWAY=$gateway WINDLASS_ENVOY=$envoy
}

# Kubernetes with etcd and kubectl, CoreDNS, and what holds a pod together. It knows its version by the linker only.
cluster_kubernetes() {
    local module=tests/cluster/components package=k8s.io/component-base/version version major minor
    version=$(go list -C "$module" -m -f '{{.Version}}' k8s.io/kubernetes)
    IFS=. read -r major minor _ <<<"${version#v}"
    CGO_ENABLED=0 GOFLAGS="'-ldflags=-s -w -X $package.gitVersion=$version -X $package.gitMajor=$major -X $package.gitMinor=$minor'" \
        go_tools "$module" kubernetes=./kubernetes coredns=./coredns pause=./pause
}

# Felix, and the definitions of its resources from its own module.
cluster_felix() {
    local folder
    folder=$(keyed_folder go <(contents tests/cluster/felix) <(go version))
    fill_once "$folder" build_felix >&2
    echo "$folder"
}

build_felix() {
    local folder=$1 calico
    CGO_ENABLED=0 GOFLAGS="'-ldflags=-s -w'" go_build tests/cluster/felix felix=. "$folder"
    calico=$(go list -C tests/cluster/felix -m -f '{{.Dir}}' github.com/projectcalico/calico)
    install -D -m 644 -t "$folder/definitions" "$calico"/libcalico-go/config/crd/*.yaml
}

# Contour, and the definitions of its resources and of Gateway API's from the modules that it is built of.
cluster_gateway() {
    local folder
    folder=$(keyed_folder go <(contents tests/cluster/gateway) <(go version))
    fill_once "$folder" build_gateway >&2
    echo "$folder"
}

build_gateway() {
    local folder=$1 module=tests/cluster/gateway contour interface
    CGO_ENABLED=0 GOFLAGS="'-ldflags=-s -w'" go_build "$module" contour=github.com/projectcontour/contour/cmd/contour "$folder"
    contour=$(go list -C "$module" -m -f '{{.Dir}}' github.com/projectcontour/contour)
    interface=$(go list -C "$module" -m -f '{{.Dir}}' sigs.k8s.io/gateway-api)
    # Contour looks for kinds of the experimental channel too.
    install -D -m 644 -t "$folder/definitions" "$contour/examples/contour/01-crds.yaml" \
        "$interface"/config/crd/experimental/gateway.networking*.yaml
}

# Envoy's own build, which its Python package carries; prints the folder.
cluster_envoy() {
    local python
    python=$(python_packages tests/cluster/gateway/requirements.txt)
    "$python" -c 'import envoy; print(envoy.__path__[0] + "/_bin")'
}

# Prints `PASSED FAILED` summed over the summaries in a runner's log. Prints why and fails if there is none, if no
# test ran, or if any was skipped: a test that did not run is not a test that passed.
count() {
    local runner=$1 log=$2
    "count_$runner" "$log" | awk '
        { passed += $1; failed += $2; skipped += $3; found = 1 }
        END {
            if (!found) { print "no summary of a test runner in its output"; exit 1 }
            if (passed + failed == 0) { print "the test runner ran no test"; exit 1 }
            if (skipped > 0) { print skipped " tests were skipped"; exit 1 }
            print passed + 0, failed + 0
        }'
}

# `test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; …`, one a test binary.
count_cargo() {
    sed -nE 's/^test result: [A-Za-z]+\. ([0-9]+) passed; ([0-9]+) failed; ([0-9]+) ignored; .*/\1 \2 \3/p' "$1"
}

# `ℹ pass 3`, `ℹ fail 0`, `ℹ cancelled 0`, `ℹ skipped 0`, `ℹ todo 0`, in this order, one block a run.
count_node() {
    awk '
        $1 == "ℹ" && $2 == "pass" { passed = $3 }
        $1 == "ℹ" && $2 == "fail" { failed = $3 }
        $1 == "ℹ" && $2 == "cancelled" { failed += $3 }
        $1 == "ℹ" && $2 == "skipped" { skipped = $3 }
        $1 == "ℹ" && $2 == "todo" { print passed, failed, skipped + $3 }' "$1"
}

# `--- PASS: TestName (0.00s)`, one a test; those of subtests are indented.
count_go() {
    awk '
        /^--- PASS: / { passed++ }
        /^--- FAIL: / { failed++ }
        /^--- SKIP: / { skipped++ }
        END { print passed + 0, failed + 0, skipped + 0 }' "$1"
}

# `3 passed, 0 failed`, alone on a line.
count_plain() {
    sed -nE 's/^([0-9]+) passed, ([0-9]+) failed$/\1 \2 0/p' "$1"
}

# Runs node's test runner on files, one after another: they share two cores with a browser and a server each.
node_test() {
    env -u NODE_OPTIONS NO_COLOR=1 node --test --test-reporter=spec --test-concurrency=1 "$@"
}

# Ends the processes that this run started and that outlived their stage, by the mark in their environment.
end_leftovers() {
    local file pid
    while read -r file; do
        pid=${file//[!0-9]/}
        echo "ending a process that outlived its stage: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | cut -c1-120)"
        kill -KILL "$pid" 2>/dev/null || true
    done < <(env -u WINDLASS_TEST_RUN grep -lzsFx "WINDLASS_TEST_RUN=${WINDLASS_TEST_RUN-none}" /proc/[0-9]*/environ)
}

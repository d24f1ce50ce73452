# `make help` lists the targets.

CARGO ?= cargo
CC ?= cc
OBJCOPY ?= objcopy
include packaging/target.mk

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
RUST_SOURCES := $(shell find core capi -name '*.rs' -o -name '*.toml') Cargo.toml Cargo.lock
HAS_NEXTEST := $(shell $(CARGO) nextest --version 2>/dev/null)
CARGO_TEST := $(CARGO) $(if $(HAS_NEXTEST),nextest run --no-fail-fast,test) --locked
SONAME := libsendfd.so.0
FUNCTIONS := $(shell sed -n 's/^ *\(sendfd[a-z_0-9]*\);.*/\1/p' capi/libsendfd.map)

# What is linked in the place of what Rust's own library does (capi/src/panic.rs): name there, name here. The
# names there have the compiler's version in them.
INSTEAD := rust_begin_unwind:sendfd_panicked __rust_alloc_error_handler:sendfd_out_of_memory \
  rust_eh_personality:sendfd_personality

.DELETE_ON_ERROR:
.PHONY: all
all: $(BUILD)/libsendfd.so $(BUILD)/libsendfd.a include/sendfd.h  ## the library and its header; TARGET=aarch64-unknown-linux-gnu

.PHONY: help
help:  ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*##  *\(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | sort | expand -t 20

# One object whose only global names are our functions: what cargo makes also has those of Rust's own
# library, and could be linked with no other library made in Rust.
$(BUILD)/libsendfd.o: $(RUST_SOURCES) capi/libsendfd.map Makefile packaging/target.mk tools/redefine
	$(CARGO) rustc --locked -p sendfd-capi --lib --profile capi --crate-type staticlib $(CARGO_FOR) $(REMAP)
	@mkdir -p $(BUILD)
	tools/redefine $(CARGO_OUT)/$(TARGET)/capi/libsendfd.a $(INSTEAD) > $(BUILD)/redefine
	$(LD) -r --gc-sections --force-group-allocation $(addprefix -u ,$(FUNCTIONS)) @$(BUILD)/redefine \
	  --defsym=_Unwind_Resume=sendfd_never_resumed \
	  --whole-archive $(CARGO_OUT)/$(TARGET)/capi/libsendfd.a -o $@
	$(OBJCOPY) --remove-section=.llvmbc --remove-section=.llvmcmd \
	  $(addprefix --keep-global-symbol=,$(FUNCTIONS)) $@

# ld -r leaves the names of what --gc-sections took away, as undefined ones; stripping ends that.
$(BUILD)/libsendfd.a: $(BUILD)/libsendfd.o
	$(OBJCOPY) --strip-unneeded $< $(BUILD)/stripped.o
	rm -f $@
	cd $(BUILD) && mv stripped.o sendfd.o && $(AR) rcsD libsendfd.a sendfd.o && rm sendfd.o

# rustc cannot give a cdylib symbol versions, so the shared library is linked from the static one. What a
# debugger wants to know is in a file beside it. The folder is that which zig writes into it.
$(BUILD)/$(SONAME): $(BUILD)/libsendfd.o capi/libsendfd.map
	cd $(if $(TARGET),/,.) && $(CC) -shared -o $(abspath $@) $(LDFLAGS) -Wl,-soname,$(SONAME) \
	  -Wl,--version-script=$(abspath capi/libsendfd.map) -Wl,--gc-sections -Wl,--build-id=sha1 \
	  -Wl,-z,relro,-z,now,-z,defs,-z,nodelete -Wl,--as-needed $(abspath $<) -lgcc_eh -lutil -lrt -lpthread -lm -ldl -lc
	$(OBJCOPY) --only-keep-debug $@ $@.debug
	$(OBJCOPY) --strip-unneeded --add-gnu-debuglink=$@.debug $@

$(BUILD)/libsendfd.so: $(BUILD)/$(SONAME)
	ln -sf $(SONAME) $@

CLI_SOURCES = $(shell find cli core -name '*.rs' -o -name '*.toml') Cargo.toml Cargo.lock

# The man page and the completions come from the definitions that the program parses by.
build/cli/sendfd: $(CLI_SOURCES)
	$(CARGO) build --locked --release -p sendfd-cli --bin sendfd --example pages
	@mkdir -p build/cli
	$(CARGO_OUT)/release/examples/pages build/cli
	$(OBJCOPY) --strip-all $(CARGO_OUT)/release/sendfd $@

ifdef TARGET
$(BUILD)/cli/sendfd: build/cli/sendfd
	packaging/cargo zigbuild --locked --release -p sendfd-cli --bin sendfd --target $(TARGET) $(REMAP)
	@mkdir -p $(BUILD)/cli
	cp build/cli/*sendfd.* build/cli/_sendfd $(BUILD)/cli
	$(OBJCOPY) --strip-all $(CARGO_OUT)/$(TARGET)/release/sendfd $@
endif

.PHONY: cli static
cli: $(BUILD)/cli/sendfd  ## the shell tool, its man page and completions, in build/cli

static:  ## the shell tool as one file that needs no libraries, to be copied into a container
	rustup target add x86_64-unknown-linux-musl
	$(CARGO) build --locked --release -p sendfd-cli --bin sendfd --target x86_64-unknown-linux-musl
	@mkdir -p build/static
	cp $(CARGO_OUT)/x86_64-unknown-linux-musl/release/sendfd build/static/sendfd

include packaging/install.mk packaging/packages.mk

.PHONY: header
header:  ## make include/sendfd.h anew from capi/src
	UPDATE_HEADER=1 $(CARGO) test --locked -q -p sendfd-capi --test header

.PHONY: test test-rust test-c test-abi test-install test-packages test-examples test-refusal test-security
test: setup test-rust test-c test-abi test-install test-packages test-examples test-refusal test-security  ## all tests

.PHONY: setup
setup:
	@tools/setup

test-rust: all  ## unit and documentation tests of the core; header and symbols; the examples in Rust
	$(CARGO_TEST) -p sendfd-core -p sendfd-capi -p sendfd-examples
	$(CARGO) test --locked -q --doc -p sendfd-core

test: test-cli
.PHONY: test-cli
test-cli:  ## the shell tool
	$(CARGO_TEST) -p sendfd-cli

.PHONY: test-servers
test-servers: cli  ## nginx, HAProxy, gunicorn, uvicorn, hypercorn, granian and Node are replaced under load; sets itself up
	tests/servers/run

test-c: all  ## C programs against the library, also on what looks like an older kernel
	$(CARGO_TEST) -p sendfd-tests

test-abi: setup all  ## Rust declarations against the header, and that against the binary interface that is promised
	$(CARGO_TEST) -p sendfd-abi-tests
	tests/abi/diff

test-install: all  ## a program built against the installed library
	tests/install/run

test-packages: all  ## what is built loads on the oldest C library that is promised
	tests/packages/run

test-examples: all  ## the examples in C against the installed library
	tests/examples/run

test-refusal: all  ## every system call refused with every error
	tests/refusal/run

test: try-containers
.PHONY: test-containers try-containers
test-containers: all cli  ## docker, podman, runc, bubblewrap and others: who reaches whom; installs podman, runc and bubblewrap
	tools/setup containers
	tests/containers/run

try-containers: all cli  ## the same with the engines that are there, installing none
	tests/containers/run

test-security:  ## SECURITY.md and docs/namespaces.md name a test for each statement
	tests/security/run

MINUTES ?= 10
.PHONY: soak soak-hold soak-account soak-outboxes soak-refusal test-soak
soak: soak-account soak-outboxes soak-refusal soak-hold memcheck asan tsan cancellation loom miri fuzz  ## the long form of the tests of trust, MINUTES=10 of it the account

soak-account: all  ## account of every descriptor under murder, MINUTES=10
	tests/soak/run --minutes $(MINUTES)

soak-outboxes: all  ## what outboxes are told of 1,000,000 parcels under murder
	tests/soak/run --told 1000000

soak-hold:  ## 100,000 stores and fetches of one holder
	SENDFD_HOLD_ROUNDS=100000 $(CARGO) test --locked --release -p sendfd-cli --test shell it_does_not_grow

soak-refusal: all  ## every system call refused, on every machine and for good
	tests/refusal/run --all

test: test-soak test-fuzz test-memcheck test-cancellation loom
test-soak: all  ## the account for 20 seconds
	tests/soak/run --seconds 20

include tests/checkers.mk tests/kernels.mk tests/programs.mk

MUTANTS ?=
.PHONY: mutants
mutants:  ## breaks the core in one place after the other, and asks the C tests; MUTANTS="-f FILES --iterate ..."
	tests/mutants/run $(MUTANTS)

.PHONY: demo
demo: all  ## a real client is answered by workers in several languages
	examples/demo/run

.PHONY: bench bench-quick bench-instructions bench-page
bench: all  ## what a parcel costs, compared with other ways in the same run, into build/bench.json
	bench/run

bench-quick: all  ## the same in fewer rounds
	bench/run --quick

bench-instructions: all  ## how many instructions a send and a receive take, by callgrind
	bench/run instructions

bench-page: build/bench-venv/made  ## docs/performance.md and its charts, from build/bench.json
	build/bench-venv/bin/python bench/page build/bench.json

build/bench-venv/made: bench/requirements.txt
	python3 -m venv --clear build/bench-venv
	build/bench-venv/bin/pip install -q --disable-pip-version-check -r $<
	touch $@

.PHONY: python python-develop test-python
python:  ## the Python wheel and source distribution, into build/python
	python/run dist

python-develop:
	python/run develop

bench bench-quick demo: python-develop node

test: test-python
test-python: all  ## the Python package: lints, types and tests
	python/run test -q
	python/run fresh

.PHONY: node test-node test-matrix test-readme
node:  ## the Node package, in node/
	cd node && npm install --no-audit --no-fund && npm run build

test: test-node
test-node: all node  ## the Node package: lints, types and tests
	cd node && npm test

test: test-matrix test-readme
test-matrix: all python-develop node  ## every language sends to every other one
	tests/matrix/run

test-readme: all cli python-develop node  ## the README's two terminals and examples, every sender with every receiver
	tests/readme/run

.PHONY: picture test-picture
picture:  ## draw docs/way.svg anew from docs/way.dot
	dot -Tsvg docs/way.dot -o docs/way.svg

test: test-picture
test-picture:  ## docs/way.svg is drawn from docs/way.dot
	tests/picture/run

.PHONY: check
check:  ## formatting, lints as errors, header current
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	for alone in fuzz tests/loom; do (cd $$alone && $(CARGO) fmt --check && \
	  $(CARGO) clippy --locked --all-targets --target-dir $(abspath $(CARGO_OUT))/check -- -D warnings) || exit; done
	$(CARGO) test --locked -q -p sendfd-capi --test header

.PHONY: clean
clean:  ## remove what was built
	rm -rf build $(CARGO_OUT)

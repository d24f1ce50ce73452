# `make TARGET=aarch64-unknown-linux-gnu` and the like: what is built runs there, and on a C library as old as
# docs/releasing.md promises; it is put into build/TARGET. Without TARGET, it is built for here, into build.

CARGO_OUT := $(or $(CARGO_TARGET_DIR),target)
BUILD := build

ifdef TARGET
BUILD := build/$(TARGET)
CARGO_FOR := --target $(TARGET)
CC := $(CURDIR)/packaging/cc $(TARGET)
CROSS := $(firstword $(subst -, ,$(TARGET)))-linux-gnu-
LD := $(CROSS)ld
AR := $(CROSS)ar
OBJCOPY := $(CROSS)objcopy
endif

# The paths of this machine stay out of what is built.
rust_source := $(shell rustc --print sysroot)/lib/rustlib/src/rust
REMAP := --config 'build.rustflags=["--remap-path-prefix=$(CURDIR)=libsendfd", \
  "--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=crates", \
  "--remap-path-prefix=$(rust_source)=rust"]'

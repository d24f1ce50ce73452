# What a release has, in build/dist (docs/releasing.md). One part at a time: each is made by a script beside
# this file, which takes targets as arguments.

DIST := c sbom python node debian crates

.PHONY: dist setup-dist $(addprefix dist-,$(DIST))
setup-dist:
	@tools/setup packages

$(addprefix dist-,$(DIST)): dist-%: setup-dist
	packaging/$*

dist:  ## all that a release has, for x86-64 and ARM, glibc and musl, in build/dist
	for part in $(DIST); do $(MAKE) dist-$$part || exit; done
	cd build/dist && rm -f SHA256SUMS && sha256sum -- * > .sums && mv .sums SHA256SUMS

.PHONY: test-dist
test-dist: setup-dist  ## what is in build/dist, installed as users do, and used
	tests/packages/dist

.PHONY: audit
# cargo-deny's list of known faults is fetched; the rest of it needs no network.
audit:  ## licences and sources of what is published, faults known of it, and promises broken since BASE=the last version
	$(CARGO) install --quiet --locked --root $(CARGO_OUT)/tools --target-dir $(CARGO_OUT)/tools/build cargo-deny@0.20.2 cargo-semver-checks@0.51.0
	$(CARGO_OUT)/tools/bin/cargo-deny --locked check
	$(if $(BASE),PATH="$(abspath $(CARGO_OUT))/tools/bin:$$PATH" $(CARGO) semver-checks -p sendfd-core --baseline-rev $(BASE))

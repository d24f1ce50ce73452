# What a release has, in build/dist (docs/releasing.md). One part at a time: each is made by a script beside
# this file, which takes targets as arguments.

DIST := c python node debian crates sbom

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

# The C tests on real kernels. `tools/setup kernels` installs what emulates a machine, and fetches the kernels.

.PHONY: test-kernels test-kernels-short
test-kernels: all  ## the C tests on Debian's own kernels, 5.10 to the newest, in emulated machines; KERNELS="--kernel 6.1 -- identity"
	tests/kernels/run $(KERNELS)

test: test-kernels-short
test-kernels-short: all  ## some of them on the oldest and the newest kernel, where those have been fetched
	tests/kernels/run --short

# Programs that nobody here wrote, run over the packages. They come from the registries, are big, and are no part
# of `make test`.

.PHONY: test-programs
test-programs: python-develop  ## PyTorch over the Python package: nothing lost, no hang (downloads 530 MB once)
	tests/programs/run
